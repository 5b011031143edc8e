"""`afterimage scan`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.job_watch import ask_service, do_here, end
from service.cli.options import (
    DataDirOption,
    JsonForTableOption,
    LabelsFromOption,
    MinBand,
    MinBandOption,
    RootOption,
    UrlOption,
)
from service.cli.target import chosen, service_client

OutputOption = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Where the results go: .jsonl or .parquet.", show_default=False
    ),
]


def scan(
    context: typer.Context,
    sources: Annotated[list[Path], typer.Argument(help="What to look through; as for `ingest`.", show_default=False)],
    *,
    output: OutputOption,
    bank: Annotated[
        list[str] | None, typer.Option(help="Look for this bank only; may be repeated.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="The most matches of a row.")] = 5,
    min_band: MinBandOption = MinBand.RELATED,
    matches_only: Annotated[bool, typer.Option(help="Leave out rows that match nothing.")] = False,
    labels_from: LabelsFromOption = None,
    root: RootOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonForTableOption = False,
) -> None:
    """
    Look for what is banked in an archive, without recording anything: a job that goes on where it stopped.

    One line of the output is one row: its verdict and its matches, best first. Parquet has the best match in columns
    and all of them as JSON. Sources are those of `ingest`.

    Exit code 0: every row was answered, whatever the answer. 1: all but the rows that are listed. 2: it could not be
    done.
    """
    place = chosen(context, url, data_dir)
    suffix = output.suffix.lower().removeprefix(".")
    if suffix not in {"jsonl", "parquet"}:
        raise typer.BadParameter("the name ends in .jsonl or .parquet", param_hint="--output")
    options: dict[str, Any] = {
        "sources": [str(source) for source in sources],
        "banks": bank or [],
        "k": k,
        "min_band": min_band.value,
        "matches_only": matches_only,
        "format": suffix,
        "labels_from": labels_from or None,
        "root": None if root is None else str(root),
    }
    skipped: Path | None = None
    if place.url is not None:
        job = ask_service(place, "scan", options, wait=True, quiet=as_json)
        if job["state"] == "succeeded":
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(service_client(place.url).job_file(job["job_id"], job["result"]["results_file"]))
    else:
        job, folder = do_here(place, "scan", {**options, "output": str(output.absolute())}, quiet=as_json)
        skipped = folder / "skipped.jsonl"
    end(job, [_sentence(output, job)], skipped, as_json=as_json)


def _sentence(output: Path, job: dict[str, Any]) -> str:
    counts = job["progress"]["counts"]
    bands = ", ".join(f"{counts.get(band, 0):,} {band}" for band in ("exact", "variant", "related", "none"))
    return f"{bands}; {counts.get('skipped', 0):,} could not be used. The results are in {output}"
