"""Any sequence of changes, crashes and foldings, against a dictionary that remembers what should be found."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from index.catalog import Catalog
from index.records.banks import Purpose
from index.records.items import Added, ItemId, ItemKind, ItemState, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.views import ViewOptions, Views

DIM = 8
IN_MEMORY = 2
SPACE = SpaceId("test-000000000000")
BANKS = st.sampled_from(["a", "b"])
SOURCE = np.random.default_rng(5)
POOL: Embeddings = SOURCE.standard_normal((64, DIM)).astype(np.float32)
POOL /= np.linalg.norm(POOL, axis=1, keepdims=True)
HASHES = SOURCE.integers(0, 256, (64, 32), dtype=np.uint8)


@dataclass
class Known:
    """What the model remembers of an item."""

    bank: str
    rows: tuple[int, ...]
    active: bool = True


class CatalogAndViews(RuleBasedStateMachine):
    items = Bundle("items")

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.url = f"sqlite:///{self.folder / 'catalog.db'}"
        self.catalog = Catalog.open(self.url)
        self.start_workers()
        self.known: dict[ItemId, Known] = {}
        self.banks: set[str] = set()
        self.version = self.catalog.version()

    def start_workers(self) -> None:
        """Two that share snapshots, and one that keeps everything in memory."""
        self.workers = [self.worker(place) for place in range(3)]

    def worker(self, place: int) -> Views:
        store = None if place == IN_MEMORY else SnapshotStore(self.folder / "snapshots")
        options = ViewOptions(fold_rows=4, stored_rows=6)
        return Views(self.catalog, {SPACE: DIM}, snapshots=store, options=options)

    @rule(bank=BANKS)
    def put_bank(self, bank: str) -> None:
        _, created, _ = self.catalog.put_bank(bank, Purpose.HARMFUL)
        assert created == (bank not in self.banks)
        self.banks.add(bank)

    @rule(bank=BANKS)
    def delete_bank(self, bank: str) -> None:
        if bank in self.banks:
            self.catalog.delete_bank(bank)
            self.banks.remove(bank)
            self.known = {item_id: known for item_id, known in self.known.items() if known.bank != bank}

    @rule(target=items, bank=BANKS, rows=st.lists(st.integers(0, 63), min_size=1, max_size=4, unique=True))
    def add(self, bank: str, rows: list[int]) -> ItemId | None:
        if bank not in self.banks:
            return None
        frames = [NewFrame(row, HASHES[row].tobytes(), 80, {SPACE: POOL[row : row + 1]}) for row in rows]
        digest = "-".join(map(str, rows)).rjust(64, "0")
        added: Added = self.catalog.add_item(bank, NewItem(ItemKind.VIDEO, frames, sha256=digest))
        held = [item_id for item_id, known in self.known.items() if (known.bank, known.rows) == (bank, tuple(rows))]
        assert held == ([] if added.created else [added.item.item_id])
        if added.created:
            self.known[added.item.item_id] = Known(bank, tuple(rows))
        return added.item.item_id

    @rule(item_id=items, state=st.sampled_from(ItemState))
    def set_state(self, item_id: ItemId | None, state: ItemState) -> None:
        if item_id in self.known:
            known = self.known[item_id]
            self.catalog.set_item(known.bank, item_id, state=state)
            known.active = state is ItemState.ACTIVE

    @rule(item_id=consumes(items))
    def delete(self, item_id: ItemId | None) -> None:
        if item_id in self.known:
            self.catalog.delete_item(self.known.pop(item_id).bank, item_id)

    @rule()
    def crash(self) -> None:
        """Views are not closed in order; the catalog's file and the snapshots are all that is left."""
        self.catalog.close()
        self.catalog = Catalog.open(self.url)
        self.start_workers()

    @rule(data=st.data())
    def crash_and_find_a_file_damaged(self, data: st.DataObject) -> None:
        files = sorted(path for path in (self.folder / "snapshots").rglob("*-*/*"))
        if files:
            path = data.draw(st.sampled_from(files))
            content = bytearray(path.read_bytes())
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(content)
        self.crash()

    @rule(place=st.integers(0, 2))
    def restart_a_worker(self, place: int) -> None:
        self.workers[place] = self.worker(place)

    @rule(place=st.integers(0, 2))
    def tend(self, place: int) -> None:
        self.workers[place].tend()
        self.workers[place].close()  # waits for it

    @rule(place=st.integers(0, 2))
    def fold(self, place: int) -> None:
        self.workers[place].follow()
        self.workers[place].fold()

    @rule(place=st.integers(0, 2), query=st.integers(0, 63), k=st.integers(1, 6), bank=st.none() | BANKS)
    def search(self, place: int, query: int, k: int, bank: str | None) -> None:
        if bank is not None and bank not in self.banks:
            return
        reading = self.workers[place].reading()
        banks = None if bank is None else [bank]
        hits = reading.search(SPACE, POOL[query : query + 1], k, banks)
        near = reading.search_pdq(HASHES[query : query + 1], k, None, banks)
        findable = {i: known for i, known in self.known.items() if known.active and bank in {None, known.bank}}
        scores = {i: float(max(POOL[list(known.rows)] @ POOL[query])) for i, known in findable.items()}
        bits = np.unpackbits(HASHES, axis=1)
        distances = {i: int(min((bits[list(known.rows)] != bits[query]).sum(axis=1))) for i, known in findable.items()}
        assert np.allclose([hit.score for hit in hits], sorted(scores.values(), reverse=True)[:k], atol=4e-3)
        assert all(abs(hit.score - scores[hit.item_id]) < 4e-3 for hit in hits)
        assert len({hit.item_id for hit in hits}) == len(hits) == min(k, len(findable))
        assert [hit.distance for hit in near] == sorted(distances.values())[:k]
        assert all(hit.distance == distances[hit.item_id] for hit in near)
        asked_of = reading.scores_of(SPACE, POOL[query : query + 1], list(self.known))
        assert set(asked_of) == {i for i, known in self.known.items() if known.active}

    @invariant()
    def the_catalog_agrees_with_the_model(self) -> None:
        if not hasattr(self, "catalog"):
            return
        version = self.catalog.version()
        assert version >= self.version
        self.version = version
        counts = {bank.name: bank.items for bank in self.catalog.banks(10).items}
        assert counts == {bank: sum(known.bank == bank for known in self.known.values()) for bank in self.banks}

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            for views in self.workers:
                views.close()
            self.catalog.close()
            shutil.rmtree(self.folder)


CatalogAndViews.TestCase.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCatalogAndViews = CatalogAndViews.TestCase
