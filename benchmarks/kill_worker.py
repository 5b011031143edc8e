"""The work that is killed: threads that change a catalog and its views, and write down what was acknowledged."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index.catalog import Catalog
from index.catalog.banks import rows as bank_rows
from index.catalog.storage import sqlite as sqlite_catalog
from index.errors import Conflict, IndexingError
from index.records.banks import Purpose
from index.records.items import ItemId, ItemKind, ItemState, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.views import ViewOptions, Views

DIM = 16
OLD, NEW = SpaceId("old-000000000000"), SpaceId("new-000000000000")
BANKS = ("a", "b")
THREADS = 3
_WEIGHTS = {
    "add": 40,
    "add_many": 8,
    "delete": 14,
    "disable": 8,
    "enable": 6,
    "bank": 3,
    "purge": 3,
    "checkpoint": 6,
    "search": 4,
    "fold": 4,
    "snapshot": 3,
    "promote": 4,
}


@dataclass(frozen=True)
class Place:
    """Where everything lies."""

    url: str
    folder: Path

    def views(self, catalog: Catalog) -> Views:
        options = ViewOptions(fold_rows=64, stored_rows=64)
        return Views(catalog, {OLD: DIM, NEW: DIM}, snapshots=SnapshotStore(self.folder / "snapshots"), options=options)


def row_of(digest: str, space: SpaceId) -> Embeddings:
    """The embedding that belongs to a digest: what was written can be told from the digest alone."""
    row = np.random.default_rng([int(digest[:15], 16), len(space), ord(space[0])]).standard_normal((1, DIM))
    unit: Embeddings = (row / np.linalg.norm(row)).astype(np.float32)
    return unit


def new_item(digest: str) -> NewItem:
    frame = NewFrame(0, bytes.fromhex(digest), 90, {space: row_of(digest, space) for space in (OLD, NEW)})
    return NewItem(ItemKind.IMAGE, [frame], sha256=digest)


class Ledger:
    """Lines of JSON, each on the disk before it is acted upon further."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._mutex = threading.Lock()
        self._number = 0

    def intend(self, op: str, **facts: object) -> int:
        with self._mutex:
            self._number += 1
            number = self._number
            self._write({"n": number, "op": op, **facts})
        return number

    def acknowledge(self, number: int, **facts: object) -> None:
        with self._mutex:
            self._write({"ack": number, **facts})
            os.fdatasync(self._file)

    def complain(self, text: str) -> None:
        with self._mutex:
            self._write({"wrong": text})

    def _write(self, line: dict[str, object]) -> None:
        os.write(self._file, (json.dumps(line) + "\n").encode())


def work(place: Place, ledger: Path, seed: list[int], items: dict[str, str]) -> None:
    """
    Goes on until it is killed.

    Args:
        place: of the catalog.
        ledger: the file to write down what is done.
        seed: of what is done.
        items: that nobody else changes meanwhile: bank by item id.
    """
    sqlite_catalog._SHORTEN_EVERY_S = 0.05  # noqa: SLF001 - in a second here, what elsewhere takes hours
    sqlite_catalog._LONG_LOG_BYTES = 0  # noqa: SLF001
    bank_rows._PURGED_AT_ONCE = 3  # noqa: SLF001 - several steps for a bank of a few items
    catalog = Catalog.open(place.url)
    views = place.views(catalog)
    book = Ledger(ledger)
    shares = [dict(list(items.items())[thread::THREADS]) for thread in range(THREADS)]
    threads = [
        threading.Thread(target=_Hand(catalog, views, book, [*seed, number], share).go)
        for number, share in enumerate(shares)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Hand:
    """One thread's work."""

    def __init__(self, catalog: Catalog, views: Views, ledger: Ledger, seed: list[int], items: dict[str, str]) -> None:
        self._catalog = catalog
        self._views = views
        self._ledger = ledger
        self._source = np.random.default_rng(seed)
        self._items = items

    def go(self) -> None:
        names = list(_WEIGHTS)
        shares = np.array([_WEIGHTS[name] for name in names], np.float64)
        works: dict[str, Callable[[], None]] = {name: getattr(self, f"_{name}") for name in names}
        while True:
            op = str(self._source.choice(names, p=shares / shares.sum()))
            try:
                works[op]()
            except IndexingError as error:
                self._ledger.complain(f"{op}: {type(error).__name__}: {error}")
            except Exception as error:
                self._ledger.complain(f"{op}: {type(error).__name__}: {error}")
                raise

    def _digest(self) -> str:
        return self._source.bytes(32).hex()

    def _add(self) -> None:
        bank, digest = str(self._source.choice(BANKS)), self._digest()
        number = self._ledger.intend("add", bank=bank, digests=[digest])
        added = self._catalog.add_item(bank, new_item(digest))
        self._ledger.acknowledge(number, ids=[added.item.item_id])
        self._items[added.item.item_id] = bank

    def _add_many(self, bank: str | None = None) -> None:
        bank = bank or str(self._source.choice(BANKS))
        digests = [self._digest() for _ in range(int(self._source.integers(2, 20)))]
        number = self._ledger.intend("add_many", bank=bank, digests=digests)
        added = self._catalog.add_items(bank, [new_item(digest) for digest in digests])
        self._ledger.acknowledge(number, ids=[one.item.item_id for one in added])
        if bank in BANKS:
            self._items.update((one.item.item_id, bank) for one in added)

    def _change(self, op: str, change: Callable[[str, ItemId], object]) -> None:
        if self._items:
            item_id = str(self._source.choice(list(self._items)))
            number = self._ledger.intend(op, id=item_id)
            change(self._items[item_id], ItemId(item_id))
            self._ledger.acknowledge(number)
            if op == "delete":
                del self._items[item_id]

    def _delete(self) -> None:
        self._change("delete", self._catalog.delete_item)

    def _disable(self) -> None:
        self._change("disable", lambda bank, id_: self._catalog.set_item(bank, id_, state=ItemState.DISABLED))

    def _enable(self) -> None:
        self._change("enable", lambda bank, id_: self._catalog.set_item(bank, id_, state=ItemState.ACTIVE))

    def _bank(self) -> None:
        name = f"for-a-moment-{self._digest()[:12]}"
        number = self._ledger.intend("put_bank", bank=name)
        self._catalog.put_bank(name, Purpose.HARMFUL)
        self._ledger.acknowledge(number)
        self._add_many(name)
        number = self._ledger.intend("delete_bank", bank=name)
        self._catalog.delete_bank(name)
        self._ledger.acknowledge(number)

    def _purge(self) -> None:
        number = self._ledger.intend("purge")
        self._catalog.purge_removed()
        self._ledger.acknowledge(number)

    def _checkpoint(self) -> None:
        number = self._ledger.intend("checkpoint")
        self._catalog.check_writable()
        self._ledger.acknowledge(number)

    def _search(self) -> None:
        number = self._ledger.intend("search")
        self._views.search(OLD, row_of(self._digest(), OLD), 5)
        self._ledger.acknowledge(number)

    def _fold(self) -> None:
        number = self._ledger.intend("fold")
        self._views.follow()
        self._views.fold()
        self._ledger.acknowledge(number)

    def _snapshot(self) -> None:
        number = self._ledger.intend("snapshot")
        self._views.compact(str(self._source.choice([OLD, NEW, "pdq"])))
        self._ledger.acknowledge(number)

    def _promote(self) -> None:
        new = next(record for record in self._catalog.moves.records() if record.space == NEW)
        op = "rollback" if new.stage == "served" else "promote"
        number = self._ledger.intend(op)
        move = self._catalog.moves.promote if op == "promote" else self._catalog.moves.rollback
        try:
            version = move(NEW, leave_behind=True)
        except Conflict:  # another was faster
            self._ledger.acknowledge(number, version=0)
        else:
            self._ledger.acknowledge(number, version=version)
