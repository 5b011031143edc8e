"""What must hold after a kill: everything acknowledged, nothing removed, and a catalog that is sound in itself."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from kill_worker import BANKS, NEW, OLD, Place, row_of
from sqlalchemy import text

from index.catalog import Catalog
from index.records.items import ItemId, ItemState
from index.views.views import Views

_SAMPLE = 30


@dataclass
class Expected:
    """What the ledgers say. Digests and ids are kept for ever: what was removed may never come back."""

    items: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Bank and digest, by item id; those that are there."""
    disabled: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    unsure_adds: list[list[tuple[str, str]]] = field(default_factory=list)
    """Bank and digest of what was to be added together and not acknowledged."""
    unsure_changes: dict[str, str] = field(default_factory=dict)
    """What was to be done to an item and was not acknowledged."""
    banks: dict[str, bool | None] = field(default_factory=dict)
    """Whether a bank made for a moment is there; None where that was not acknowledged."""
    moved: tuple[int, str] = (0, "rollback")
    """The version of the last promotion or rollback that was acknowledged, and which it was."""
    moving: bool = False
    """One was under way."""
    acknowledged: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)
    """How often a kill fell into what."""
    wrong: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"disabled": sorted(self.disabled), "removed": sorted(self.removed)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Expected":
        expected = cls(**values)
        expected.items = {item_id: (bank, digest) for item_id, (bank, digest) in values["items"].items()}
        expected.disabled, expected.removed = set(values["disabled"]), set(values["removed"])
        expected.moved = (values["moved"][0], values["moved"][1])
        return expected

    def read(self, ledger: Path) -> None:
        """What one process wrote down until it was killed."""
        lines = [json.loads(line) for line in ledger.read_text().splitlines(keepends=True) if line.endswith("\n")]
        acknowledged = {line["ack"]: line for line in lines if "ack" in line}
        self.wrong += [line["wrong"] for line in lines if "wrong" in line]
        self.acknowledged += len(acknowledged)
        for line in lines:
            if "op" in line:
                self._note(line, acknowledged.get(line["n"]))

    def _note(self, line: dict[str, Any], ack: dict[str, Any] | None) -> None:
        op = line["op"]
        if ack is None:
            self.in_flight[op] = self.in_flight.get(op, 0) + 1
        if op in ("add", "add_many"):
            self._note_adding(line, ack)
        elif op in ("delete", "disable", "enable"):
            if ack is None:
                self.unsure_changes[line["id"]] = op
            else:
                self._do(op, line["id"])
        elif op in ("put_bank", "delete_bank"):
            self.banks[line["bank"]] = None if ack is None else op == "put_bank"
            if op == "delete_bank" and ack is not None:
                self._lose([id_ for id_, (bank, _) in self.items.items() if bank == line["bank"]])
        elif op in ("promote", "rollback"):
            if ack is None:
                self.moving = True
            else:
                self.moved = max(self.moved, (ack["version"], op))

    def _note_adding(self, line: dict[str, Any], ack: dict[str, Any] | None) -> None:
        if ack is None:
            self.unsure_adds.append([(line["bank"], digest) for digest in line["digests"]])
        else:
            added = zip(ack["ids"], line["digests"], strict=True)
            self.items |= {item_id: (line["bank"], digest) for item_id, digest in added}

    def _do(self, op: str, item_id: str) -> None:
        if op == "delete":
            self._lose([item_id])
        elif op == "disable":
            self.disabled.add(item_id)
        else:
            self.disabled.discard(item_id)

    def _lose(self, item_ids: Iterable[str]) -> None:
        for item_id in item_ids:
            self.items.pop(item_id, None)
            self.disabled.discard(item_id)
            self.removed.add(item_id)


def settle(expected: Expected, catalog: Catalog) -> list[str]:
    """Finds out about what was under way, which may have happened or not, but never by halves."""
    faults = []
    names = _bank_names(catalog)
    for name, there in expected.banks.items():
        held = name in names
        if there is not None and held != there:
            faults.append(f"bank {name}: {'lost' if there else 'back'}")
        if not held:
            expected._lose([id_ for id_, (bank, _) in expected.items.items() if bank == name])  # noqa: SLF001
    for adding in expected.unsure_adds:
        bank = adding[0][0]
        found = (
            {}
            if expected.banks.get(bank) is None and bank not in names
            else {digest: catalog.item_by_sha256(bank, digest) for _, digest in adding}
        )
        came = {digest: item for digest, item in found.items() if item is not None}
        if came and len(came) != len(adding):
            faults.append(f"{len(came)} of {len(adding)} items that belong together")
        expected.items |= {item.item_id: (bank, digest) for digest, item in came.items()}
    there_now = catalog.items_by_id([ItemId(item_id) for item_id in expected.unsure_changes])
    for item_id, op in expected.unsure_changes.items():
        item = there_now.get(ItemId(item_id))
        if op == "delete" and item is None:
            expected._lose([item_id])  # noqa: SLF001
        elif item is not None and op in ("disable", "enable"):
            expected._do("disable" if item.state is ItemState.DISABLED else "enable", item_id)  # noqa: SLF001
    expected.banks = {name: True for name in expected.banks if name in names}
    expected.unsure_adds, expected.unsure_changes = [], {}
    return faults


def faults_of(expected: Expected, place: Place, seed: int) -> list[str]:
    """Everything that is not as it must be. Settles what was unsure."""
    catalog = Catalog.open(place.url)
    try:
        faults = [
            *settle(expected, catalog),
            *_faults_of_items(expected, catalog),
            *_faults_of_moves(expected, catalog),
        ]
        faults += _faults_within(catalog)
        for views in (place.views(catalog), Views(catalog, {OLD: 16, NEW: 16})):
            faults += _faults_of_views(expected, views, seed)
            views.close()
        catalog.purge_removed()
        faults += _faults_of_rows(expected, catalog)
        catalog.check_writable()
    finally:
        catalog.close()
    return faults


def _faults_of_items(expected: Expected, catalog: Catalog) -> Iterable[str]:
    found = catalog.items_by_id([ItemId(item_id) for item_id in (*expected.items, *expected.removed)])
    for item_id, (bank, digest) in expected.items.items():
        item = found.get(ItemId(item_id))
        state = ItemState.DISABLED if item_id in expected.disabled else ItemState.ACTIVE
        if item is None:
            yield f"item {item_id} is lost"
        elif (item.bank, item.sha256, item.state, item.frames, len(item.spaces)) != (bank, digest, state, 1, 2):
            yield f"item {item_id} is not what was acknowledged: {item}"
    yield from (f"item {item_id} is back" for item_id in expected.removed if ItemId(item_id) in found)
    counted = {name: catalog.bank(name).items for name in _bank_names(catalog)}
    known = {name: sum(bank == name for bank, _ in expected.items.values()) for name in counted}
    if counted != known:
        yield f"banks count {counted} and should {known}"
    if not set(BANKS) <= set(counted):
        yield f"banks are lost: {sorted(counted)}"


def _bank_names(catalog: Catalog) -> set[str]:
    return {rule.name for rule in catalog.state().banks.values()}


def _faults_of_moves(expected: Expected, catalog: Catalog) -> Iterable[str]:
    stages = {record.space: record.stage.value for record in catalog.moves.records()}
    allowed = {"promote": {OLD: "retired", NEW: "served"}, "rollback": {OLD: "served", NEW: "shadow"}}
    if stages not in (list(allowed.values()) if expected.moving else [allowed[expected.moved[1]]]):
        yield f"spaces are {stages} after {expected.moved}"
    now = next(name for name, value in allowed.items() if value == stages) if stages in allowed.values() else ""
    expected.moved, expected.moving = (catalog.version(), now), False


def _faults_within(catalog: Catalog) -> Iterable[str]:
    with catalog.database.reading() as connection:
        head, entries, newest = connection.execute(
            text("SELECT (SELECT seq FROM log_head), count(*), coalesce(max(seq), 0) FROM changes")
        ).one()
        if not head == entries == newest:
            yield f"the log has {entries} entries up to {newest}, and says {head}"
        for orphans in (
            "SELECT count(*) FROM frames f LEFT JOIN items i ON i.item_key = f.item_key WHERE i.item_key IS NULL",
            "SELECT count(*) FROM embeddings e LEFT JOIN items i ON i.item_key = e.item_key WHERE i.item_key IS NULL",
            "SELECT count(*) FROM items i LEFT JOIN frames f ON i.item_key = f.item_key WHERE f.item_key IS NULL",
        ):
            if connection.execute(text(orphans)).scalar_one():
                yield f"rows without their others: {orphans}"
        if connection.dialect.name == "sqlite":
            sound = connection.execute(text("PRAGMA integrity_check")).scalars().all()
            if sound != ["ok"]:
                yield f"the file is damaged: {sound}"
    verified = catalog.audit.verify()
    if verified.broken is not None:
        yield f"the audit log is broken: {verified.broken}"


def _faults_of_rows(expected: Expected, catalog: Catalog) -> Iterable[str]:
    """Once what was removed is purged."""
    with catalog.database.reading() as connection:
        items, banks = connection.execute(
            text("SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM banks)")
        ).one()
    if (items, banks) != (len(expected.items), len(_bank_names(catalog))):
        yield f"{items} items and {banks} banks are in the tables, where {len(expected.items)} items should be"


def _faults_of_views(expected: Expected, views: Views, seed: int) -> Iterable[str]:
    active = {ItemId(item_id) for item_id in expected.items if item_id not in expected.disabled}
    asked = [ItemId(item_id) for item_id in (*expected.items, *expected.removed)]
    for space in (OLD, NEW):
        found = set(views.scores_of(space, row_of("0" * 64, space), asked))
        if found != active:
            yield f"{space}: {len(found - active)} found that are gone, {len(active - found)} not found"
    hashes = set(views.distances_of(np.zeros((1, 32), np.uint8), asked))
    if hashes != active:
        yield f"hashes: {len(hashes - active)} found that are gone, {len(active - hashes)} not found"
    source = np.random.default_rng(seed)
    for item_id in source.choice(sorted(active), min(_SAMPLE, len(active)), replace=False) if active else ():
        digest = expected.items[str(item_id)][1]
        best = views.search(NEW, row_of(digest, NEW), 1)
        if not best or best[0].item_id != item_id or best[0].score < 0.999:
            yield f"item {item_id} is not found by its own embedding"
