"""`afterimage serve`: every setting is a flag, made from the settings themselves."""

import errno
import inspect
import shlex
import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from service.cli.output import complain, remarks
from service.errors import RefusedToStart
from service.settings import PREFIX, Settings, load_settings

_FIRST = ("host", "port", "data_dir", "model", "device", "catalog", "workers", "threads", "trust_network", "log_level")
_PANEL = "Limits and fine tuning"

_ABOUT = """
Run the service.

It listens on a loopback address unless told otherwise, keeps its banks in the data directory, and ends in good order on
Ctrl-C or SIGTERM. SIGHUP reloads it without losing a request.

Every flag is also a setting of the environment: --max-bytes is AFTERIMAGE_MAX_BYTES. A flag goes over the environment.
"""


def command() -> Callable[..., None]:
    """The command, with a flag for each setting there is."""

    def serve(**flags: object) -> None:
        from service.server import run

        settings = load_settings(**flags)
        refuse_taken_port(settings.host, settings.port)
        try:
            run(settings, on_listening=announce, on_ready=invite)
        except SystemExit as ended:
            if ended.code:
                complain("It cannot serve: the line `cannot start` says why. `afterimage doctor` looks at every part.")
            raise

    serve.__doc__ = _ABOUT
    parameters = [_flag(name, field) for name, field in _in_order()]
    serve.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    serve.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return serve


def refuse_taken_port(host: str, port: int) -> None:
    """
    Raises:
        RefusedToStart: somebody else listens there; said before anything is opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise RefusedToStart(
                    f"Port {port} of {host} is taken. Is a service running there already? --port 0 finds a free one."
                ) from error
            raise RefusedToStart(f"{host}:{port} cannot be listened on: {error.strerror}.") from error


def announce(url: str) -> None:
    """Says where it listens, while the model is being opened."""
    remarks().print(
        f"\n[bold]Afterimage[/] listens on [bold]{escape(url)}[/] and is opening its model …", soft_wrap=True
    )


def invite(url: str) -> None:
    """Tells a newcomer what to try, once it would work."""
    console = remarks()
    console.print(f"\n[bold]Ready.[/] What it understands: [bold]{escape(url)}/docs[/]", soft_wrap=True)
    console.print(
        "Bank a picture, then ask about an edited copy of it (or take pictures of your own):\n", soft_wrap=True
    )
    for line in first_steps(url):
        # Printed as it is, unwrapped, so that it can be copied.
        console.print(f"  {line}\n", markup=False, soft_wrap=True)


def first_steps(url: str) -> tuple[str, str]:
    """Two `curl` lines that work as they are: one banks a picture, one asks about a re-upload of it."""
    known, reupload = (shlex.quote(f"media=@{_shortest(sample)}") for sample in ("known.jpg", "reupload.jpg"))
    bank = f"{url}/v1/banks/first"
    make = f"""curl -X PUT -H 'Content-Type: application/json' -d '{{"purpose": "harmful"}}' {bank}"""
    return f"{make} --next -F {known} {bank}/items", f"curl -F {reupload} {url}/v1/match"


def default_of(name: str) -> str:
    """A setting's default as a person would write it."""
    default = Settings.model_fields[name].default
    if isinstance(default, tuple):
        return ",".join(default) or "none"
    if isinstance(default, bool):
        return "true" if default else "false"
    return str(default) if default != "" else "none"


def _shortest(sample: str) -> str:
    path = Path(str(files("service") / "samples" / sample))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _in_order() -> list[tuple[str, FieldInfo]]:
    fields = Settings.model_fields
    rest = [name for name in fields if name not in _FIRST]
    return [(name, fields[name]) for name in (*_FIRST, *rest)]


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    yes_or_no = field.annotation is bool
    help_text = f"{field.description} [env var: {PREFIX}{name.upper()}; default: {default_of(name)}]"
    option = typer.Option(
        help=help_text,
        metavar=None if yes_or_no else _metavar(field),
        show_default=False,
        rich_help_panel=None if name in _FIRST else _PANEL,
    )
    kind: Any = bool | None if yes_or_no else str | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _metavar(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "NAME,…"
    return {int: "INTEGER", float: "NUMBER", Path: "FOLDER"}.get(kind, "TEXT") if isinstance(kind, type) else "TEXT"
