"""Items whose matches are for people to look at, because they match what they should not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, Subquery, delete, func, insert, not_, select, tuple_, update

from index.audit import AuditAction
from index.catalog import audit, duties, events, log
from index.catalog.banks.rows import of_removed_bank
from index.catalog.duties import Step
from index.catalog.incident_tables import incident_banks, incidents, item_tallies, quarantines, tallies
from index.catalog.incidents.tallies import Means
from index.catalog.storage.database import Database
from index.catalog.tables import ChangeKind, banks, embeddings, items
from index.records.events import EventKind
from index.records.incidents import IncidentState
from index.records.items import ItemState, Quarantine

Clock = Callable[[], datetime]
WINDOW: Final = timedelta(hours=1)
"""The hour that runs, and the one before it, are looked at together."""
_KEEP: Final = timedelta(days=90)
_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class Rush:
    """What an item matched lately."""

    item_key: int
    rows: int
    """Embeddings of it, in the space that has most: each is one more chance to be near to."""
    uploads: int
    """Said to be copies of it."""
    unconfirmed: int
    """Of these, by their scores alone."""
    accepted: int
    """How many of those somebody has looked at before, and let be."""
    confirmed_incident: bool
    """Whether two organisations have said that a flood is to be expected."""


@dataclass(frozen=True, slots=True)
class Rushes:
    asked: int
    """Uploads asked about in the same time."""
    items: Sequence[Rush]


class QuarantineTable:
    """Safe from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def rushes(self, least: int) -> Rushes:
        """Active items, under no quarantine, that so many uploads or more are said to be copies of by score alone."""
        since = self._clock().replace(minute=0, second=0, microsecond=0) - WINDOW
        with self._database.reading() as connection:
            found = _rushes(connection, since, least)
            return Rushes(_asked(connection, since) if found else 0, found)

    def put(self, step: Step, item_key: int, facts: Mapping[str, Any]) -> None:
        """Puts an item under quarantine for its matches by score alone, as a duty."""

        def work(connection: Connection) -> None:
            duties.advance(connection, step)
            put(connection, item_key, Quarantine.UNCONFIRMED, facts, self._clock())

        self._database.write(work)

    def forget(self, step: Step) -> bool:
        """Deletes some of what was counted of items so long ago that nobody asks; whether there may be more."""
        until = self._clock() - _KEEP
        with self._database.reading() as connection:
            old = connection.execute(select(item_tallies.c.item_key).where(item_tallies.c.hour < until).limit(1))
            if old.first() is None:
                return False

        def work(connection: Connection) -> bool:
            duties.advance(connection, step)
            place = item_tallies.c.item_key, item_tallies.c.hour
            some = select(*place).where(item_tallies.c.hour < until).limit(_AT_ONCE)
            return connection.execute(delete(item_tallies).where(tuple_(*place).in_(some))).rowcount == _AT_ONCE

        return self._database.write(work)


def put(connection: Connection, item_key: int, quarantine: Quarantine, facts: Mapping[str, Any], at: datetime) -> None:
    """Puts an item under quarantine, for everyone to hear; one that is under it already stays so."""
    columns = items.c.item_id, items.c.bank_key, items.c.quarantine, banks.c.name, incident_banks.c.incident_key
    query = (
        select(*columns)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .join(incident_banks, incident_banks.c.bank_key == items.c.bank_key, isouter=True)
        .where(items.c.item_key == item_key)
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.quarantine in {quarantine.value, Quarantine.ALL.value}:
        return
    own = items.c.item_key == item_key
    connection.execute(update(items).where(own).values(quarantine=quarantine.value, updated_at=at))
    note(connection, item_key, quarantine, facts, at)
    log.record(connection, ChangeKind.ITEM_LABELS, bank_key=row.bank_key, item_key=item_key, at=at)
    subject = f"banks/{row.name}/items/{row.item_id}"
    details = {"quarantine": quarantine.value, **facts}
    audit.append(connection, at, AuditAction.ITEM_QUARANTINED, subject, details)
    data = {"item_id": row.item_id, "bank": row.name, **details}
    events.append(connection, at, EventKind.QUARANTINE, incident_key=row.incident_key, platform=None, data=data)


def lifted_at(connection: Connection, item_key: int) -> datetime | None:
    """When somebody last lifted an item's quarantine; None where nobody did."""
    return connection.execute(select(quarantines.c.lifted_at).where(quarantines.c.item_key == item_key)).scalar()


def note(connection: Connection, item_key: int, quarantine: Quarantine, facts: Mapping[str, Any], at: datetime) -> None:
    """Why an item is under quarantine, or that it is not any more: what it matches now is what it may match then."""
    own = quarantines.c.item_key == item_key
    if quarantine is Quarantine.NONE:
        since = at.replace(minute=0, second=0, microsecond=0) - WINDOW
        counted = select(func.coalesce(func.sum(item_tallies.c.unconfirmed), 0)).where(
            item_tallies.c.item_key == item_key, item_tallies.c.hour >= since
        )
        accepted = int(connection.execute(counted).scalar_one())
        connection.execute(update(quarantines).where(own).values(lifted_at=at, accepted=accepted))
        return
    values = {"at": at, "facts": dict(facts), "lifted_at": None}
    if connection.execute(update(quarantines).where(own).values(**values)).rowcount == 0:
        connection.execute(insert(quarantines).values(item_key=item_key, accepted=0, **values))


def _rushes(connection: Connection, since: datetime, least: int) -> list[Rush]:
    counted = (
        select(
            item_tallies.c.item_key,
            func.sum(item_tallies.c.uploads).label("uploads"),
            func.sum(item_tallies.c.unconfirmed).label("unconfirmed"),
        )
        .where(item_tallies.c.hour >= since)
        .group_by(item_tallies.c.item_key)
        .having(func.sum(item_tallies.c.unconfirmed) >= least)
        .subquery()
    )
    rows = _rows_of(select(counted.c.item_key))
    query = (
        select(counted, rows.c.rows, quarantines.c.accepted, incidents.c.state)
        .join(items, items.c.item_key == counted.c.item_key)
        .join(rows, rows.c.item_key == counted.c.item_key, isouter=True)
        .join(quarantines, quarantines.c.item_key == items.c.item_key, isouter=True)
        .join(incident_banks, incident_banks.c.bank_key == items.c.bank_key, isouter=True)
        .join(incidents, incidents.c.incident_key == incident_banks.c.incident_key, isouter=True)
        .where(
            items.c.state == ItemState.ACTIVE.value,
            func.coalesce(items.c.quarantine, Quarantine.NONE.value) == Quarantine.NONE.value,
            not_(of_removed_bank()),
        )
    )
    return [
        Rush(
            item_key=row.item_key,
            rows=int(row.rows or 0),
            uploads=int(row.uploads),
            unconfirmed=int(row.unconfirmed),
            accepted=row.accepted or 0,
            confirmed_incident=row.state == IncidentState.CONFIRMED.value,
        )
        for row in connection.execute(query)
    ]


def _rows_of(item_keys: Select[tuple[int]]) -> Subquery:
    """How many embeddings each of these items has, in the space that has most."""
    columns = embeddings.c.item_key, func.sum(embeddings.c.views).label("rows")
    of_items = select(*columns).where(embeddings.c.item_key.in_(item_keys))
    each = of_items.group_by(embeddings.c.item_key, embeddings.c.space_key).subquery()
    return select(each.c.item_key, func.max(each.c.rows).label("rows")).group_by(each.c.item_key).subquery()


def _asked(connection: Connection, since: datetime) -> int:
    as_themselves = tallies.c.incident_key == 0, tallies.c.bank_key == 0, tallies.c.means == Means.MATCH.value
    query = select(func.coalesce(func.sum(tallies.c.uploads), 0)).where(tallies.c.hour >= since, *as_themselves)
    return int(connection.execute(query).scalar_one())
