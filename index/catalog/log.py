"""The change log: one numbered entry for everything that views must hear of."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from index.catalog.tables import ChangeKind, changes, log_head
from index.records.changes import Version


def head(connection: Connection) -> Version:
    """The number of the newest change."""
    return Version(connection.execute(select(log_head.c.seq)).scalar_one())


def reserve(connection: Connection, count: int) -> range:
    """The next `count` numbers; each must be written with `append` in the same transaction."""
    connection.execute(update(log_head).values(seq=log_head.c.seq + count))
    last = head(connection)
    return range(last - count + 1, last + 1)


def entry(
    seq: int, kind: ChangeKind, bank_key: int, item_key: int | None, at: datetime, *, space_key: int | None = None
) -> dict[str, object]:
    """A change of a space alone has the bank key 0."""
    return {
        "seq": seq,
        "kind": kind.value,
        "bank_key": bank_key,
        "item_key": item_key,
        "space_key": space_key,
        "at": at,
    }


def append(connection: Connection, entries: list[dict[str, object]]) -> None:
    connection.execute(insert(changes), entries)


def record(
    connection: Connection, kind: ChangeKind, *, bank_key: int, item_key: int | None = None, at: datetime
) -> Version:
    """One change; the version that includes it."""
    (seq,) = reserve(connection, 1)
    append(connection, [entry(seq, kind, bank_key, item_key, at)])
    return Version(seq)


def check(connection: Connection, at: datetime) -> None:
    """Shows that the log can be written, without a change."""
    connection.execute(update(log_head).values(checked_at=at))


def catalog_id(connection: Connection) -> str:
    """Which catalog it is: another one in every catalog that was made or restored."""
    return str(connection.execute(select(log_head.c.catalog_id)).scalar_one())
