"""
Banks: named sets of items with a purpose.

A bank is removed by hiding it: its name is free again, and nobody finds it or its items. Deleting these may take
minutes, and is done in steps afterwards, each a transaction of its own, by whoever comes by.
"""

import json
from dataclasses import asdict
from datetime import datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from index.audit import AuditAction
from index.catalog import audit, log
from index.catalog.banks import originals
from index.catalog.incident_tables import incident_banks
from index.catalog.incidents import rules as incident_rules
from index.catalog.storage.cursors import cursor_for, text_position
from index.catalog.tables import ChangeKind, banks, items
from index.errors import BankPurposeConflict, UnknownBank
from index.records.banks import Bank, BankRule, BankSettings, Labels, Purpose
from index.records.changes import Version
from index.records.incidents import IncidentRule
from index.records.pages import Page

_LIST = "banks"
_PURGED_AT_ONCE = 1000
"""Frames by one transaction: a tenth of a second, which is what everybody else who writes then waits."""


def put(
    connection: Connection, name: str, *, purpose: Purpose, labels: Labels, settings: BankSettings, at: datetime
) -> tuple[Bank, bool, Version]:
    row = _find(connection, name)
    values: dict[str, Any] = {"labels": dict(labels), "settings": asdict(settings)}
    if row is None:
        (key,) = log.reserve(connection, 1)
        values |= {"bank_key": key, "name": name, "purpose": purpose.value, "item_count": 0, "created_at": at}
        connection.execute(insert(banks).values(updated_at=at, **values))
        log.append(connection, [log.entry(key, ChangeKind.BANK_PUT, key, None, at)])
        new = {"purpose": purpose.value, "labels": values["labels"], "settings": values["settings"]}
        audit.append(connection, at, AuditAction.BANK_CREATED, f"banks/{name}", new)
        return get(connection, name), True, Version(key)
    if row.purpose != purpose:
        raise BankPurposeConflict(f"The bank was made as {row.purpose}; a bank keeps its purpose.")
    # As they are written: 1 == True, yet they are not the same label.
    held = [row.labels, asdict(BankSettings(**row.settings))]  # a setting that came later is as it was without
    if json.dumps(held) == json.dumps([values["labels"], values["settings"]]):
        return _bank(row), False, log.head(connection)
    connection.execute(update(banks).where(banks.c.bank_key == row.bank_key).values(updated_at=at, **values))
    version = log.record(connection, ChangeKind.BANK_PUT, bank_key=row.bank_key, at=at)
    change = {"before": {"labels": row.labels, "settings": row.settings}, "after": values}
    audit.append(connection, at, AuditAction.BANK_CHANGED, f"banks/{name}", change)
    return get(connection, name), False, version


def get(connection: Connection, name: str) -> Bank:
    return _bank(_known(connection, name))


def key_and_bank(connection: Connection, name: str) -> tuple[int, Bank]:
    row = _known(connection, name)
    return int(row.bank_key), _bank(row)


def key_of(connection: Connection, name: str) -> int:
    return int(_known(connection, name).bank_key)


def page(connection: Connection, limit: int, cursor: str | None) -> Page[Bank]:
    query = select(banks).where(banks.c.removed_at.is_(None)).order_by(banks.c.name).limit(limit + 1)
    if cursor is not None:
        query = query.where(banks.c.name > text_position(cursor, _LIST))
    rows = connection.execute(query).all()
    following = cursor_for(_LIST, rows[limit - 1].name) if len(rows) > limit else None
    return Page(tuple(_bank(row) for row in rows[:limit]), following)


def rules(connection: Connection) -> dict[int, BankRule]:
    """Every bank by its key."""
    columns: tuple[ColumnElement[Any], ...] = (banks.c.bank_key, banks.c.name, banks.c.purpose, banks.c.settings)
    rows = connection.execute(select(*columns).where(banks.c.removed_at.is_(None)))
    of_incidents = incident_rules.by_bank(connection)
    return {row.bank_key: _rule(row, of_incidents.get(row.bank_key)) for row in rows}


def remove(connection: Connection, name: str, at: datetime) -> Version:
    """The bank and everything in it, for everybody who looks; what is left of a large one, `purge` deletes."""
    row = _known(connection, name)
    key = int(row.bank_key)
    version = log.record(connection, ChangeKind.BANK_DELETED, bank_key=key, at=at)
    old = {"purpose": row.purpose, "labels": row.labels, "settings": row.settings, "items": row.item_count}
    audit.append(connection, at, AuditAction.BANK_DELETED, f"banks/{name}", old)
    connection.execute(delete(incident_banks).where(incident_banks.c.bank_key == key))
    hidden = {"name": f"/{key}", "removed_at": at}  # no bank is called so, and the name may be used again
    connection.execute(update(banks).where(banks.c.bank_key == key).values(**hidden))
    _purge(connection, key)
    return version


def removed(connection: Connection) -> bool:
    """Whether `purge` has anything to do: a look that writes nothing."""
    return _next_removed(connection) is not None


def purge(connection: Connection) -> None:
    """Deletes some items of a removed bank, or the last of them and the bank."""
    key = _next_removed(connection)
    if key is not None:
        _purge(connection, key)


def of_removed_bank() -> ColumnElement[bool]:
    """Of items: nobody finds them any more, and they are about to be deleted."""
    return items.c.bank_key.in_(select(banks.c.bank_key).where(banks.c.removed_at.is_not(None)))


def count_items(connection: Connection, bank_key: int, difference: int) -> None:
    count = banks.c.item_count + difference
    connection.execute(update(banks).where(banks.c.bank_key == bank_key).values(item_count=count))


def _next_removed(connection: Connection) -> int | None:
    query = select(banks.c.bank_key).where(banks.c.removed_at.is_not(None)).order_by(banks.c.bank_key).limit(1)
    return connection.execute(query).scalar()


def _purge(connection: Connection, key: int) -> None:
    oldest = select(items.c.item_key, items.c.frames).where(items.c.bank_key == key).order_by(items.c.item_key)
    found = connection.execute(oldest.limit(_PURGED_AT_ONCE)).all()
    upto = accumulate(max(row.frames, 1) for row in found)  # a video has many, and one alone may have more
    keys = [row.item_key for row, frames in zip(found, upto, strict=True) if frames <= _PURGED_AT_ONCE] or [
        row.item_key for row in found[:1]
    ]
    some = items.c.item_key.in_(keys)
    originals.note(connection, some)
    connection.execute(delete(items).where(some))
    if len(keys) == len(found) < _PURGED_AT_ONCE:
        connection.execute(delete(banks).where(banks.c.bank_key == key))


def _rule(row: Row[Any], incident: IncidentRule | None) -> BankRule:
    settings = incident_rules.applied(BankSettings(**row.settings), incident)
    return BankRule(row.name, Purpose(row.purpose), settings, incident)


def _known(connection: Connection, name: str) -> Row[Any]:
    row = _find(connection, name)
    if row is None:
        raise UnknownBank("There is no bank of that name.")
    return row


def _find(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(banks).where(banks.c.name == name, banks.c.removed_at.is_(None))).one_or_none()


def _bank(row: Row[Any]) -> Bank:
    return Bank(
        name=row.name,
        purpose=Purpose(row.purpose),
        labels=row.labels,
        settings=BankSettings(**row.settings),
        items=row.item_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
