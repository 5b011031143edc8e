"""
Work that one process does for all: whose turn it is, and how far each duty has come.

One lease covers all duties, so that what they share need be in one memory alone. Whatever a duty writes is fenced:
it is written together with the duty's cursor, and only while the turn is still its own.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, insert, or_, select, update

from index.catalog.incident_tables import duties
from index.catalog.storage.database import Database
from index.errors import LeaseLost

_TURN: Final = "turn"
"""The row of the lease; the other rows are of duties, which have a cursor alone."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Says who does the duties, to whatever they write. Whoever has lost it takes it again under another name."""

    owner: str


@dataclass(frozen=True, slots=True)
class Step:
    """How far a duty is, once what is written with it is written."""

    turn: Turn
    duty: str
    cursor: int


class DutyTable:
    """
    Safe from any thread and any number of processes and machines; their clocks should agree within a few seconds.

    Every method raises CatalogUnavailable when the database fails, StorageFull when it has no room.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def take_turn(self, owner: str, lease_s: float) -> Turn | None:
        """The turn, new or kept for longer; None while it is another's. A look that finds it taken writes nothing."""
        now = self._clock()
        with self._database.reading() as connection:
            held = connection.execute(select(duties).where(duties.c.name == _TURN)).one_or_none()
            if held is not None and held.owner not in (None, owner) and held.lease_until > now:
                return None
        until = now + timedelta(seconds=lease_s)
        return self._database.write(lambda connection: _take(connection, owner, now, until))

    def keep_turn(self, turn: Turn, lease_s: float) -> bool:
        """For longer; False where it was given up or is another's, and what it knew is not sure any more."""
        kept = update(duties).where(duties.c.name == _TURN, duties.c.owner == turn.owner)
        until = self._clock() + timedelta(seconds=lease_s)
        return self._database.write(lambda connection: connection.execute(kept.values(lease_until=until)).rowcount == 1)

    def holder(self) -> str | None:
        """Whose turn it is, or was when it was last heard of."""
        with self._database.reading() as connection:
            return connection.execute(select(duties.c.owner).where(duties.c.name == _TURN)).scalar_one_or_none()

    def end_turn(self, owners: Collection[str]) -> None:
        """Of whoever is done, or known to be dead; the next one need not wait for the end of the lease."""
        ended = update(duties).where(duties.c.name == _TURN, duties.c.owner.in_(list(owners)))
        self._database.write(lambda connection: connection.execute(ended.values(owner=None, lease_until=None)))

    def cursor(self, duty: str) -> int:
        """How far a duty has come; 0 before its first step."""
        with self._database.reading() as connection:
            found = connection.execute(select(duties.c.cursor).where(duties.c.name == duty)).scalar_one_or_none()
        return found or 0

    def advance(self, step: Step) -> None:
        """
        Writes how far a duty is, where it had nothing else to write.

        Raises:
            LeaseLost: it is another's turn by now.
        """
        self._database.write(lambda connection: advance(connection, step))


def advance(connection: Connection, step: Step) -> None:
    """
    Writes how far a duty is, in the transaction of what it did.

    Raises:
        LeaseLost: it is another's turn by now; nothing of the transaction must stay.
    """
    held = select(duties.c.owner).where(duties.c.name == _TURN, duties.c.owner == step.turn.owner)
    if connection.execute(held.with_for_update()).one_or_none() is None:
        raise LeaseLost("Another process has taken the duties over.")
    moved = update(duties).where(duties.c.name == step.duty).values(cursor=step.cursor)
    if connection.execute(moved).rowcount == 0:
        connection.execute(insert(duties).values(name=step.duty, cursor=step.cursor))


def _take(connection: Connection, owner: str, now: datetime, until: datetime) -> Turn | None:
    free = or_(duties.c.owner.is_(None), duties.c.owner == owner, duties.c.lease_until <= now)
    taken = update(duties).where(duties.c.name == _TURN, free).values(owner=owner, lease_until=until)
    if connection.execute(taken).rowcount:
        return Turn(owner)
    if connection.execute(select(duties.c.name).where(duties.c.name == _TURN)).first() is not None:
        return None
    connection.execute(insert(duties).values(name=_TURN, owner=owner, lease_until=until, cursor=0))
    return Turn(owner)
