"""Tallies: how many uploads were answered how, whether they were recorded or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from index.catalog.incident_tables import incidents, item_tallies, tallies
from index.catalog.storage.database import Database
from index.catalog.tables import items

_CHUNK: Final = 500
Clock = Callable[[], datetime]


class Means(StrEnum):
    """How an upload was found to match."""

    MATCH = "match"
    """When it was asked about."""
    RETRO_SCAN = "retro_scan"
    """Afterwards, when something more was banked or confirmed."""
    VARIANT = "variant"
    """Among its likes, with one of which it was banked or seen."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One kind of answer, in one hour."""

    hour: datetime
    platform: str
    """Empty where nobody said."""
    incident_key: int
    """0 of none."""
    bank_key: int
    """0 of none."""
    means: Means
    band: str
    action: str
    capped: bool
    """Less was suggested, out of public interest."""
    shadow: bool
    """Only counted, not suggested."""


@dataclass(frozen=True, slots=True)
class ItemTally:
    """The uploads of one hour that were said to be copies of an item."""

    item_key: int
    hour: datetime
    uploads: int
    unconfirmed: int
    """Of these, by their scores alone: the original was not found in them."""


@dataclass(frozen=True, slots=True)
class Tallied:
    """What was counted since the last time."""

    tallies: Mapping[Tally, int]
    items: Sequence[ItemTally] = ()
    first_matches: Mapping[int, datetime] = field(default_factory=dict)
    """By incident: when the first of these matched."""


_PLACE: Final = tuple(each.name for each in fields(Tally))


class TallyTable:
    """Safe from any thread; what several processes count adds up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tallied: Tallied) -> None:
        self._database.write(lambda connection: add(connection, tallied))


def add(connection: Connection, tallied: Tallied) -> None:
    """Adds to what was counted before, in the caller's transaction."""
    rows = [
        {**{name: getattr(tally, name) for name in _PLACE}, "means": tally.means.value, "uploads": count}
        for tally, count in tallied.tallies.items()
    ]
    _add_up(connection, tallies, _PLACE, ("uploads",), rows)
    still_there = _existing(connection, [each.item_key for each in tallied.items])
    of_items = [
        {"item_key": each.item_key, "hour": each.hour, "uploads": each.uploads, "unconfirmed": each.unconfirmed}
        for each in tallied.items
        if each.item_key in still_there
    ]
    _add_up(connection, item_tallies, ("item_key", "hour"), ("uploads", "unconfirmed"), of_items)
    for key, at in sorted(tallied.first_matches.items()):
        first = incidents.c.incident_key == key, incidents.c.first_match_at.is_(None)
        connection.execute(update(incidents).where(*first).values(first_match_at=at))


def _add_up(
    connection: Connection, table: Table, place: Sequence[str], counts: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(table)
    more = {name: table.c[name] + new.excluded[name] for name in counts}
    # In one order everywhere, so that no two writers wait for each other.
    in_order = sorted(rows, key=lambda row: tuple(row[name] for name in place))
    connection.execute(new.on_conflict_do_update(index_elements=list(place), set_=more), in_order)


def _existing(connection: Connection, keys: Sequence[int]) -> set[int]:
    found: set[int] = set()
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), _CHUNK):
        query = select(items.c.item_key).where(items.c.item_key.in_(wanted[start : start + _CHUNK]))
        found.update(connection.execute(query).scalars())
    return found
