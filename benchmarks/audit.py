"""
What keys, budgets and the audit log cost.

    python benchmarks/audit.py                # a million entries
    python benchmarks/audit.py --entries 10000

Entries are written as the catalog writes them, in its own transactions. Verifying follows the whole chain: the peer, in
the same run, is SHA-256 over the same bytes and nothing else, which no verification can go below. The door is timed by
what a request adds: the key looked up and compared, its scope, its budget.
"""

import argparse
import hashlib
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from report import print_heading, print_table, quantile

from index.audit import Actor, AuditAction, Row, acting, digest_of, to_json
from index.catalog import Catalog
from index.catalog.audit import append_all
from index.records.keys import NewKey, Role, Scope
from service.errors import NotAuthenticated
from service.keys.access import ACCESS
from service.keys.budgets import Budget, Budgets
from service.keys.doorkeeper import Doorkeeper
from service.keys.keyring import Keyring, make_key
from service.settings import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)
PIECE = 1000
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=20_000, help="of the door, for each kind")
    parser.add_argument("--workers", type=int, default=2, help="processes that spend one budget at once")
    options = parser.parse_args()
    print_heading("Keys, budgets and the audit log", options)
    with tempfile.TemporaryDirectory() as folder:
        _log(Path(folder), options.entries)
        _door(Path(folder), options.calls)
        _together(Path(folder), options.calls, options.workers)


def _log(folder: Path, entries: int) -> None:
    with closing(Catalog.open(f"sqlite:///{folder / 'catalog.db'}")) as catalog:
        before = catalog.info().facts.size_bytes
        wrote = _clocked(lambda: _write(catalog, entries))
        grown = catalog.info().facts.size_bytes - before
        found = catalog.audit.verify()
        assert (found.broken, found.head.seq) == (None, entries)
        verified = min(_clocked(catalog.audit.verify) for _ in range(3))
        hashed = min(_hashing(catalog) for _ in range(3))
        alone = [_timed(lambda number=number: _one(catalog, number)) for number in range(300)]
    ratio = verified[1] / hashed[1]
    print(f"Verifying takes {ratio:.1f} times the work of hashing the same bytes: {verified[1]:.1f} s of a core.\n")
    kinds = {"verified": verified, "SHA-256 of the same bytes, alone": hashed, f"written, {PIECE} a transaction": wrote}
    rows = [(name, f"{wall:.2f}", f"{core:.2f}", f"{entries / core:,.0f}") for name, (wall, core) in kinds.items()]
    print_table((f"{entries:,} entries", "s", "s of a core", "entries/s of a core"), rows)
    print(f"{grown / entries:,.0f} bytes an entry on the disk, indexes included.\n")
    print(f"One entry, in a transaction of its own: median {statistics.median(alone) * 1000:.2f} ms, fsync included.\n")


def _write(catalog: Catalog, entries: int) -> None:
    who = Actor("http", "vid.example", "i26pg3dsbl7w", "7f0c4be15a2d4b6f90c1d2e3")
    with acting(who):
        for first in range(0, entries, PIECE):
            numbers = range(first, min(first + PIECE, entries))
            at = START + timedelta(seconds=first)
            changes = [(AuditAction.ITEM_CHANGED, _subject(number), _details(number)) for number in numbers]
            catalog.database.write(lambda connection, at=at, changes=changes: append_all(connection, at, changes))


def _one(catalog: Catalog, number: int) -> None:
    change = [(AuditAction.ITEM_CHANGED, _subject(number), _details(number))]
    catalog.database.write(lambda connection: append_all(connection, START, change))


def _subject(number: int) -> str:
    return f"banks/known/items/{number:028x}"


def _details(number: int) -> dict[str, object]:
    return {
        "before": {"state": "active", "labels": {"source": "desk", "ticket": number}},
        "after": {"state": "disabled", "labels": {"source": "desk", "ticket": number, "why": "asked by its owner"}},
    }


def _hashing(catalog: Catalog) -> tuple[float, float]:
    """The bytes are there before the clock starts."""
    row = catalog.audit.rows(0)[0]
    size = len(_text_of(row))
    data, digest, count = bytes(size), bytes(32), catalog.audit.head().seq

    def run() -> None:
        nonlocal digest
        for _ in range(count):
            digest = hashlib.sha256(digest + data).digest()

    return _clocked(run)


def _text_of(row: Row) -> bytes:
    import json  # noqa: PLC0415 - here alone

    entry = to_json(row)
    digest = bytes.fromhex(entry.pop("digest"))
    text = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    assert digest == digest_of(row, bytes(32))
    return text


def _door(folder: Path, calls: int) -> None:
    text, secret = make_key()
    settings = Settings(data_dir=folder, key_rate_per_s=1e6, key_queries_per_day=10**9)
    with closing(Catalog.open(f"sqlite:///{folder / 'door.db'}")) as catalog:
        catalog.keys.create(NewKey("vid.example", Role.PLATFORM, frozenset(Scope)), secret)
        door = Doorkeeper(Keyring(catalog.keys), Budgets(folder / "budgets"), settings)
        access, header = ACCESS["match"], f"Bearer {text}"

        def whole() -> None:
            caller = door.caller(header)
            door.take(caller, queries=1)
            door.refuse_unscoped(caller, access, {})
            with door.inside(caller):
                pass

        def refused(shown: str) -> Callable[[], None]:
            def ask() -> None:
                try:
                    door.caller(f"Bearer {shown}")
                except NotAuthenticated:
                    return
                raise AssertionError

            return ask

        caller = door.caller(header)
        kinds: dict[str, Callable[[], object]] = {
            "all of it": whole,
            "the key": lambda: door.caller(header),
            "the budget": lambda: door.take(caller, queries=1),
            "refused: the last letter is wrong": refused(text[:-1] + ("a" if text[-1] != "a" else "b")),
            "refused: no such key": refused("afterimage_aaaaaaaaaaaa_" + "a" * 52),
            "refused: not a key": refused("b" * len(text)),
        }
        rows = [(name, *_microseconds(_each(call, calls))) for name, call in kinds.items()]
        door.close()
    print_table(("the door, µs a request", "median", "p99", "mean"), rows)


def _together(folder: Path, calls: int, workers: int) -> None:
    """Several processes spend one key's budget as fast as they can: what it costs then, and whether it holds."""
    quota = workers * calls // 2
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        found = pool.starmap(_spend, [(folder / "together", quota, calls)] * workers)
    taken = sum(count for count, _ in found)
    taking = [seconds for _, each in found for seconds in each]
    print_table(
        (f"{workers} processes on one budget, µs a call", "median", "p99", "mean"),
        [("the budget", *_microseconds(taking))],
    )
    print(f"Of {workers * calls:,} calls {taken:,} were allowed; the budget was {quota:,}.\n")
    assert taken == quota


def _spend(path: Path, quota: int, calls: int) -> tuple[int, list[float]]:
    taken, budget, took = 0, Budget(0, quota), []
    with closing(Budgets(path)) as budgets:
        for _ in range(calls):
            began = time.perf_counter()
            taken += budgets.take(1, budget, queries=1).wait_s == 0
            took.append(time.perf_counter() - began)
    return taken, took


def _each(call: Callable[[], object], calls: int) -> list[float]:
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return took


def _microseconds(took: list[float]) -> tuple[str, str, str]:
    values = statistics.median(took), quantile(took, 0.99), statistics.fmean(took)
    return tuple(f"{value * 1e6:.1f}" for value in values)  # type: ignore[return-value]


def _timed(call: Callable[[], object]) -> float:
    return _clocked(call)[0]


def _clocked(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of this process on a core: on a busy machine the second says what it takes."""
    began, worked = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - worked


if __name__ == "__main__":
    main()
