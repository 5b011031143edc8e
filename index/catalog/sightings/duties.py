"""What duties write about sightings, each in one transaction with how far it has come."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from index.catalog import duties, events
from index.catalog.banks import rows as bank_rows
from index.catalog.clusters import matches as cluster_matches
from index.catalog.duties import Step
from index.catalog.incident_tables import (
    incident_banks,
    sighting_edges,
    sighting_embeddings,
    sighting_matches,
    sightings,
)
from index.catalog.incidents import tallies
from index.catalog.incidents.tallies import Means as TallyMeans
from index.catalog.incidents.tallies import Tallied, Tally
from index.catalog.sightings.recording import match_row
from index.catalog.tables import banks, items
from index.identifiers import item_key_of
from index.records.events import EventKind, NewEvent
from index.records.items import ItemState
from index.records.sightings import EdgeRows, Found, Means

_AT_ONCE = 2_000
_MOST_MATCHES = 16
"""Noted of a sighting by looking back: a flood of what everything in a bank looks like would fill the catalog."""
_BANDS: Final = ("none", "related", "variant", "exact")
_Fact = Row[Any, Any, Any, Any, Any]
"""Of a sighting: its key and id, platform, upload id, and when it was received."""


def link(connection: Connection, step: Step, edges: EdgeRows) -> None:
    """
    Raises:
        LeaseLost: it is another's turn by now.
    """
    duties.advance(connection, step)
    ends = {*edges.keys.tolist(), *edges.earlier.tolist()}
    there = set(
        connection.execute(select(sightings.c.sighting_key).where(sightings.c.sighting_key.in_(ends))).scalars()
    )  # one may have been forgotten meanwhile
    rows = [
        {
            "sighting_key": key,
            "earlier_key": earlier,
            "score": None if score != score else score,  # noqa: PLR0124 - only nan is not itself
            "distance": None if distance < 0 else distance,
        }
        for key, earlier, score, distance in zip(
            edges.keys.tolist(), edges.earlier.tolist(), edges.scores.tolist(), edges.distances.tolist(), strict=True
        )
        if key in there and earlier in there
    ]
    if rows:
        connection.execute(insert(sighting_edges), rows)


def note_found(connection: Connection, step: Step, found: Sequence[Found], at: datetime) -> int:
    """
    Writes that sightings match items, where it is not known yet, and tells their platforms; how many were new.

    Raises:
        LeaseLost: it is another's turn by now.
    """
    duties.advance(connection, step)
    new = 0
    for start in range(0, len(found), _AT_ONCE):
        new += _note(connection, found[start : start + _AT_ONCE], at)
    return new


def purge(connection: Connection, step: Step, space_key: int, after: int, upto: int) -> None:
    """
    Deletes what sightings after one and up to another look like in a space.

    Raises:
        LeaseLost: it is another's turn by now.
    """
    duties.advance(connection, step)
    connection.execute(delete(sighting_embeddings).where(*in_space(space_key, after, upto)))


def in_space(space_key: int, after: int, upto: int) -> tuple[ColumnElement[bool], ...]:
    held = sighting_embeddings.c
    return held.sighting_key > after, held.sighting_key <= upto, held.space_key == space_key


def forget(connection: Connection, step: Step, before: datetime, most: int) -> int:
    """
    Deletes the oldest of the sightings received before an instant, and all that hangs on them; how many.

    Raises:
        LeaseLost: it is another's turn by now.
    """
    duties.advance(connection, step)
    oldest = (
        select(sightings.c.sighting_key)
        .where(sightings.c.received_at < before)
        .order_by(sightings.c.received_at)
        .limit(most)
    )
    keys = list(connection.execute(oldest).scalars())
    if keys:
        connection.execute(delete(sightings).where(sightings.c.sighting_key.in_(keys)))
    return len(keys)


def _note(connection: Connection, found: Sequence[Found], at: datetime) -> int:
    keys = {one.sighting_key for one in found}
    known = _Known(connection, keys, {one.bank for one in found})
    fact = sightings.c
    query = select(fact.sighting_key, fact.sighting_id, fact.platform, fact.upload_id, fact.received_at)
    facts = {row.sighting_key: row for row in connection.execute(query.where(fact.sighting_key.in_(keys)))}
    fresh, told = [], []
    for one in found:
        seen = facts.get(one.sighting_key)
        if seen is None or (one.participants and seen.platform not in one.participants):
            continue
        news = known.is_news(one)
        if known.take(one, news=news):
            fresh.append(one)
            if news and one.tells:
                told.append(_event(one, seen))
    if fresh:
        matched_before = cluster_matches.matching(connection, keys)
        rows = [match_row(one.sighting_key, one.match, Means.RETRO_SCAN, at) for one in fresh]
        connection.execute(insert(sighting_matches), rows)
        _of_incidents(connection, fresh, facts, known.of_incidents)
        cluster_matches.note_matched(connection, {one.sighting_key for one in fresh} - matched_before)
        if told:
            events.append_all(connection, at, told)
    return len(fresh)


class _Known:
    """What is noted of some sightings, and what looking back adds to it."""

    def __init__(self, connection: Connection, keys: Collection[int], names: Collection[str]) -> None:
        held = sighting_matches.c
        there = and_(
            items.c.item_key == held.item_key, items.c.state == ItemState.ACTIVE.value, ~bank_rows.of_removed_bank()
        )
        of_it = incident_banks.c.bank_key == items.c.bank_key
        noted = (
            select(held.sighting_key, held.item_key, held.band, items.c.bank_key, incident_banks.c.incident_key)
            .select_from(sighting_matches.outerjoin(items, there).outerjoin(incident_banks, of_it))
            .where(held.sighting_key.in_(keys))
        )
        rows = connection.execute(noted).all()
        named = select(banks.c.name, banks.c.bank_key).where(banks.c.name.in_(names))
        self.of_incidents = {(row.incident_key, row.sighting_key) for row in rows}
        self._pairs = {(row.sighting_key, row.item_key) for row in rows}
        self._banks = {row.name: row.bank_key for row in connection.execute(named)}
        self._counts = Counter(row.sighting_key for row in rows if row.bank_key is not None)
        self._strongest: dict[tuple[int, int | None], int] = {}
        for row in rows:
            if row.bank_key is not None:
                self._note_band(row.sighting_key, row.bank_key, row.band)

    def is_news(self, one: Found) -> bool:
        """Whether it is not known to match anything of that bank as surely: what floods is told of once."""
        known = self._strongest.get((one.sighting_key, self._banks.get(one.bank)), -1)
        return _BANDS.index(one.match.band) > known

    def take(self, one: Found, *, news: bool) -> bool:
        """Whether it is to be noted: no pair twice, and of what matches everything no more than some."""
        pair = one.sighting_key, item_key_of(one.match.item_id)
        if pair in self._pairs or (self._counts[one.sighting_key] >= _MOST_MATCHES and not news):
            return False
        self._pairs.add(pair)
        self._counts[one.sighting_key] += 1
        self._note_band(one.sighting_key, self._banks.get(one.bank), one.match.band)
        return True

    def _note_band(self, key: int, bank: int | None, band: str) -> None:
        self._strongest[key, bank] = max(self._strongest.get((key, bank), -1), _BANDS.index(band))


def _of_incidents(
    connection: Connection,
    fresh: Sequence[Found],
    facts: Mapping[int, _Fact],
    counted_before: Collection[tuple[int, int]],
) -> None:
    """Sightings belong to the first incident they match, and count once for each."""
    strongest: dict[tuple[int, int], Found] = {}
    for one in fresh:
        if one.incident_key is not None:
            pair = one.incident_key, one.sighting_key
            held = strongest.get(pair)
            strongest[pair] = one if held is None or one.match.distance is not None else held
    for incident_key in sorted({incident for incident, _ in strongest}):
        of_it = [key for incident, key in strongest if incident == incident_key]
        mine = sightings.c.sighting_key.in_(of_it), sightings.c.incident_key.is_(None)
        connection.execute(update(sightings).where(*mine).values(incident_key=incident_key))
    counted: Counter[Tally] = Counter()
    for (incident_key, key), one in strongest.items():
        if (incident_key, key) in counted_before:
            continue
        hour = facts[key].received_at.replace(minute=0, second=0, microsecond=0)
        counted[
            Tally(
                hour=hour,
                platform=facts[key].platform,
                incident_key=incident_key,
                bank_key=0,
                means=TallyMeans.RETRO_SCAN,
                band=one.match.band,
                action="none",
                capped=False,
                shadow=False,
            )
        ] += 1
    tallies.add(connection, Tallied(counted))


def _event(one: Found, fact: _Fact) -> NewEvent:
    data = {
        "sighting_id": fact.sighting_id,
        "upload_id": fact.upload_id,
        "item_id": one.match.item_id,
        "bank": one.bank,
        "band": one.match.band,
        "score": one.match.score,
        "distance": one.match.distance,
    }
    return NewEvent(EventKind.RETRO_MATCH, one.incident_key, fact.platform, data)
