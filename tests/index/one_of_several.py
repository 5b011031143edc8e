"""
One of several processes that add, remove, search and fold the same catalog at the same time.

    python tests/index/one_of_several.py FOLDER NUMBER ROUNDS

Whatever was acknowledged is written to a ledger in the folder, by everybody, after its acknowledgement. So what the
ledger says before a search began must hold in its answer: an item that was removed is not in it, one that was added
is, unless it has been removed since. Ends with 1 and a sentence when it does not.
"""

import os
import random
import sys
from pathlib import Path

import numpy as np

from index.catalog import Catalog
from index.records.items import ItemId, ItemKind, ItemState, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.views import ViewOptions, Views

DIM = 16
SPACE = SpaceId("test-000000000000")
BANK = "known"


class Ledger:
    """What has been acknowledged, by any of the processes: one line each, `+` or `-`, the seed and the item."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, sign: str, seed: int, item_id: ItemId) -> None:
        os.write(self._file, f"{sign} {seed} {item_id}\n".encode())

    def read(self) -> tuple[dict[ItemId, int], set[ItemId]]:
        """Everything ever added, with its seed, and what of it is removed."""
        added: dict[ItemId, int] = {}
        removed: set[ItemId] = set()
        for line in self._path.read_text().splitlines():
            sign, seed, item_id = line.split()
            if sign == "+":
                added[ItemId(item_id)] = int(seed)
            else:
                removed.add(ItemId(item_id))
        return added, removed


def embedding(seed: int) -> Embeddings:
    row = np.random.default_rng(seed).standard_normal((1, DIM)).astype(np.float32)
    normal: Embeddings = row / np.linalg.norm(row)
    return normal


def pdq(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


class Process:
    def __init__(self, folder: Path, number: int) -> None:
        self._catalog = Catalog.open(f"sqlite:///{folder / 'catalog.db'}")
        self._views = Views(
            self._catalog,
            {SPACE: DIM},
            snapshots=SnapshotStore(folder / "snapshots"),
            options=ViewOptions(fold_rows=12, stored_rows=24),
        )
        self._ledger = Ledger(folder / "ledger")
        self._dice = random.Random(number)
        self._number = number
        self._mine: list[tuple[int, ItemId]] = []

    def run(self, rounds: int) -> None:
        for round_no in range(rounds):
            self._add(seed=self._number * 1_000_000 + round_no)
            if self._dice.random() < 0.5:
                self._remove()
            if self._dice.random() < 0.1:
                self._views.tend()
            self._search()
        self._views.close()
        self._catalog.close()

    def _add(self, seed: int) -> None:
        frame = NewFrame(0, pdq(seed), 90, {SPACE: embedding(seed)})
        item_id = self._catalog.add_item(BANK, NewItem(ItemKind.IMAGE, [frame])).item.item_id
        self._ledger.write("+", seed, item_id)
        self._mine.append((seed, item_id))

    def _remove(self) -> None:
        seed, item_id = self._mine.pop(self._dice.randrange(len(self._mine)))
        if self._dice.random() < 0.5:
            self._catalog.delete_item(BANK, item_id)
        else:
            self._catalog.set_item(BANK, item_id, state=ItemState.DISABLED)
        self._ledger.write("-", seed, item_id)

    def _search(self) -> None:
        added, removed = self._ledger.read()
        item_id, seed = self._dice.choice(list(added.items()))
        reading = self._views.reading()
        everything = {hit.item_id for hit in reading.search(SPACE, embedding(seed), len(added) + 50)}
        hashes = np.frombuffer(pdq(seed), np.uint8).reshape(1, 32)
        same_hash = {hit.item_id for hit in reading.search_pdq(hashes, len(added) + 50)}
        for found in (everything, same_hash):
            if found & removed:
                sys.exit(f"{found & removed} was found, and had been removed before")
        _, removed_since = self._ledger.read()
        missing = {one for one in added if one not in everything} - removed_since
        # Removed and not in the ledger yet: whoever removed it is about to write that down.
        if any(self._is_there(one) for one in missing):
            sys.exit(f"{missing} had been added before, and was not found")
        if item_id in everything and item_id not in same_hash:
            sys.exit(f"{item_id} was found by its embedding and not by its hash")

    def _is_there(self, item_id: ItemId) -> bool:
        item = self._catalog.items_by_id([item_id]).get(item_id)
        return item is not None and item.state is ItemState.ACTIVE


if __name__ == "__main__":
    Process(Path(sys.argv[1]), int(sys.argv[2])).run(int(sys.argv[3]))
