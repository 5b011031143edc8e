"""`python -m models.training --help`: a run from the command line, without the service."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from models.training.options import Progress, TrainingOptions, accelerated
from models.training.run import train

PATHS = {"folder", "output", "photos", "init"}


def parser() -> argparse.ArgumentParser:
    """One option for each field of TrainingOptions."""
    made = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    made.add_argument("--accelerated", action="store_true", help="start from the recipe for a GPU")
    for field in dataclasses.fields(TrainingOptions):
        flag = "--" + field.name.replace("_", "-")
        if field.name in PATHS:
            made.add_argument(flag, type=Path, required=field.name == "folder", default=argparse.SUPPRESS)
        else:
            made.add_argument(flag, type=type(field.default), default=argparse.SUPPRESS, help=f"{field.default}")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Train, one JSON line of progress at a time."""
    told = vars(parser().parse_args(arguments))
    plain = TrainingOptions(folder=told["folder"])
    base = accelerated(plain) if told.pop("accelerated") else plain
    options = dataclasses.replace(base, **told)
    train(options, _print, lambda sentence: print(sentence, file=sys.stderr, flush=True))  # noqa: T201


def _print(progress: Progress) -> None:
    print(json.dumps(dataclasses.asdict(progress)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
