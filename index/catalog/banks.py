"""Banks: named sets of items with a purpose."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from index.audit import AuditAction
from index.catalog import audit, log, originals
from index.catalog.cursors import cursor_for, text_position
from index.catalog.tables import ChangeKind, banks, items
from index.errors import BankPurposeConflict, UnknownBank
from index.records import Bank, BankRule, BankSettings, Labels, Page, Purpose, Version

_LIST = "banks"
_REMOVED_AT_ONCE = 10_000
"""Items by one statement: a database may bound how long a statement takes, and a bank has no bound."""


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
    if json.dumps([row.labels, row.settings]) == json.dumps([values["labels"], values["settings"]]):
        return _bank(row), False, log.head(connection)
    connection.execute(update(banks).where(banks.c.bank_key == row.bank_key).values(updated_at=at, **values))
    version = log.record(connection, ChangeKind.BANK_PUT, bank_key=row.bank_key, at=at)
    change = {"before": {"labels": row.labels, "settings": row.settings}, "after": values}
    audit.append(connection, at, AuditAction.BANK_CHANGED, f"banks/{name}", change)
    return get(connection, name), False, version


def get(connection: Connection, name: str) -> Bank:
    return _bank(_known(connection, name))


def key_of(connection: Connection, name: str) -> int:
    return int(_known(connection, name).bank_key)


def page(connection: Connection, limit: int, cursor: str | None) -> Page[Bank]:
    query = select(banks).order_by(banks.c.name).limit(limit + 1)
    if cursor is not None:
        query = query.where(banks.c.name > text_position(cursor, _LIST))
    rows = connection.execute(query).all()
    following = cursor_for(_LIST, rows[limit - 1].name) if len(rows) > limit else None
    return Page(tuple(_bank(row) for row in rows[:limit]), following)


def rules(connection: Connection) -> dict[int, BankRule]:
    """Every bank by its key."""
    rows = connection.execute(select(banks.c.bank_key, banks.c.name, banks.c.purpose, banks.c.settings))
    return {row.bank_key: BankRule(row.name, Purpose(row.purpose), BankSettings(**row.settings)) for row in rows}


def remove(connection: Connection, name: str, at: datetime) -> Version:
    """The bank and everything in it."""
    row = _known(connection, name)
    key = int(row.bank_key)
    version = log.record(connection, ChangeKind.BANK_DELETED, bank_key=key, at=at)
    originals.note(connection, items.c.bank_key == key)
    old = {"purpose": row.purpose, "labels": row.labels, "settings": row.settings, "items": row.item_count}
    audit.append(connection, at, AuditAction.BANK_DELETED, f"banks/{name}", old)
    some = select(items.c.item_key).where(items.c.bank_key == key).order_by(items.c.item_key).limit(_REMOVED_AT_ONCE)
    while connection.execute(delete(items).where(items.c.item_key.in_(some))).rowcount:
        pass
    connection.execute(delete(banks).where(banks.c.bank_key == key))
    return version


def count_items(connection: Connection, bank_key: int, difference: int) -> None:
    count = banks.c.item_count + difference
    connection.execute(update(banks).where(banks.c.bank_key == bank_key).values(item_count=count))


def _known(connection: Connection, name: str) -> Row[Any]:
    row = _find(connection, name)
    if row is None:
        raise UnknownBank("There is no bank of that name.")
    return row


def _find(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(banks).where(banks.c.name == name)).one_or_none()


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
