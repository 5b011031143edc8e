"""`afterimage match`."""

import base64
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from service.cli.options import AtOnceOption, DataDirOption, MinBand, MinBandOption, PicturesArgument, UrlOption
from service.cli.output import ACTION_STYLES, BAND_STYLES, Exit, print_json, progress, remarks
from service.cli.output import answers as output
from service.cli.pictures import UnreadableFile, find_pictures, read_picture
from service.cli.target import Place, Question, Target, UploadRefused, chosen, open_target
from service.concurrently import concurrently

Json = dict[str, Any]


class Verify(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Asked:
    """A picture and what was answered: an answer, or why there is none."""

    path: Path
    answer: Json | None
    reason: str | None = None


def match(
    context: typer.Context,
    paths: PicturesArgument,
    *,
    bank: Annotated[
        list[str] | None, typer.Option(help="Look in this bank only; may be repeated.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="The most matches of a picture.")] = 5,
    min_band: MinBandOption = MinBand.RELATED,
    verify: Annotated[
        Verify,
        typer.Option(
            help="Whether originals are looked for in the picture: of the uncertain matches, of all, of none."
        ),
    ] = Verify.AUTO,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png",
            help="Draw why: the picture beside the originals found in it. One picture at a time.",
            show_default=False,
        ),
    ] = None,
    jobs: AtOnceOption = 4,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON object a picture, a line each.")
    ] = False,
) -> None:
    """
    Ask whether pictures are edited copies of something banked.

    Shows, for each picture, the verdict and its matches, best first: the score is a cosine (higher is nearer), the PDQ
    distance counts differing bits (lower is nearer), and a verified match says what was done to the original.

    Exit code 0: every picture was answered, whatever the answer. 1: all but those that are listed with a reason, or
    there was nothing to explain.
    2: none of them was, or it had to stop.
    """
    if explain is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise typer.BadParameter("name one picture to explain", param_hint="--explain")
    question = Question(tuple(bank or ()), k, min_band.value, verify.value, explain is not None)
    asked: list[Asked] = []
    answered = unusable = False
    with closing(_answers(chosen(context, url, data_dir), question, paths, jobs, quiet=as_json)) as answers:
        for one in answers:
            answered |= one.answer is not None
            unusable |= one.answer is None
            if explain is not None and one.answer is not None:
                unusable |= not _drawn(one.answer, explain)
            if as_json:
                print_json(_line(one))
            else:
                asked.append(one)
    if not as_json:
        _show(asked)
    if unusable:
        raise typer.Exit(Exit.NOT_ALL_WELL if answered else Exit.NOT_DONE)


def _answers(place: Place, question: Question, paths: list[Path], jobs: int, *, quiet: bool) -> Generator[Asked]:
    """As they come, in the order of the pictures."""
    found = find_pictures(paths)
    for path in found.missing:
        yield Asked(path, None, "no such file or folder")
    if not found.pictures:
        return
    with (
        open_target(place) as target,
        progress(quiet=quiet) as bar,
        closing(concurrently(_asker(target, question), found.pictures, jobs)) as ended,
    ):
        task = bar.add_task("Matching", total=len(found.pictures))
        for _, future in ended:
            yield future.result()
            bar.advance(task)


def _asker(target: Target, question: Question) -> Callable[[Path], Asked]:
    def ask(path: Path) -> Asked:
        try:
            return Asked(path, target.match(read_picture(path), question))
        except (UploadRefused, UnreadableFile) as error:
            return Asked(path, None, str(error))

    return ask


def _drawn(answer: Json, path: Path) -> bool:
    """Writes the explanation to a file, and its path in its place; False when there is nothing to explain."""
    explanation = answer["explanation"]
    if explanation is None:
        remarks().print("Nothing of an original was found in the picture, so nothing is drawn.")
        return False
    path.write_bytes(base64.b64decode(explanation["image"].partition(",")[2]))
    explanation["image"] = str(path)
    remarks().print(Text(f"Drawn: {path}"))
    if explanation["unverified"]:
        remarks().print("What was found does not suffice to call it a copy; the picture says what is missing.")
    if explanation["missing_originals"]:
        remarks().print("Some originals are not kept; their places are drawn empty.")
    return True


def _line(asked: Asked) -> Json:
    if asked.answer is None:
        return {"path": str(asked.path), "error": {"reason": asked.reason}}
    return {"path": str(asked.path), "answer": asked.answer}


def _show(asked: list[Asked]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("picture", overflow="fold")
    table.add_column("verdict")
    table.add_column("suggested")
    table.add_column("bank")
    table.add_column("item", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("PDQ", justify="right")
    table.add_column("original in it")
    for one in asked:
        if one.answer is None:
            table.add_row(Text(str(one.path)), Text("cannot be used", style="red"), "", "", Text(one.reason or ""))
        else:
            _add_answer(table, one.path, one.answer)
    console = output()
    if asked:
        console.print(table)
    else:
        remarks().print("There is no picture in what was named.")
    if any(one.answer is not None and not one.answer["calibrated"] for one in asked):
        console.print("Not calibrated: thresholds are guesses, and nothing over `review` is suggested.", style="yellow")


def _add_answer(table: Table, path: Path, answer: Json) -> None:
    verdict = answer["verdict"]
    head = (
        Text(str(path)),
        Text(verdict["band"], style=BAND_STYLES[verdict["band"]]),
        Text(verdict["suggested_action"], style=ACTION_STYLES[verdict["suggested_action"]]),
    )
    if not answer["matches"]:
        note = "too little to see in it" if answer["media"]["low_information"] else ""
        table.add_row(*head, "", Text(note, style="dim"))
    for place, found in enumerate(answer["matches"]):
        semantic, perceptual = found["semantic"], found["perceptual"]
        table.add_row(
            *(head if place == 0 else ("", Text(found["band"], style=BAND_STYLES[found["band"]]), "")),
            Text(found["bank"]),
            Text(found["item_id"]),
            "" if semantic is None else f"{semantic['score']:.2f}",
            "" if perceptual is None else str(perceptual["distance"]),
            _verified(found),
        )


def _verified(found: Json) -> Text:
    """Whether the original was found in the picture, and what was done to it."""
    if found["verified"] is None:
        return Text("")
    if not found["verified"]:
        return Text("no" if found["geometry"] is None else "perhaps", style="dim")
    return Text(", ".join(["yes", *found["edits"]]), style="green")
