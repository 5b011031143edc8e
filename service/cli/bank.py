"""`afterimage bank add` and `afterimage bank list`; `bank set` is in tiles.py."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from service.cli.options import AtOnceOption, DataDirOption, JsonForTableOption, PicturesArgument, UrlOption
from service.cli.output import Exit, answers, complain, print_json, progress, remarks
from service.cli.pictures import Found, UnreadableFile, find_pictures, read_picture
from service.cli.target import Target, UploadRefused, chosen, open_target
from service.cli.tiles import set_bank
from service.concurrently import concurrently


class BankPurpose(StrEnum):
    HARMFUL = "harmful"
    PUBLIC_INTEREST = "public_interest"


class Outcome(StrEnum):
    ADDED = "added"
    KNOWN = "known"


@dataclass(slots=True)
class Tally:
    """What became of the files."""

    added: int = 0
    known: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


def commands() -> typer.Typer:
    app = typer.Typer(help="Fill and list banks of known pictures.", no_args_is_help=True)
    app.command("add")(add)
    app.command("list")(list_banks)
    app.command("set")(set_bank)
    return app


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The bank; it is made if it does not exist.", show_default=False)],
    paths: PicturesArgument,
    *,
    purpose: Annotated[
        BankPurpose | None,
        typer.Option(help="What a new bank is for: `harmful` unless said; it keeps it.", show_default=False),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Noted beside every picture; may be repeated.", show_default=False),
    ] = None,
    jobs: AtOnceOption = 4,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonForTableOption = False,
) -> None:
    """
    Put pictures into a bank.

    Pictures whose exact bytes the bank holds already are skipped, so the same command can be run again after an
    interruption. A file that cannot be used does not stop the others; all such files are listed at the end.

    Exit code 0: everything is banked. 1: all but the files that are listed. 2: none of the files could be used, or it
    had to stop.
    """
    place = chosen(context, url, data_dir)
    labels = labels_of(label or [])
    started = time.monotonic()
    found = find_pictures(paths)
    tally = Tally(failed=[(path, "no such file or folder") for path in found.missing])
    interrupted = False
    if found.pictures:
        with open_target(place) as target:
            target.prepare_bank(name, purpose)
            interrupted = not _bank_all(found.pictures, _banker(target, name, labels), tally, jobs, quiet=as_json)
    _report(name, found, tally, time.monotonic() - started, as_json=as_json)
    if interrupted:
        complain("Interrupted. What is banked stays; the same command goes on from there.")
        raise typer.Exit(Exit.INTERRUPTED)
    if tally.failed:
        raise typer.Exit(Exit.NOT_ALL_WELL if tally.added or tally.known else Exit.NOT_DONE)


def list_banks(
    context: typer.Context,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonForTableOption = False,
) -> None:
    """List the banks: what they are for and how much they hold."""
    with open_target(chosen(context, url, data_dir)) as target:
        banks = target.banks()
    if as_json:
        print_json(banks)
        return
    if not banks:
        remarks().print("There is no bank yet. Make one with: afterimage bank add NAME PATH…")
        return
    table = Table(box=None, header_style="bold")
    for heading, justify in (("bank", "left"), ("purpose", "left"), ("items", "right"), ("made", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for bank in banks:
        table.add_row(Text(bank["bank"]), bank["purpose"], f"{bank['items']:,}", bank["created_at"][:10])
    answers().print(table)


def _bank_all(
    pictures: list[Path], bank_one: Callable[[Path], Outcome], tally: Tally, jobs: int, *, quiet: bool
) -> bool:
    """False when it was interrupted; the tally holds what was done until then."""
    with progress(quiet=quiet) as bar, closing(concurrently(bank_one, pictures, jobs)) as ended:
        task = bar.add_task("Banking", total=len(pictures))
        try:
            for path, future in ended:
                _count(path, future, tally)
                bar.advance(task)
        except KeyboardInterrupt:
            return False
    return True


def _count(path: Path, ended: "Future[Outcome]", tally: Tally) -> None:
    try:
        outcome = ended.result()
    except (UploadRefused, UnreadableFile) as error:
        tally.failed.append((path, str(error)))
    else:
        tally.added += outcome is Outcome.ADDED
        tally.known += outcome is Outcome.KNOWN


def labels_of(pairs: list[str]) -> dict[str, str]:
    """Labels as they are written on the command line, KEY=VALUE each."""
    labels = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not key or not found:
            raise typer.BadParameter("a label is written KEY=VALUE", param_hint="--label")
        labels[key] = value
    return labels


def _banker(target: Target, bank: str, labels: dict[str, str]) -> Callable[[Path], Outcome]:
    def add_one(path: Path) -> Outcome:
        data = read_picture(path)
        if target.known(bank, [hashlib.sha256(data).hexdigest()]):
            return Outcome.KNOWN
        return Outcome.ADDED if target.add(bank, data, labels) else Outcome.KNOWN

    return add_one


def _report(bank: str, found: Found, tally: Tally, seconds: float, *, as_json: bool) -> None:
    tally.failed.sort()
    if as_json:
        print_json(
            {
                "bank": bank,
                "added": tally.added,
                "already_banked": tally.known,
                "left_alone": found.left_alone,
                "failed": [{"path": str(path), "reason": reason} for path, reason in tally.failed],
                "seconds": round(seconds, 3),
            }
        )
        return
    console = answers()
    console.print(
        f"[bold]{tally.added:,}[/] banked into {escape(bank)}, {tally.known:,} were there already, "
        f"{len(tally.failed):,} could not be used. ({seconds:.1f} s)",
        soft_wrap=True,
    )
    if found.left_alone:
        console.print(f"{found.left_alone:,} files in the folders are no pictures and were left alone.", style="dim")
    for path, reason in tally.failed:
        console.print(f"  {path}: {reason}", markup=False, soft_wrap=True)
