"""What the program prints: answers on standard output, everything else on standard error."""

import json
import sys
from enum import IntEnum

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

BAND_STYLES = {"exact": "bold green", "variant": "green", "related": "yellow", "none": "dim"}
ACTION_STYLES = {"block": "bold red", "review": "yellow", "none": "dim"}


class Exit(IntEnum):
    """What the program's exit code says."""

    DONE = 0
    NOT_ALL_WELL = 1
    """Done, but some of it could not be used, or something is not well; it was listed."""
    NOT_DONE = 2
    """Not done: the command, the service or the data directory could not be used."""
    INTERRUPTED = 130
    """Ended by Ctrl-C, as shells say it."""


def answers() -> Console:
    """For what was asked for."""
    return Console(highlight=False)


def remarks() -> Console:
    """For everything around it: progress, advice, complaints."""
    return Console(stderr=True, highlight=False)


def complain(sentence: str) -> None:
    remarks().print(Text.assemble(("afterimage: ", "bold red"), sentence), soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON value on one line, so that a program can read them as they come."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Somebody else's text, fit for a terminal: what would steer it, or turn its lines around, is shown escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


def progress(*, quiet: bool) -> Progress:
    """A bar with count, rate and time left, on standard error; nothing where nobody is looking."""
    console = remarks()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
