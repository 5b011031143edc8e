"""Reads what clustering needs of sightings."""

from collections.abc import Collection
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, Connection, Select, select, type_coerce

from index.catalog.clusters.matches import ended_incidents, matches_something, still_known
from index.catalog.incident_tables import cluster_tallies, clusters, sighting_frames, sighting_matches, sightings
from index.catalog.sightings import rows as sighting_rows
from index.catalog.spaces.rows import KnownSpace
from index.catalog.storage.instants import to_us
from index.catalog.storage.parts import in_parts
from index.clusters import anchors
from index.clusters.graph import Anchored, Link, Look
from index.clusters.records import Batch, Cluster, Seen
from index.records.rows import PDQ_BYTES

_HASH_QUALITY: Final = 50
"""Hashes of less say nothing. Source: PDQ, see index/clusters/graph.py."""


def read_batch(connection: Connection, after: int, upto: int, space: KnownSpace | None) -> Batch:
    """Sightings after one number and up to another, with what they are linked to."""
    fresh = _seen(connection, _facts().where(sightings.c.sighting_key > after, sightings.c.sighting_key <= upto))
    links = _links(connection, after, upto)
    ends = {link.earlier for each in links.values() for link in each}
    earlier = {
        key: one
        for some in in_parts(ends - fresh.keys())
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
    over = ended_incidents(connection)
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
    over = ended_incidents(connection)
    for some in in_parts(keys):
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
        first_us=to_us(row.first_at),
        last_us=to_us(row.last_at),
        received_us=to_us(row.received_at),
        packed=None if row.space_key is None or (space is not None and row.space_key == space.key) else row.anchors,
        fresh=False,
    )


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
    for some in in_parts(keys):
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
