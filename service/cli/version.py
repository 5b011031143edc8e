"""`afterimage version`."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import typer

from service.cli.options import JsonObjectOption
from service.cli.output import print_json

_NOTEWORTHY = ("torch", "torchvision", "open-clip-torch", "faiss-cpu", "pillow", "flask", "gunicorn", "sqlalchemy")


def version(*, as_json: JsonObjectOption = False) -> None:
    """Print the version of Afterimage, of Python and of what it stands on."""
    if as_json:
        print_json(versions())
        return
    for name, number in versions().items():
        typer.echo(f"{name} {number}")


def own_version() -> str:
    return f"afterimage {_version_of('afterimage')}"


def versions() -> dict[str, str]:
    """Ours first, then Python's and those of the libraries that decide what comes out."""
    return {
        "afterimage": _version_of("afterimage"),
        "python": platform.python_version(),
        **{name: _version_of(name) for name in _NOTEWORTHY},
    }


def _version_of(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"
