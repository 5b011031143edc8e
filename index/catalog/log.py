"""The change log: one numbered entry for everything that views must hear of."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from index.catalog.tables import ChangeKind, changes, log_head
from index.records import Version


def head(connection: Connection) -> Version:
    """The number of the newest change."""
    return Version(connection.execute(select(log_head.c.seq)).scalar_one())


def reserve(connection: Connection, count: int) -> range:
    """The next `count` numbers; each must be written with `append` in the same transaction."""
    connection.execute(update(log_head).values(seq=log_head.c.seq + count))
    last = head(connection)
    return range(last - count + 1, last + 1)


def entry(seq: int, kind: ChangeKind, bank_key: int, item_key: int | None, at: datetime) -> dict[str, object]:
    return {"seq": seq, "kind": kind.value, "bank_key": bank_key, "item_key": item_key, "space_key": None, "at": at}


def append(connection: Connection, entries: list[dict[str, object]]) -> None:
    connection.execute(insert(changes), entries)


def record(
    connection: Connection, kind: ChangeKind, *, bank_key: int, item_key: int | None = None, at: datetime
) -> Version:
    """One change; the version that includes it."""
    (seq,) = reserve(connection, 1)
    append(connection, [entry(seq, kind, bank_key, item_key, at)])
    return Version(seq)
