"""Writes where sightings were put, and how their clusters have grown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, select, update

from index.catalog.clusters.matches import matching, note_matched
from index.catalog.incident_tables import cluster_tallies, clusters, sightings
from index.catalog.storage.instants import from_us
from index.catalog.storage.parts import in_parts
from index.clusters import anchors
from index.clusters.records import Cluster, Clustered, Placed

_HOUR_US: Final = 3_600_000_000
_PLACE: Final = ("cluster_key", "hour", "platform", "band")
_PLACES: Final = tuple(f"of_{name}" for name in _PLACE)
"""The same, as the names of parameters."""


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
        "first_at": from_us(cluster.first_us),
        "last_at": from_us(cluster.last_us),
        "received_at": from_us(cluster.received_us),
    }


def _count(connection: Connection, placed: Sequence[Placed]) -> None:
    """Adds to the counts by hour, platform and band. One process alone writes them."""
    counted = Counter(
        (
            each.cluster_key,
            from_us(each.sighting.observed_us // _HOUR_US * _HOUR_US),
            each.sighting.platform,
            each.sighting.band,
        )
        for each in placed
        if each.cluster_key is not None
    )
    held: set[tuple[Any, ...]] = set()
    place = [cluster_tallies.c[name] for name in _PLACE]
    for some in in_parts({key for key, *_ in counted if key is not None}):
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
