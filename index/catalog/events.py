"""
The event log: what subscribers are told of, numbered.

Numbers are counted in `log_head`, whose row a writer holds until it has committed: an event is visible when every event
before it is, on every database, so that whoever follows by number steps over none.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from index.catalog.incident_tables import events, incident_participants, incidents
from index.catalog.storage.database import Database
from index.catalog.tables import log_head
from index.records.events import Concerned, Event, EventBatch, EventKind, EventQuery, EventSpan, NewEvent

Clock = Callable[[], datetime]
MOST_EVENTS: Final = 1_000_000
"""How many are kept, however young they are."""
_FORGOTTEN_AT_ONCE: Final = 5_000


def append(
    connection: Connection,
    at: datetime,
    kind: EventKind,
    *,
    incident_key: int | None,
    platform: str | None,
    data: Mapping[str, Any],
) -> int:
    """
    Tells of something, in the transaction in which it happens; the event's number.

    Args:
        connection: of that transaction.
        at: when.
        kind: of event.
        incident_key: the incident it belongs to; only its participants and the center hear of it then.
        platform: whom alone it concerns, beside the center; None is everyone who may listen.
        data: plain JSON: ids and facts; no media, no embedding, no file name.
    """
    return append_all(connection, at, [NewEvent(kind, incident_key, platform, data)])


def append_all(connection: Connection, at: datetime, new: Sequence[NewEvent]) -> int:
    """Tells of several, in this order; the number of the last, or of the newest there is when there are none."""
    counted = update(log_head).values(event_seq=log_head.c.event_seq + len(new)).returning(log_head.c.event_seq)
    last = int(connection.execute(counted).scalar_one())
    if new:
        rows = [
            {
                "event_key": seq,
                "kind": one.kind.value,
                "at": at,
                "incident_key": one.incident_key,
                "platform": one.platform,
                "data": dict(one.data),
            }
            for seq, one in enumerate(new, last - len(new) + 1)
        ]
        connection.execute(insert(events), rows)
    return last


class EventLog:
    """Reads the event log, and keeps it from growing for ever. Safe from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def head(self) -> int:
        """The newest event's number; cheap enough to ask ten times a second."""
        return int(self._database.scalar("SELECT event_seq FROM log_head"))

    def span(self) -> EventSpan:
        with self._database.reading() as connection:
            return _span(connection)

    def after(self, seq: int, limit: int, query: EventQuery | None = None) -> EventBatch:
        """The next events of this kind after a number, at most so many."""
        wanted = [events.c.event_key > seq, *_conditions(query or EventQuery())]
        rows = select(events).where(*wanted).order_by(events.c.event_key).limit(limit)
        with self._database.reading() as connection:
            found = connection.execute(rows).all()
            through = found[-1].event_key if len(found) == limit else max(seq, _head(connection))
            concerned = _concerned(
                connection, incidents.c.incident_key.in_({row.incident_key for row in found} - {None})
            )
        by_key = {incident.key: incident for incident in concerned}
        return EventBatch(tuple(_event(row, by_key.get(row.incident_key)) for row in found), through)

    def incident(self, incident_id: str) -> Concerned | None:
        """The incident of this id; None when there is none."""
        with self._database.reading() as connection:
            return next(iter(_concerned(connection, incidents.c.incident_id == incident_id)), None)

    def forget(self, older_than: timedelta, most: int = MOST_EVENTS) -> bool:
        """Deletes some of what is too old or too much; whether there is more to delete."""
        until = self._clock() - older_than
        with self._database.reading() as connection:  # most often there is nothing to do, and no need to write
            last = _last_to_forget(connection, until, most)
        if last is None:
            return False

        def remove(connection: Connection) -> bool:
            oldest = _span(connection).oldest
            upto = min(last, oldest + _FORGOTTEN_AT_ONCE - 1)
            connection.execute(delete(events).where(events.c.event_key <= upto))
            return upto < last

        return self._database.write(remove)


def _head(connection: Connection) -> int:
    return int(connection.execute(select(log_head.c.event_seq)).scalar_one())


def _span(connection: Connection) -> EventSpan:
    head = _head(connection)
    oldest = connection.execute(select(func.min(events.c.event_key))).scalar()
    return EventSpan(head + 1 if oldest is None else int(oldest), head)


def _last_to_forget(connection: Connection, until: datetime, most: int) -> int | None:
    """
    The newest event that need not be kept.

    Events are numbered in the order in which they were told, so the first young one ends what is old; looked for among
    the few that are deleted at once, for there is no index of their times.
    """
    span = _span(connection)
    if span.oldest > span.head:
        return None
    too_many = span.head - most
    ahead = (
        select(events.c.event_key, events.c.at)
        .where(events.c.event_key < span.oldest + 2 * _FORGOTTEN_AT_ONCE)
        .order_by(events.c.event_key)
    )
    last = span.oldest - 1
    for row in connection.execute(ahead):
        if row.at >= until and row.event_key > too_many:
            break
        last = int(row.event_key)
    return last if last >= span.oldest else None


def _event(row: Row[Any], incident: Concerned | None) -> Event:
    return Event(
        seq=row.event_key,
        kind=row.kind,
        at=row.at,
        incident_key=row.incident_key,
        incident_id=None if incident is None else incident.incident_id,
        participants=frozenset() if incident is None else incident.participants,
        platform=row.platform,
        data=row.data,
    )


def _concerned(connection: Connection, which: ColumnElement[bool]) -> list[Concerned]:
    named = connection.execute(select(incidents.c.incident_key, incidents.c.incident_id).where(which)).all()
    keys = [row.incident_key for row in named]
    members: dict[int, set[str]] = {}
    if keys:
        taking_part = select(incident_participants.c.incident_key, incident_participants.c.participant)
        for row in connection.execute(taking_part.where(incident_participants.c.incident_key.in_(keys))):
            members.setdefault(row.incident_key, set()).add(row.participant)
    return [Concerned(row.incident_key, row.incident_id, frozenset(members.get(row.incident_key, ()))) for row in named]


def _conditions(query: EventQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.incident_key is not None:
        wanted.append(events.c.incident_key == query.incident_key)
    if query.platform is not None:
        wanted.append(events.c.platform == query.platform)
    if query.kinds is not None:
        wanted.append(events.c.kind.in_(sorted(query.kinds)))
    return wanted
