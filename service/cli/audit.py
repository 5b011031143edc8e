"""`afterimage audit`: who changed what, and whether the log of it is whole."""

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from index.audit import AuditHead, Chain, Row, Verified, from_json, to_json
from service.cli.catalogs import open_catalog
from service.cli.options import DataDirOption, JsonOption, UrlOption
from service.cli.output import Exit, answers, complain, print_json, printable, progress
from service.cli.target import chosen, service_client

_DIGEST_DIGITS = 64

Json = dict[str, Any]

_ABOUT = """
Read, export and verify the audit log: every change of banks, items, keys, spaces and jobs, and who made it.

Each entry is chained to the one before by its digest, so that nothing can be changed or left out unnoticed. What a
chain alone cannot show is that its end was cut off, or all of it written anew: note the end that `verify` prints
somewhere else, and give it back later as `--witness`.
"""


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("list")(list_entries)
    app.command("export")(export)
    app.command("verify")(verify)
    return app


@dataclass(frozen=True, slots=True)
class _Wanted:
    participant: str | None
    action: str | None
    subject: str | None


def list_entries(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, the newest first.")] = 20,
    participant: Annotated[str | None, typer.Option(help="What this participant did.", show_default=False)] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as item.deleted.", show_default=False)] = None,
    subject: Annotated[
        str | None, typer.Option(help="What it was done to, such as banks/known.", show_default=False)
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was done last."""
    place = chosen(context, url, data_dir)
    wanted = _Wanted(participant, action, subject)
    entries = _newest_of_service(place.url, wanted, limit) if place.url else _newest(place.data_dir, wanted, limit)
    if as_json:
        print_json(entries)
        return
    table = Table(box=None, header_style="bold")
    for heading in ("", "at (UTC)", "who", "what", "to what", "details"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        who = entry["participant"] or f"({entry['via']})"
        details = printable(json.dumps(entry["details"], ensure_ascii=False, sort_keys=True))
        texts = (str(entry["seq"]), entry["at"][:19].replace("T", " "), who, entry["action"], entry["subject"], details)
        table.add_row(*(Text(printable(text)) for text in texts))
    answers().print(table)


def export(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Where to; standard output unless named.", show_default=False)
    ] = None,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """
    Write the whole log as JSON, an entry a line, oldest first.

    A file is only there when it is complete. `afterimage audit verify FILE` verifies it, anywhere.
    """
    place = chosen(context, url, data_dir)
    with (
        _entries(place.url, place.data_dir) as (entries, total),
        _written(file) as out,
        progress(quiet=file is None) as bar,
    ):
        for entry in bar.track(entries, total=total, description="Exporting"):
            out.write(json.dumps(entry, sort_keys=True, separators=(",", ":")) + "\n")


def verify(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="An export; else the log itself.", exists=True, dir_okay=False, show_default=False),
    ] = None,
    *,
    witness: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER:DIGEST", help="An end noted earlier; may be repeated.", show_default=False),
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Follow the chain from the first entry to the last.

    Exit code 0: it holds. 1: it does not, and where. 2: it could not be looked at.
    """
    witnesses = dict(_witness(text) for text in witness or [])
    place = chosen(context, url, data_dir)
    if file is not None:
        found = _followed(map(from_json, _lines(file)), witnesses, quiet=as_json)
    elif place.url is not None:
        found = _of_service(place.url, witnesses, quiet=as_json)
    else:
        found = _of_catalog(place.data_dir, witnesses, quiet=as_json)
    if as_json:
        print_json(
            {
                "whole": found.broken is None,
                "entries": found.head.seq,
                "head": _shown(found.head),
                "broken": found.broken,
            }
        )
    elif found.broken is None:
        answers().print(f"All {found.head.seq:,} entries hold. The end, to note elsewhere:")
        typer.echo(_shown(found.head))
    else:
        complain(f"The audit log does not hold: {found.broken}. It does up to {_shown(found.head)}")
    if found.broken is not None:
        raise typer.Exit(Exit.NOT_ALL_WELL)


def _followed(rows: Iterator[Row], witnesses: dict[int, bytes], *, quiet: bool) -> Verified:
    chain = Chain(witnesses)
    try:
        with progress(quiet=quiet) as bar:
            chain.follow(bar.track(rows, description="Verifying"))
    except (ValueError, RecursionError):
        chain.broken = f"what follows entry {chain.seq} is not an entry"
    return chain.end()


def _of_service(url: str, witnesses: dict[int, bytes], *, quiet: bool) -> Verified:
    client = service_client(url)
    head = client.get("/v1/audit/head")
    ends = {head["seq"]: bytes.fromhex(head["digest"])} if head["seq"] else {}
    return _followed(map(from_json, client.audit()), ends | witnesses, quiet=quiet)


def _of_catalog(data_dir: Path | None, witnesses: dict[int, bytes], *, quiet: bool) -> Verified:
    with open_catalog(data_dir) as catalog, progress(quiet=quiet) as bar:
        task = bar.add_task("Verifying", total=None)
        return catalog.audit.verify(witnesses, lambda done, total: bar.update(task, completed=done, total=total))


@contextmanager
def _entries(url: str | None, data_dir: Path | None) -> Iterator[tuple[Iterator[Json], int]]:
    """Every entry, oldest first, and how many there are."""
    if url is not None:
        client = service_client(url)
        yield client.audit(), int(client.get("/v1/audit/head")["seq"])
        return
    with open_catalog(data_dir) as catalog:

        def read() -> Iterator[Json]:
            after = 0
            while rows := catalog.audit.rows(after):
                yield from map(to_json, rows)
                after = rows[-1].seq

        yield read(), catalog.audit.head().seq


@contextmanager
def _written(file: Path | None) -> Iterator[IO[str]]:
    """Complete or not at all."""
    if file is None:
        yield sys.stdout
        return
    aside = file.with_name(file.name + ".part")
    with aside.open("w", encoding="ascii") as out:
        yield out
    aside.replace(file)


def _lines(file: Path) -> Iterator[Json]:
    decoder = json.JSONDecoder(object_pairs_hook=_each_once)
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            entry = decoder.decode(line)
            if not isinstance(entry, dict):
                raise ValueError("not an entry")  # noqa: TRY004 - as what is no JSON
            yield entry


def _each_once(pairs: list[tuple[str, Any]]) -> Json:
    """Of two values of one name, the digest covers one, and somebody reads the other."""
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError("a name is there twice")
    return entry


def _newest_of_service(url: str, wanted: _Wanted, limit: int) -> list[Json]:
    asked = {"participant": wanted.participant, "action": wanted.action, "subject": wanted.subject}
    given = {name: value for name, value in asked.items() if value is not None}
    return list(itertools.islice(service_client(url).audit({"order": "newest", "limit": limit, **given}), limit))


def _newest(data_dir: Path | None, wanted: _Wanted, limit: int) -> list[Json]:
    from index.catalog.audit import AuditQuery

    query = AuditQuery(wanted.participant, wanted.action, wanted.subject, newest_first=True)
    with open_catalog(data_dir) as catalog:
        return [to_json(row) for row in catalog.audit.page(query, limit).items]


def _shown(head: AuditHead) -> str:
    return f"{head.seq}:{head.digest.hex()}"


def _witness(text: str) -> tuple[int, bytes]:
    seq, _, digest = text.partition(":")
    if not seq.isdigit() or len(digest) != _DIGEST_DIGITS or set(digest.lower()) - set("0123456789abcdef"):
        raise typer.BadParameter("it is written NUMBER:DIGEST, as `verify` prints it", param_hint="--witness")
    return int(seq), bytes.fromhex(digest)
