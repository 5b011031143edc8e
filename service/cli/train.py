"""`afterimage train`: every training option is a flag, made from the options themselves."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from models.training.options import Progress, TrainingOptions
from service.cli.measure import DeviceName
from service.cli.output import answers, complain, print_json, progress

_FIRST = ("output", "photos", "init", "device", "steps", "seed")
_PANEL = "The recipe"
_NONE_WILL_DO = frozenset(
    {"seed", "finish_steps", "warmup_steps", "memory", "memory_from", "fresh", "pool_pictures", "workers"}
)
"""Whole numbers that may be 0; there must be at least one of what the others count."""
_SHARES = frozenset({"average", "photo_share"})
_FOLDERS: dict[str, dict[str, bool]] = {
    "output": {"file_okay": False},
    "photos": {"file_okay": False, "exists": True},
}

_ABOUT = """
Train a descriptor of your own.

Makes pictures, edits them as re-uploads are edited, and trains a network to tell copies from everything else;
photographs of yours, mixed in, make it better. A run keeps a checkpoint in its folder and goes on from it, however it
was ended: give the same command again.

What it writes with `--output` is served with `--model local-dir:FOLDER`, and wants `afterimage calibrate` first.
"""


def command() -> Callable[..., None]:
    """The command, with a flag for each option there is."""

    def train(**told: Any) -> None:  # noqa: ANN401 - one of many types a flag
        from models.training.run import train as run

        as_json = told.pop("as_json")
        options = TrainingOptions(**{**told, "device": told["device"].value})
        with progress(quiet=as_json) as bar:
            task = bar.add_task("Training", total=options.steps)

            def report(now: Progress) -> None:
                if as_json:
                    print_json(dataclasses.asdict(now))
                bar.update(task, completed=now.step, description=_standing(now))

            result = run(options, report, complain)
        if not as_json:
            answers().print(
                f"{result.step:,} steps, {result.views:,} views. Checkpoint: {result.folder}",
                markup=False,
                soft_wrap=True,
            )
            if result.output is not None:
                serve = f"Serve it with: afterimage serve --model local-dir:{result.output}"
                answers().print(serve, markup=False, soft_wrap=True)

    train.__doc__ = _ABOUT
    parameters = [*_parameters(), _as_json()]
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return train


def _standing(now: Progress) -> str:
    scores = [
        f"{name} {value:.3f}"
        for name, value in (("held out", now.held_out), ("photographs", now.held_out_photos))
        if value is not None
    ]
    return ", ".join((f"loss {now.loss:.3f}", *scores, f"{now.views_per_s:.0f} views/s"))


def _parameters() -> list[inspect.Parameter]:
    fields = {field.name: field for field in dataclasses.fields(TrainingOptions)}
    kinds = get_type_hints(TrainingOptions)
    explained = _explanations()
    folder = typer.Argument(help=explained["folder"], show_default=False, metavar="FOLDER", file_okay=False)
    parameters = [
        inspect.Parameter("folder", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[Path, folder])
    ]
    for name in (*_FIRST, *(name for name in fields if name not in {*_FIRST, "folder"})):
        kind, default, limits = _accepted(name, kinds[name], fields[name].default)
        option = typer.Option(help=explained[name], rich_help_panel=None if name in _FIRST else _PANEL, **limits)
        annotation: Any = Annotated[kind, option]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    return parameters


def _accepted(name: str, kind: Any, default: Any) -> tuple[Any, Any, dict[str, Any]]:  # noqa: ANN401 - any option's
    """An option's type and default on the command line, and what limits its values."""
    if name == "device":
        return DeviceName, DeviceName(default), {}
    if kind is int:
        return kind, default, {"min": 0 if name in _NONE_WILL_DO else 1}
    if kind is float:
        return kind, default, {"min": 0.0, "max": 1.0} if name in _SHARES else {"min": 0.0}
    return kind, default, _FOLDERS.get(name, {})


def _as_json() -> inspect.Parameter:
    option = typer.Option("--json", help="For programs: one JSON object a report.")
    return inspect.Parameter(
        "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option]
    )


def _explanations() -> dict[str, str]:
    """What the options' own description says of each."""
    text = inspect.getdoc(TrainingOptions) or ""
    arguments = text.partition("Args:\n")[2]
    return {
        found["name"]: _sentence(found["text"])
        for found in re.finditer(r"^ {4}(?P<name>\w+): (?P<text>.*(?:\n {5,}.*)*)", arguments, re.MULTILINE)
    }


def _sentence(text: str) -> str:
    words = " ".join(text.split())
    return words[:1].upper() + words[1:]
