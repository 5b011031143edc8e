"""`afterimage bank set` and `afterimage reindex tiles`: how many parts of each picture a bank embeds."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from service.cli.job_watch import ask_service, begun, do_here, end
from service.cli.options import DataDirOption, JsonOption, UrlOption, WaitOption
from service.cli.output import answers, print_json
from service.cli.target import chosen, open_target

BankArgument = Annotated[str, typer.Argument(metavar="NAME", help="The bank.", show_default=False)]
_KIND = "tiles"


class Tiles(StrEnum):
    NONE = "0"
    FOUR = "4"
    NINE = "9"


def set_bank(
    context: typer.Context,
    name: BankArgument,
    *,
    tiles: Annotated[
        Tiles,
        typer.Option(help="Parts of each picture to embed beside the whole, so that small crops are found."),
    ],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Change what a bank does with what comes; its labels and other settings stay.

    What it holds already is as it was: `afterimage reindex tiles NAME` brings it to the new setting.
    """
    with open_target(chosen(context, url, data_dir)) as target:
        bank = target.change_bank(name, {"tiles": int(tiles)})
    if as_json:
        print_json(bank)
        return
    parts = "the whole alone" if tiles is Tiles.NONE else f"the whole and {tiles} parts"
    answers().print(f"[bold]{escape(name)}[/] embeds {parts} of each picture that comes.", soft_wrap=True)
    if bank["items"]:
        answers().print(f"For the {bank['items']:,} it holds: afterimage reindex tiles {name}", markup=False)


def fill_tiles(
    context: typer.Context,
    name: BankArgument,
    *,
    wait: WaitOption = True,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Bring what a bank holds already to the tiles that it wants now.

    They are made from the originals; items whose originals are not kept stay as they are, and are counted. Taking tiles
    away needs no original. Everything is found all the while.
    """
    place, options = chosen(context, url, data_dir), {"bank": name}
    if place.url is not None:
        job = ask_service(place, _KIND, options, wait=wait, quiet=as_json)
        if not wait:
            begun(job, as_json=as_json)
            return
    else:
        job, _ = do_here(place, _KIND, options, quiet=as_json)
    result = job.get("result") or {}
    lines = []
    for space, counts in result.get("spaces", {}).items():
        lines.append(f"{counts['filled']:,} items have {result['tiles']} tiles in {space}.")
        left = counts["failed"] + counts["without_original"]
        if left:
            lines.append(f"{left:,} have not: their originals are not kept or cannot be read, or they came meanwhile.")
    end(job, lines, None, as_json=as_json)
