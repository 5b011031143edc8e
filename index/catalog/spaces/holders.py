"""Which processes that answer have which space open, while one space takes over from another."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from index.catalog.spaces.rows import KnownSpace, SpaceRow
from index.catalog.tables import space_holders
from index.records.spaces import Holding, SpaceId

FRESH = timedelta(seconds=10)
"""A process says it every few seconds; one that has not for so long is gone."""
_FORGOTTEN = timedelta(minutes=10)


def say(
    connection: Connection,
    holder: str,
    held: Mapping[SpaceId, Holding],
    known: Mapping[SpaceId, KnownSpace],
    at: datetime,
) -> None:
    """What a process has open now; whatever it said before is forgotten."""
    connection.execute(
        delete(space_holders).where((space_holders.c.holder == holder) | (space_holders.c.seen_at < at - _FORGOTTEN))
    )
    rows = [
        {
            "holder": holder,
            "space_key": known[space].key,
            "is_open": holding.is_open,
            "reason": holding.reason,
            "seen_at": at,
        }
        for space, holding in held.items()
        if space in known
    ]
    if rows:
        connection.execute(insert(space_holders), rows)


def leave(connection: Connection, holder: str) -> None:
    connection.execute(delete(space_holders).where(space_holders.c.holder == holder))


def of_space(connection: Connection, row: SpaceRow, at: datetime) -> dict[str, Holding]:
    """
    What every living process says of a space.

    One that lives, has spoken of other spaces and not of this one has not heard of it yet.
    """
    fresh = connection.execute(select(space_holders).where(space_holders.c.seen_at >= at - FRESH)).all()
    said = {each.holder: Holding(is_open=False, reason="has not heard of it yet") for each in fresh}
    said |= {each.holder: Holding(each.is_open, each.reason) for each in fresh if each.space_key == row.key}
    return said
