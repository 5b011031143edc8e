"""The figures of incidents and banks: what was counted of them, added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, distinct, func, select, true

from index.catalog.banks import rows as bank_rows
from index.catalog.incident_tables import feedback, incident_banks, item_tallies, tallies
from index.catalog.incidents import feedback as opinions_rows
from index.catalog.storage.database import Database
from index.catalog.tables import banks, items
from index.records.banks import Purpose
from index.records.feedback import Opinions
from index.records.items import ItemState, Quarantine


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """How many uploads of one platform were found to match in one hour, and how."""

    hour: datetime
    platform: str
    band: str
    means: str
    uploads: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many uploads ended in one way."""

    platform: str
    band: str
    action: str
    means: str
    capped: bool
    shadow: bool
    uploads: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is banked for it."""

    by_kind: dict[str, int]
    """Active items of harmful banks."""
    public_interest: int
    disabled: int
    quarantined: int
    matched: int
    """Items that at least one upload was said to be a copy of, as long as that is remembered."""


@dataclass(frozen=True, slots=True)
class Figures:
    outcomes: Sequence[Outcome]
    holdings: Holdings
    opinions: Opinions


class FigureTable:
    """Reads; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def timeline(self, incident_key: int, since: datetime, until: datetime) -> list[TimelineRow]:
        """By hour, platform, band and means; what is only counted is left out."""
        place = tallies.c.hour, tallies.c.platform, tallies.c.band, tallies.c.means
        query = (
            select(*place, func.sum(tallies.c.uploads).label("uploads"))
            .where(
                *_of_incident(incident_key), tallies.c.shadow.is_(False),
                tallies.c.hour >= since, tallies.c.hour < until,
            )
            .group_by(*place)
            .order_by(*place)
        )  # fmt: skip
        with self._database.reading() as connection:
            return [
                TimelineRow(row.hour, row.platform, row.band, row.means, int(row.uploads))
                for row in connection.execute(query)
            ]

    def of_incident(self, incident_key: int) -> Figures:
        of_banks = select(incident_banks.c.bank_key).where(incident_banks.c.incident_key == incident_key)
        with self._database.reading() as connection:
            return Figures(
                _outcomes(connection, *_of_incident(incident_key)),
                _holdings(connection, items.c.bank_key.in_(of_banks)),
                opinions_rows.opinions(connection, feedback.c.incident_key == incident_key),
            )

    def of_bank(self, name: str, *, said_by: str | None = None) -> Figures:
        """
        Args:
            name: the bank's.
            said_by: the participant whose feedback counts; None is everyone's.

        Raises:
            UnknownBank: there is none of that name.
        """
        with self._database.reading() as connection:
            key = bank_rows.key_of(connection, name)
            return Figures(
                _outcomes(connection, tallies.c.incident_key == 0, tallies.c.bank_key == key),
                _holdings(connection, items.c.bank_key == key),
                opinions_rows.opinions(
                    connection,
                    feedback.c.bank_key == key,
                    true() if said_by is None else feedback.c.participant == said_by,
                ),
            )


def _of_incident(incident_key: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return tallies.c.incident_key == incident_key, tallies.c.bank_key == 0


def _outcomes(connection: Connection, *wanted: ColumnElement[bool]) -> list[Outcome]:
    place = (
        tallies.c.platform,
        tallies.c.band,
        tallies.c.action,
        tallies.c.means,
        tallies.c.capped,
        tallies.c.shadow,
    )
    query = select(*place, func.sum(tallies.c.uploads).label("uploads")).where(*wanted).group_by(*place)
    return [
        Outcome(row.platform, row.band, row.action, row.means, row.capped, row.shadow, int(row.uploads))
        for row in connection.execute(query.order_by(*place))
    ]


def _holdings(connection: Connection, wanted: ColumnElement[bool]) -> Holdings:
    quarantined = func.coalesce(items.c.quarantine, Quarantine.NONE.value) != Quarantine.NONE.value
    query = (
        select(
            banks.c.purpose,
            items.c.kind,
            items.c.state,
            func.count().label("held"),
            func.sum(case((quarantined, 1), else_=0)).label("quarantined"),
        )
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .where(wanted, banks.c.removed_at.is_(None))
        .group_by(banks.c.purpose, items.c.kind, items.c.state)
    )
    by_kind: dict[str, int] = {}
    public = disabled = in_quarantine = 0
    for row in connection.execute(query):
        in_quarantine += int(row.quarantined)
        if row.state != ItemState.ACTIVE:
            disabled += row.held
        elif row.purpose == Purpose.PUBLIC_INTEREST:
            public += row.held
        else:
            by_kind[row.kind] = by_kind.get(row.kind, 0) + row.held
    matched = (
        select(func.count(distinct(item_tallies.c.item_key)))
        .join(items, items.c.item_key == item_tallies.c.item_key)
        .where(wanted)
    )
    return Holdings(
        dict(sorted(by_kind.items())), public, disabled, in_quarantine, connection.execute(matched).scalar_one()
    )
