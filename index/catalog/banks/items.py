"""Items: reading, changing and removing what is banked. Adding is in adding.py."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, and_, delete, select, update

from index.audit import AuditAction
from index.catalog import audit, log
from index.catalog.banks import originals
from index.catalog.banks import rows as bank_rows
from index.catalog.incidents import quarantines
from index.catalog.storage.cursors import cursor_for, number_position
from index.catalog.tables import ChangeKind, banks, embeddings, items, spaces
from index.errors import UnknownItem
from index.identifiers import item_key_of
from index.records.changes import Version
from index.records.items import Item, ItemChange, ItemId, ItemKind, ItemState, Quarantine
from index.records.pages import Page
from index.records.spaces import SpaceId

T = TypeVar("T")
_CHUNK = 1000
"""Values in one IN list; databases differ in how many they take."""


def get(connection: Connection, bank: str, item_id: ItemId) -> Item:
    return _items(connection, [_row(connection, bank, item_id)])[0]


def page(connection: Connection, bank: str, limit: int, cursor: str | None) -> Page[Item]:
    bank_key = bank_rows.key_of(connection, bank)
    belongs = f"items of {bank_key}"
    after = 0 if cursor is None else number_position(cursor, belongs)
    wanted = items.c.bank_key == bank_key, items.c.item_key > after
    rows = connection.execute(_select().where(*wanted).order_by(items.c.item_key).limit(limit + 1)).all()
    following = cursor_for(belongs, rows[limit - 1].item_key) if len(rows) > limit else None
    return Page(tuple(_items(connection, rows[:limit])), following)


def by_id(connection: Connection, item_ids: Iterable[ItemId]) -> dict[ItemId, Item]:
    wanted = set(item_ids)
    keys = [key for key in (item_key_of(item_id) for item_id in wanted) if key is not None]
    found = by_key(connection, keys)
    return {item.item_id: item for item in found.values() if item.item_id in wanted}


def by_key(connection: Connection, keys: Collection[int]) -> dict[int, Item]:
    rows = [
        row for chunk in _chunks(list(keys)) for row in connection.execute(_select().where(items.c.item_key.in_(chunk)))
    ]
    return dict(zip((row.item_key for row in rows), _items(connection, rows), strict=True))


def by_sha256(connection: Connection, bank_key: int, digests: Collection[str]) -> dict[str, int]:
    """Keys of the items of these bytes in one bank, whatever their state."""
    query = select(items.c.sha256, items.c.item_key).where(items.c.bank_key == bank_key)
    return {
        row.sha256: row.item_key
        for chunk in _chunks(list(digests))
        for row in connection.execute(query.where(items.c.sha256.in_(chunk)))
    }


def active_by_sha256(connection: Connection, digest: str, bank_names: Collection[str] | None) -> tuple[Item, ...]:
    query = _select().where(items.c.sha256 == digest, items.c.state == ItemState.ACTIVE.value)
    if bank_names is not None:
        query = query.where(banks.c.name.in_(list(bank_names)))
    return tuple(_items(connection, connection.execute(query.order_by(items.c.item_key)).all()))


def change(
    connection: Connection, bank: str, item_id: ItemId, wanted: ItemChange, at: datetime
) -> tuple[Item, Version]:
    labels, state, quarantine = wanted.labels, wanted.state, wanted.quarantine
    row = _row(connection, bank, item_id)
    version = log.head(connection)
    values: dict[str, Any] = {}
    if labels is not None and json.dumps(dict(labels)) != json.dumps(row.labels):  # 1 == True, yet not the same
        values["labels"] = dict(labels)
        version = log.record(connection, ChangeKind.ITEM_LABELS, bank_key=row.bank_key, item_key=row.item_key, at=at)
    if state is not None and state != row.state:
        values["state"] = state.value
        version = log.record(connection, ChangeKind.ITEM_STATE, bank_key=row.bank_key, item_key=row.item_key, at=at)
    if quarantine is not None and quarantine != (row.quarantine or Quarantine.NONE):
        values["quarantine"] = quarantine.value
        quarantines.note(connection, row.item_key, quarantine, {"by": "hand"}, at)
        version = log.record(connection, ChangeKind.ITEM_LABELS, bank_key=row.bank_key, item_key=row.item_key, at=at)
    if values:
        before = {name: getattr(row, name) for name in values}
        subject = f"banks/{bank}/items/{item_id}"
        audit.append(connection, at, AuditAction.ITEM_CHANGED, subject, {"before": before, "after": values})
        connection.execute(update(items).where(items.c.item_key == row.item_key).values(updated_at=at, **values))
    return get(connection, bank, item_id), version


def remove(connection: Connection, bank: str, item_id: ItemId, at: datetime) -> Version:
    row = _row(connection, bank, item_id)
    version = log.record(connection, ChangeKind.ITEM_DELETED, bank_key=row.bank_key, item_key=row.item_key, at=at)
    originals.note(connection, items.c.item_key == row.item_key)
    old = {"kind": row.kind, "sha256": row.sha256, "labels": row.labels, "state": row.state}
    audit.append(connection, at, AuditAction.ITEM_DELETED, f"banks/{bank}/items/{item_id}", old)
    connection.execute(delete(items).where(items.c.item_key == row.item_key))
    bank_rows.count_items(connection, row.bank_key, -1)
    return version


def _select() -> Select[Any]:
    there = and_(banks.c.bank_key == items.c.bank_key, banks.c.removed_at.is_(None))
    return select(items, banks.c.name.label("bank")).join(banks, there)


def _row(connection: Connection, bank: str, item_id: ItemId) -> Row[Any]:
    bank_key = bank_rows.key_of(connection, bank)
    wanted = items.c.item_key == item_key_of(item_id), items.c.item_id == item_id, items.c.bank_key == bank_key
    row = connection.execute(_select().where(*wanted)).one_or_none()
    if row is None:
        raise UnknownItem("There is no such item in this bank.")
    return row


def _items(connection: Connection, rows: Sequence[Row[Any]]) -> list[Item]:
    found_in = _spaces_of(connection, [row.item_key for row in rows])
    return [
        Item(
            item_id=ItemId(row.item_id),
            bank=row.bank,
            kind=ItemKind(row.kind),
            state=ItemState(row.state),
            labels=row.labels,
            sha256=row.sha256,
            frames=row.frames,
            duration_ms=row.duration_ms,
            low_information=row.low_information,
            spaces=tuple(found_in[row.item_key]),
            created_at=row.created_at,
            updated_at=row.updated_at,
            original_bytes=row.original_bytes,
            quarantine=Quarantine(row.quarantine or Quarantine.NONE),
        )
        for row in rows
    ]


def _spaces_of(connection: Connection, keys: list[int]) -> dict[int, list[SpaceId]]:
    found: dict[int, list[SpaceId]] = defaultdict(list)
    query = (
        select(embeddings.c.item_key, spaces.c.space)
        .join(spaces, spaces.c.space_key == embeddings.c.space_key)
        .distinct()
        .order_by(spaces.c.space)
    )
    for chunk in _chunks(keys):
        for row in connection.execute(query.where(embeddings.c.item_key.in_(chunk))):
            found[row.item_key].append(SpaceId(row.space))
    return found


def _chunks(values: list[T]) -> Iterable[list[T]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
