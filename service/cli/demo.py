"""`afterimage demo`."""

import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from service.cli.output import Exit, answers, complain, progress
from service.cli.target import Place, Question, Target, open_target
from service.demonstration.outcomes import (
    Demonstration,
    Outcome,
    only_related,
    seen_by_afterimage,
    seen_by_pdq,
)

_EVERYTHING = Question(banks=(), k=100, min_band="none")


class EmptyService:
    """The demonstration's memory: a target with nothing else in it."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def bank(self, name: str, data: bytes) -> None:
        self._target.prepare_bank(name, None)
        self._target.add(name, data, {})

    def nearest(self, data: bytes) -> dict[str, Any]:
        return self._target.match(data, _EVERYTHING)


def demo(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the contact sheet goes: a PNG or a JPEG.")
    ] = Path("demo/contact-sheet.png"),
) -> None:
    """
    Edit some photographs as people do before they upload them again, and see who still recognises them.

    Banks the photographs that come with scikit-image in a data directory of their own, which is gone afterwards, asks
    about a dozen edits of each, and about pictures that have nothing to do with them. Draws every picture with its
    verdict on a contact sheet.
    """
    if output.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise typer.BadParameter("a file that ends in .png or .jpg", param_hint="--output")
    from service.demonstration.photographs import PhotographsMissing, known_photographs, unrelated_photographs
    from service.demonstration.run import demonstrate
    from service.demonstration.sheet import write_sheet

    try:
        originals, unrelated = known_photographs(), unrelated_photographs()
    except PhotographsMissing as error:
        complain(str(error))
        raise typer.Exit(Exit.NOT_DONE) from None
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="afterimage-demo-") as folder,
        open_target(Place(url=None, data_dir=Path(folder), catalog="")) as target,
        progress(quiet=False) as bar,
    ):

        def counted(work: Iterable[Any], total: int) -> Iterable[Any]:
            return bar.track(work, total=total, description="Editing and asking")

        shown = demonstrate(EmptyService(target), originals, unrelated, counted)
    write_sheet(shown, output)
    _show(shown, output)


def _show(shown: Demonstration, sheet: Path) -> None:
    console = answers()
    console.print()
    console.print(_table(shown))
    total = len(shown.outcomes)
    seen, related = seen_by_afterimage(shown.outcomes), only_related(shown.outcomes)
    wrong = seen_by_afterimage(shown.unrelated)
    console.print(
        f"\nOf {total} edited re-uploads PDQ recognises [bold]{seen_by_pdq(shown.outcomes)}[/], "
        f"Afterimage [bold green]{seen}[/] ({seen - related} as exact or variant; {related} only as related, which is "
        "listed and suggests no action). "
        f"Of {len(shown.unrelated)} unrelated pictures Afterimage takes [bold]{wrong or 'none'}[/] for one of them.",
        soft_wrap=True,
    )
    console.print(f"\nEvery picture with its verdict: [bold]{escape(str(sheet))}[/]", soft_wrap=True)
    console.print("\nNext, with pictures of your own:")
    for line in (
        "afterimage bank add known PICTURES…      put them into a bank",
        "afterimage match EDITED…                 ask about edited copies",
        "afterimage serve                         answer the same question over HTTP",
    ):
        console.print(f"  {line}", markup=False)


def _table(shown: Demonstration) -> Table:
    names = ", ".join(shown.originals)
    table = Table(
        title="Who recognises an edited re-upload?",
        caption=f"A dot for each of: {names}. PDQ: Hamming distance, lower is nearer. Score: cosine, higher is nearer.",
        title_style="bold",
        header_style="bold",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("edit")
    table.add_column("PDQ", no_wrap=True)
    table.add_column("distance", justify="right")
    table.add_column("Afterimage", no_wrap=True)
    table.add_column("score", justify="right")
    for edit in shown.edits:
        table.add_row(edit, *_row(shown.of_edit(edit)))
    table.add_section()
    table.add_row(Text("unrelated", style="dim"), *_row(list(shown.unrelated)))
    return table


def _row(outcomes: list[Outcome]) -> tuple[Text, str, Text, str]:
    distances = [outcome.distance for outcome in outcomes if outcome.distance is not None]
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    return (
        _dots([outcome.pdq_sees_it for outcome in outcomes], "bold"),
        f"{statistics.median(distances):.0f}" if distances else "",
        _dots([outcome.afterimage_sees_it for outcome in outcomes], "bold green"),
        f"{statistics.median(scores):.2f}" if scores else "",
    )


def _dots(seen: list[bool], style: str) -> Text:
    dots = Text()
    for one in seen:
        dots.append("●" if one else "○", style=style if one else "dim")
    dots.append(f" {sum(seen)} of {len(seen)}", style="" if any(seen) else "dim")
    return dots
