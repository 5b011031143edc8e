"""
Originals that nobody refers to any more: noted with the removal of the last item of those bytes, and crossed out when
the store has deleted them. So a removed item's original goes for good, also when a crash comes in between.

Somebody may bank the same bytes again meanwhile. While a deletion is under way the catalog refuses that for a moment
(`OriginalBeingRemoved`); before it has begun, banking calls it off.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, update

from index.catalog.storage.database import Database
from index.catalog.tables import items, original_removals
from index.errors import OriginalBeingRemoved

_CLAIM = timedelta(minutes=5)
"""After this whoever began a deletion has died over it."""


class OriginalTable:
    """Which originals wait to be deleted from their store. Safe from any thread."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def removals(self, limit: int) -> list[str]:
        """Digests of originals to delete from their store now; then `removed` must be told, or they come again."""
        now = self._clock()
        with self._database.reading() as connection:
            if not waiting(connection, now):
                return []
        return self._database.write(lambda connection: claim(connection, limit, now))

    def removed(self, digests: Collection[str]) -> None:
        """These originals are deleted."""
        self._database.write(lambda connection: cross_out(connection, digests))


def note(connection: Connection, which: ColumnElement[bool]) -> None:
    """Before items go: their originals, but for those that are noted already."""
    known = exists().where(original_removals.c.sha256 == items.c.sha256)
    wanted = select(items.c.sha256).where(
        which, items.c.original_bytes.is_not(None), items.c.sha256.is_not(None), ~known
    )
    connection.execute(insert(original_removals).from_select(["sha256"], wanted.distinct()))


def keep(connection: Connection, digests: Collection[str]) -> None:
    """
    Before items of these originals come.

    Raises:
        OriginalBeingRemoved: one of them is being deleted right now.
    """
    mine = original_removals.c.sha256.in_(list(digests))
    if connection.execute(
        select(original_removals.c.sha256).where(mine, original_removals.c.claimed_at.is_not(None))
    ).first():
        raise OriginalBeingRemoved("The original of these bytes is being deleted at this moment; bank them again.")
    connection.execute(delete(original_removals).where(mine))


def waiting(connection: Connection, at: datetime) -> bool:
    """Whether `claim` would find any: a look that writes nothing."""
    return connection.execute(select(original_removals.c.sha256).where(_free(at)).limit(1)).first() is not None


def claim(connection: Connection, limit: int, at: datetime) -> list[str]:
    """Digests of originals to delete now. Those that items refer to after all are crossed out."""
    rows = connection.execute(
        select(original_removals.c.sha256).where(_free(at)).limit(limit).with_for_update(skip_locked=True)
    )
    found = list(rows.scalars())
    wanted_again = select(items.c.sha256).where(items.c.sha256.in_(found), items.c.original_bytes.is_not(None))
    kept = set(connection.execute(wanted_again).scalars())
    gone = [digest for digest in found if digest not in kept]
    connection.execute(delete(original_removals).where(original_removals.c.sha256.in_(kept)))
    connection.execute(update(original_removals).where(original_removals.c.sha256.in_(gone)).values(claimed_at=at))
    return gone


def cross_out(connection: Connection, digests: Collection[str]) -> None:
    """They are deleted."""
    connection.execute(delete(original_removals).where(original_removals.c.sha256.in_(list(digests))))


def _free(at: datetime) -> Any:  # noqa: ANN401 - a condition
    return or_(original_removals.c.claimed_at.is_(None), original_removals.c.claimed_at < at - _CLAIM)
