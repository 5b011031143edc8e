"""Reads what clustering needs of sightings, and writes what came of it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from index import anchors
from index.catalog import banks as bank_rows
from index.catalog import sighting_rows
from index.catalog.incident_tables import (
    cluster_tallies,
    clusters,
    incidents,
    sighting_frames,
    sighting_matches,
    sightings,
)
from index.catalog.spaces import KnownSpace
from index.catalog.tables import items
from index.cluster_records import Batch, Cluster, Clustered, Placed, Seen
from index.graph import Anchored, Link, Look
from index.incident_records import IncidentState
from index.records import PDQ_BYTES, ItemState

_HASH_QUALITY: Final = 50
"""Hashes of less say nothing. Source: PDQ, see graph.py."""
_HOUR_US: Final = 3_600_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEYS_AT_ONCE: Final = 5_000
_PLACE: Final = ("cluster_key", "hour", "platform", "band")
_PLACES: Final = tuple(f"of_{name}" for name in _PLACE)
"""The same, as the names of parameters."""


def read_batch(connection: Connection, after: int, upto: int, space: KnownSpace | None) -> Batch:
    """Sightings after one number and up to another, with what they are linked to."""
    fresh = _seen(connection, _facts().where(sightings.c.sighting_key > after, sightings.c.sighting_key <= upto))
    links = _links(connection, after, upto)
    ends = {link.earlier for each in links.values() for link in each}
    earlier = {
        key: one
        for some in _parts(ends - fresh.keys())
        for key, one in _seen(connection, _facts().where(sightings.c.sighting_key.in_(some))).items()
    }
    homes = {one.cluster_key for one in earlier.values() if one.cluster_key is not None}
    alone = {key for key in earlier if earlier[key].cluster_key is None}
    return Batch(
        upto=upto,
        sightings=tuple(fresh[key] for key in sorted(fresh)),
        links=links,
        earlier=earlier,
        clusters=_clusters(connection, homes, space),
        looks=_looks(connection, alone | (fresh.keys() & (links.keys() | ends)), space),
        space_key=None if space is None else space.key,
    )


def write(connection: Connection, clustered: Clustered) -> None:
    """Where each sighting was put, and how its clusters have grown."""
    placed = [
        {
            "of": each.sighting.key,
            "cluster_key": each.cluster_key,
            "link_key": None if each.link is None else each.link.earlier,
            "link_score": None if each.link is None else each.link.score,
            "link_distance": None if each.link is None else each.link.distance,
        }
        for each in clustered.placed
        if each.link is not None or each.cluster_key is not None
    ]
    if placed:
        names = ("cluster_key", "link_key", "link_score", "link_distance")
        moved = update(sightings).where(sightings.c.sighting_key == bindparam("of"))
        connection.execute(moved.values({name: bindparam(name) for name in names}), placed)
    fresh = [_row(cluster) for cluster in clustered.clusters if cluster.fresh]
    if fresh:
        connection.execute(insert(clusters), fresh)
    grown = [_row(cluster) for cluster in clustered.clusters if not cluster.fresh]
    if grown:
        _grow(connection, grown, Counter(each.cluster_key for each in clustered.placed if each.sighting.known))
    _count(connection, clustered.placed)
    meanwhile = {each.sighting.key for each in clustered.placed if not each.sighting.known}
    note_matched(connection, matching(connection, meanwhile))


def _grow(connection: Connection, rows: Sequence[dict[str, Any]], known: Mapping[int | None, int]) -> None:
    """What others may have learned of a cluster since it was read, that it matches something, is not written over."""
    values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "cluster_key"}
    values["matched"] = clusters.c.matched + bindparam("more_matched", type_=BigInteger)
    values["incident_key"] = func.coalesce(bindparam("incident_key", type_=BigInteger), clusters.c.incident_key)
    changed = update(clusters).where(clusters.c.cluster_key == bindparam("of")).values(values)
    more = [{"of": row["cluster_key"], "more_matched": known.get(row["cluster_key"], 0)} for row in rows]
    connection.execute(changed, [row | counted for row, counted in zip(rows, more, strict=True)])


def note_matched(connection: Connection, keys: Collection[int]) -> None:
    """
    These sightings match something, and did not before: their clusters are not unknown any more.

    One that matched something once that is gone since may be counted again; no cluster has more than its members.
    """
    found = (
        select(
            sightings.c.cluster_key, func.count().label("count"), func.min(sightings.c.incident_key).label("incident")
        )
        .where(sightings.c.sighting_key.in_(list(keys)), sightings.c.cluster_key.is_not(None))
        .group_by(sightings.c.cluster_key)
    )
    over = _over(connection)
    mine = clusters.c
    free = or_(mine.incident_key.is_(None), mine.incident_key.in_(over))
    for row in connection.execute(found).all():
        counted = mine.matched + row.count
        # Once it is unknown again, it is told of anew.
        matched = case((counted < mine.members, counted), else_=mine.members)
        values: dict[str, Any] = {"matched": matched, "announced": 0}
        if row.incident is not None and row.incident not in over:
            values["incident_key"] = case((free, row.incident), else_=mine.incident_key)
        connection.execute(update(clusters).where(mine.cluster_key == row.cluster_key).values(values))


def matches_something(*which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is a match with an item that can still be found: what was removed or disabled is not known."""
    held = sighting_matches.c
    return exists().where(
        *which,
        items.c.item_key == held.item_key,
        items.c.state == ItemState.ACTIVE.value,
        ~bank_rows.of_removed_bank(),
    )


def matching(connection: Connection, keys: Collection[int]) -> set[int]:
    """Which of these sightings match something that can still be found."""
    held = sighting_matches.c
    found: set[int] = set()
    for some in _parts(keys):
        query = select(held.sighting_key).where(held.sighting_key.in_(some), matches_something())
        found |= set(connection.execute(query.distinct()).scalars())
    return found


def still_known() -> ColumnElement[bool]:
    """Of clusters: that a member matches something."""
    mine = sightings.c
    of_member = mine.cluster_key == clusters.c.cluster_key, sighting_matches.c.sighting_key == mine.sighting_key
    return (clusters.c.matched > 0) & matches_something(*of_member)


def _facts() -> Select[Any]:
    fact = sightings.c
    known = matches_something(sighting_matches.c.sighting_key == fact.sighting_key)
    return select(
        fact.sighting_key,
        fact.sighting_id,
        fact.platform,
        type_coerce(fact.observed_at, BigInteger).label("observed_us"),
        type_coerce(fact.received_at, BigInteger).label("received_us"),
        fact.incident_key,
        fact.band,
        known.label("known"),
        fact.cluster_key,
    )


def _seen(connection: Connection, query: Select[Any]) -> dict[int, Seen]:
    rows = connection.execute(query.order_by(sightings.c.sighting_key)).all()
    over = _over(connection)
    return {
        row.sighting_key: Seen(
            key=row.sighting_key,
            sighting_id=row.sighting_id,
            platform=row.platform,
            observed_us=row.observed_us,
            received_us=row.received_us,
            incident_key=None if row.incident_key in over else row.incident_key,
            band=row.band,
            known=bool(row.known),
            cluster_key=row.cluster_key,
        )
        for row in rows
    }


def _over(connection: Connection) -> set[int]:
    """Incidents that nobody waits for news of any more."""
    ended = [state.value for state in IncidentState if not state.open]
    return set(connection.execute(select(incidents.c.incident_key).where(incidents.c.state.in_(ended))).scalars())


def _links(connection: Connection, after: int, upto: int) -> dict[int, list[Link]]:
    found = sighting_rows.edges_between(connection, after, upto)
    links: dict[int, list[Link]] = {}
    columns = (found.keys.tolist(), found.earlier.tolist(), found.scores.tolist(), found.distances.tolist())
    for key, earlier, score, distance in zip(*columns, strict=True):
        link = Link(earlier, None if score != score else score, None if distance < 0 else distance)  # noqa: PLR0124 - nan
        links.setdefault(key, []).append(link)
    return links


def _clusters(connection: Connection, keys: Collection[int], space: KnownSpace | None) -> dict[int, Cluster]:
    found: dict[int, Cluster] = {}
    over = _over(connection)
    for some in _parts(keys):
        for row in connection.execute(select(clusters).where(clusters.c.cluster_key.in_(some))):
            found[row.cluster_key] = _cluster(row, space)
            if row.incident_key in over:
                found[row.cluster_key].incident_key = None
        known = select(clusters.c.cluster_key).where(clusters.c.cluster_key.in_(some), still_known())
        for key in connection.execute(known).scalars():
            found[key].known = True
        seen = select(cluster_tallies.c.cluster_key, cluster_tallies.c.platform).distinct()
        for row in connection.execute(seen.where(cluster_tallies.c.cluster_key.in_(some))):
            found[row.cluster_key].platforms.add(row.platform)
    return found


def _cluster(row: Any, space: KnownSpace | None) -> Cluster:  # noqa: ANN401 - a row
    held = anchors.unpack(row.anchors)
    if space is None or row.space_key != space.key:  # nothing is compared across spaces
        held = [Look(np.empty((0, 0), np.float32), np.empty(0, np.bool_), anchor.hashes) for anchor in held]
    relative = None
    if row.relative_key is not None:
        relative = Link(row.relative_key, row.relative_score, row.relative_distance)
    return Cluster(
        key=row.cluster_key,
        cluster_id=row.cluster_id,
        space_key=row.space_key,
        anchored=Anchored(held),
        members=row.members,
        matched=row.matched,
        incident_key=row.incident_key,
        weakest_key=row.weakest_key,
        weakest_strength=row.weakest_strength,
        relative=relative,
        announced=row.announced,
        first_us=_us(row.first_at),
        last_us=_us(row.last_at),
        received_us=_us(row.received_at),
        packed=None if row.space_key is None or (space is not None and row.space_key == space.key) else row.anchors,
        fresh=False,
    )


def _row(cluster: Cluster) -> dict[str, Any]:
    relative = cluster.relative
    return {
        "cluster_key": cluster.key,
        "cluster_id": cluster.cluster_id,
        "space_key": cluster.space_key,
        "anchors": cluster.packed or anchors.pack(cluster.anchored.anchors),
        "members": cluster.members,
        "matched": cluster.matched,
        "incident_key": cluster.incident_key,
        "weakest_key": cluster.weakest_key,
        "weakest_strength": cluster.weakest_strength,
        "relative_key": None if relative is None else relative.earlier,
        "relative_score": None if relative is None else relative.score,
        "relative_distance": None if relative is None else relative.distance,
        "announced": cluster.announced,
        "first_at": _time(cluster.first_us),
        "last_at": _time(cluster.last_us),
        "received_at": _time(cluster.received_us),
    }


def _looks(connection: Connection, keys: Collection[int], space: KnownSpace | None) -> dict[int, Look]:
    wanted = np.array(sorted(keys), np.int64)
    rows: dict[int, tuple[Any, Any]] = {}
    if space is not None and len(wanted):
        held = sighting_rows.rows_of(connection, space, wanted)
        starts = np.searchsorted(held.keys, wanted)
        ends = np.searchsorted(held.keys, wanted, side="right")
        for key, start, end in zip(wanted.tolist(), starts, ends, strict=True):
            rows[key] = (held.embeddings[start:end], held.whole[start:end])
    hashes: dict[int, list[bytes]] = {}
    frame = sighting_frames.c
    for some in _parts(keys):
        hashed = select(frame.sighting_key, frame.pdq).where(
            frame.sighting_key.in_(some), frame.pdq.is_not(None), frame.pdq_quality >= _HASH_QUALITY
        )
        for key, pdq in connection.execute(hashed.order_by(frame.sighting_key, frame.frame_no)):
            hashes.setdefault(key, []).append(pdq)
    nothing = (np.empty((0, 0), np.float32), np.empty(0, np.bool_))
    return {
        key: Look(
            *rows.get(key, nothing), np.frombuffer(b"".join(hashes.get(key, ())), np.uint8).reshape(-1, PDQ_BYTES)
        )
        for key in wanted.tolist()
    }


def _count(connection: Connection, placed: Sequence[Placed]) -> None:
    """Adds to the counts by hour, platform and band. One process alone writes them."""
    counted = Counter(
        (
            each.cluster_key,
            _time(each.sighting.observed_us // _HOUR_US * _HOUR_US),
            each.sighting.platform,
            each.sighting.band,
        )
        for each in placed
        if each.cluster_key is not None
    )
    held: set[tuple[Any, ...]] = set()
    place = [cluster_tallies.c[name] for name in _PLACE]
    for some in _parts({key for key, *_ in counted if key is not None}):
        rows = select(*place).where(cluster_tallies.c.cluster_key.in_(some))
        held |= {tuple(row) for row in connection.execute(rows)}
    more = [dict(zip(_PLACES, each, strict=True)) | {"more": count} for each, count in counted.items() if each in held]
    if more:
        where = [column == bindparam(name) for column, name in zip(place, _PLACES, strict=True)]
        grown = cluster_tallies.c.sightings + bindparam("more")
        connection.execute(update(cluster_tallies).where(*where).values(sightings=grown), more)
    new = [
        dict(zip(_PLACE, each, strict=True)) | {"sightings": count}
        for each, count in counted.items()
        if each not in held
    ]
    if new:
        connection.execute(insert(cluster_tallies), new)


def _parts(keys: Iterable[int]) -> Iterable[list[int]]:
    ascending = sorted(keys)
    return (ascending[start : start + _KEYS_AT_ONCE] for start in range(0, len(ascending), _KEYS_AT_ONCE))


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _time(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND
