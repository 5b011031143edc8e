"""What several commands take: options and arguments that mean the same wherever they are."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="AFTERIMAGE_URL",
        metavar="URL",
        help="The running service to ask, such as http://127.0.0.1:8080.",
        show_default=False,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        help="Work on this data directory, without a service. [env var: AFTERIMAGE_DATA_DIR; default: ./data]",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]
JsonForTableOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")]
JsonObjectOption = Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")]

PicturesArgument = Annotated[
    list[Path], typer.Argument(help="Pictures, and folders of them at any depth.", show_default=False)
]
AtOnceOption = Annotated[int, typer.Option(min=1, max=64, help="Pictures under way at once.")]
IncidentArgument = Annotated[
    str, typer.Argument(metavar="INCIDENT_ID", help="As `incidents list` shows it.", show_default=False)
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="With --url: watch it to its end.")]
LabelsFromOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD",
        help="The fields of lists that become labels; may be repeated. All, unless said.",
        show_default=False,
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="What paths in lists are relative to; their list's folder, unless said."),
]


class MinBand(StrEnum):
    EXACT = "exact"
    VARIANT = "variant"
    RELATED = "related"
    NONE = "none"


MinBandOption = Annotated[
    MinBand, typer.Option(help="The weakest band that counts; `none` shows the nearest whatever their score.")
]
