"""Puts the commands together, and turns what goes wrong into one sentence and an exit code."""

import sys
from typing import Annotated

import typer

from index.errors import IndexingError
from models.errors import ModelsError
from service.cli import (
    audit,
    backup,
    bank,
    demo,
    doctor,
    events,
    incidents,
    ingest,
    jobs,
    keys,
    match,
    measure,
    rehearse,
    reindex,
    scan,
    serve,
    sightings,
    train,
    variants,
    version,
)
from service.cli.output import Exit, complain
from service.client import ClientError
from service.errors import ServiceError

_ABOUT = """
Recognises edited re-uploads of known pictures.

Pictures are kept in banks. `bank add` fills one, `match` asks whether a picture is an edited copy of something banked,
and `serve` answers the same question over HTTP.

`bank` and `match` work on a running service (`--url`, or AFTERIMAGE_URL) or, without one, on a data directory
(`--data-dir`, or AFTERIMAGE_DATA_DIR, else ./data).

Exit codes: 0 done; 1 done, but something in it was not well, and it is listed; 2 not done, and why.

To begin: `afterimage demo`
"""

_EXTRAS = {"imagehash": "evaluation", "matplotlib": "evaluation", "pyarrow": "parquet"}
"""Packages that only some commands need, and the extra that brings them."""


def application() -> typer.Typer:
    """The command line, complete."""
    app = typer.Typer(
        name="afterimage",
        help=_ABOUT,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command("serve")(serve.command())
    app.add_typer(bank.commands(), name="bank")
    app.command("match")(match.match)
    app.add_typer(keys.commands(), name="keys")
    app.add_typer(audit.commands(), name="audit")
    app.add_typer(incidents.commands(), name="incidents")
    app.add_typer(events.commands(), name="events")
    app.add_typer(sightings.commands(), name="sightings")
    app.command("variants")(variants.variants)
    app.command("clusters")(variants.clusters)
    app.command("ingest")(ingest.ingest)
    app.command("scan")(scan.scan)
    app.add_typer(reindex.commands(), name="reindex")
    app.add_typer(jobs.commands(), name="jobs")
    app.command("backup")(backup.backup)
    app.command("restore")(backup.restore)
    app.command("doctor")(doctor.doctor)
    app.command("demo")(demo.demo)
    app.command("rehearse")(rehearse.rehearse)
    app.command("evaluate")(measure.evaluate)
    app.command("calibrate")(measure.calibrate)
    app.command("train")(train.command())
    app.command("version")(version.version)
    return app


def main() -> None:
    """Runs the command that was asked for; never answers a mistake of the user with a traceback."""
    try:
        application()()
    except (IndexingError, ModelsError, ServiceError, ClientError) as error:
        complain(str(error))
        sys.exit(Exit.NOT_DONE)
    except OSError as error:
        complain(_of_the_system(error))
        sys.exit(Exit.NOT_DONE)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        complain(f"This needs {error.name}. Install it with: pip install 'afterimage[{extra}]'")
        sys.exit(Exit.NOT_DONE)


def _of_the_system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"


def _root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, show_default=False)
    ] = False,
) -> None:
    if show_version:
        typer.echo(version.own_version())
        raise typer.Exit
