"""Sightings as arrays: what they look like, what they look like each other, and the facts of many at once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, and_, exists, func, or_, select, type_coerce

from index.catalog.incident_tables import (
    sighting_edges,
    sighting_embeddings,
    sighting_frames,
    sighting_matches,
    sightings,
)
from index.catalog.spaces.rows import KnownSpace
from index.catalog.tables import ChangeKind, changes
from index.records.rows import PDQ_BYTES
from index.records.sightings import EdgeRows, SightedHashes, SightedRows, SightingFacts, SightingId

Keys = NDArray[np.int64]
T = TypeVar("T")
_KEYS_AT_ONCE: Final = 5_000
_PARTITION: Final = 20_000
_EXACT: Final = "exact"
_ITEMS_COME: Final = (ChangeKind.ITEM_ADDED.value, ChangeKind.ITEM_STATE.value)


def rows_after(
    connection: Connection, space: KnownSpace, after: int, limit: int | None = None
) -> Iterator[SightedRows]:
    """
    What sightings after this one look like in a space, oldest first, some thousands at a time.

    Args:
        connection: in a transaction.
        space: which.
        after: the number of a sighting.
        limit: of the numbers that follow, at most so many; None is all.
    """
    held = sighting_embeddings.c
    wanted = [held.space_key == space.key, *_following(held.sighting_key, after, limit)]
    query = (
        select(held.sighting_key, held.frame_no, held.views, held.vectors)
        .where(*wanted)
        .order_by(held.sighting_key, held.frame_no)
    )
    for columns in _columns(connection, query):
        yield _sighted(columns, space.dim)


def rows_of(connection: Connection, space: KnownSpace, keys: Keys) -> SightedRows:
    held = sighting_embeddings.c
    query = select(held.sighting_key, held.frame_no, held.views, held.vectors).order_by(
        held.sighting_key, held.frame_no
    )
    found = [
        _sighted(columns, space.dim)
        for some in _parts(keys)
        for columns in _columns(connection, query.where(held.space_key == space.key, held.sighting_key.in_(some)))
    ]
    return joined_rows(found, space.dim)


def hashes_after(connection: Connection, after: int, limit: int | None = None) -> Iterator[SightedHashes]:
    """The hashes of sightings after this one, oldest first, some thousands at a time."""
    frame = sighting_frames.c
    query = (
        select(frame.sighting_key, frame.frame_no, frame.pdq, frame.pdq_quality)
        .where(frame.pdq.is_not(None), *_following(frame.sighting_key, after, limit))
        .order_by(frame.sighting_key, frame.frame_no)
    )
    for keys, numbers, hashes, qualities in _columns(connection, query):
        yield SightedHashes(
            keys=np.array(keys, np.int64),
            frames=np.array(numbers, np.int64),
            hashes=np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, PDQ_BYTES),
            qualities=np.array([-1 if quality is None else quality for quality in qualities], np.int16),
        )


def edges_between(connection: Connection, after: int, upto: int) -> EdgeRows:
    """The edges of sightings after one and up to another, to whatever was before them."""
    edge = sighting_edges.c
    return _edges(connection, [edge.sighting_key > after, edge.sighting_key <= upto])


def edges_of(connection: Connection, keys: Keys) -> EdgeRows:
    """The edges that have one of these at either end; one that has two of them is there once."""
    edge = sighting_edges.c
    found = [
        _edges(connection, [or_(edge.sighting_key.in_(some), edge.earlier_key.in_(some))]) for some in _parts(keys)
    ]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(np.stack([one.keys, one.earlier], 1) for one in found)])
    _, first = np.unique(pairs, axis=0, return_index=True)
    return EdgeRows(
        pairs[first, 0],
        pairs[first, 1],
        np.concatenate([np.empty(0), *(one.scores for one in found)])[first],
        np.concatenate([np.empty(0, np.int64), *(one.distances for one in found)])[first],
    )


def facts_of(connection: Connection, keys: Keys) -> SightingFacts:
    """Of those that are still kept."""
    found = [row for some in _parts(np.unique(keys)) for row in _facts(connection, sightings.c.sighting_key.in_(some))]
    return _as_columns(found)


def facts_of_incident(connection: Connection, incident_key: int) -> SightingFacts:
    return _as_columns(_facts(connection, sightings.c.incident_key == incident_key))


def index_versions_after(connection: Connection, after: int, limit: int) -> tuple[Keys, Keys]:
    """Sightings after this one, and the change that each was compared up to."""
    query = (
        select(sightings.c.sighting_key, sightings.c.index_version)
        .where(*_following(sightings.c.sighting_key, after, limit))
        .order_by(sightings.c.sighting_key)
    )
    found = np.array(connection.execute(query).all(), np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def changed_items(connection: Connection, since: int, upto: int, limit: int) -> tuple[Keys, Keys, int]:
    """
    What there is to look back for, after one change and up to another.

    Returns:
        the keys of items that came, or were changed in what they are found by; those of incidents that were changed;
        and the change up to which this is all: `upto`, or less where there is more than `limit`.
    """
    kinds = (*_ITEMS_COME, ChangeKind.INCIDENT.value)
    query = (
        select(changes.c.seq, changes.c.kind, changes.c.item_key)
        .where(changes.c.seq > since, changes.c.seq <= upto, changes.c.kind.in_(kinds))
        .order_by(changes.c.seq)
        .limit(limit)
    )
    found = connection.execute(query).all()
    items = {row.item_key for row in found if row.kind in _ITEMS_COME}
    incidents = {row.item_key for row in found if row.kind == ChangeKind.INCIDENT}
    through = int(found[-1].seq) if len(found) == limit else upto
    return np.array(sorted(items), np.int64), np.array(sorted(incidents), np.int64), through


def pressing_items(connection: Connection, since: int, upto: int, banks: Collection[int]) -> tuple[Keys, Keys]:
    """As `changed_items`, all at once: of items, those of some banks alone."""
    change = changes.c
    of_banks = and_(change.kind.in_(_ITEMS_COME), change.bank_key.in_(banks))
    query = select(change.kind, change.item_key).where(
        change.seq > since, change.seq <= upto, or_(of_banks, change.kind == ChangeKind.INCIDENT.value)
    )
    found = connection.execute(query).all()
    items = {row.item_key for row in found if row.kind in _ITEMS_COME}
    incidents = {row.item_key for row in found if row.kind == ChangeKind.INCIDENT}
    return np.array(sorted(items), np.int64), np.array(sorted(incidents), np.int64)


def unmatched(connection: Connection) -> tuple[Keys, Keys]:
    """
    Sightings that were not shown to match anything, and the cluster of each or its own key where it has none.

    Left out is what has the hash of an item, in which an original was found, or that is in one cluster with such a
    one; what only reached a threshold is not.
    """
    shown = sighting_matches.c
    surely = exists().where(
        shown.sighting_key == sightings.c.sighting_key, or_(shown.band == _EXACT, shown.verified.is_(True))
    )
    query = select(sightings.c.sighting_key, sightings.c.cluster_key, surely).order_by(sightings.c.sighting_key)
    found = connection.execute(query).all()
    known = {cluster for _, cluster, is_known in found if is_known and cluster is not None}
    left = [(key, cluster or key) for key, cluster, is_known in found if not is_known and cluster not in known]
    pairs = np.array(left, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def oldest(connection: Connection) -> int | None:
    found = connection.execute(select(func.min(sightings.c.sighting_key))).scalar()
    return None if found is None else int(found)


def joined_rows(parts: Sequence[SightedRows], dim: int) -> SightedRows:
    def together(column: Callable[[SightedRows], NDArray[Any]], nothing: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([nothing, *(column(part) for part in parts)])

    return SightedRows(
        together(lambda part: part.keys, np.empty(0, np.int64)),
        together(lambda part: part.frames, np.empty(0, np.int64)),
        together(lambda part: part.whole, np.empty(0, np.bool_)),
        together(lambda part: part.embeddings, np.empty((0, dim), np.float32)),
    )


def joined_hashes(parts: Sequence[SightedHashes]) -> SightedHashes:
    return SightedHashes(
        np.concatenate([np.empty(0, np.int64), *(part.keys for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.frames for part in parts)]),
        np.concatenate([np.empty((0, PDQ_BYTES), np.uint8), *(part.hashes for part in parts)]),
        np.concatenate([np.empty(0, np.int16), *(part.qualities for part in parts)]),
    )


def _sighted(columns: Sequence[tuple[Any, ...]], dim: int) -> SightedRows:
    keys, numbers, counts = (np.array(column, np.int64) for column in columns[:3])
    rows = np.frombuffer(b"".join(columns[3]), "<f2").reshape(-1, dim).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)  # half precision moves them off the unit sphere by a little
    whole = np.zeros(len(rows), np.bool_)
    whole[np.cumsum(counts) - counts] = True
    return SightedRows(np.repeat(keys, counts), np.repeat(numbers, counts), whole, rows)


def _edges(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> EdgeRows:
    edge = sighting_edges.c
    query = select(edge.sighting_key, edge.earlier_key, edge.score, edge.distance).where(*wanted)
    found = connection.execute(query.order_by(edge.sighting_key, edge.earlier_key)).all()
    keys, earlier, scores, distances = list(zip(*found, strict=True)) or ((), (), (), ())
    return EdgeRows(
        np.array(keys, np.int64),
        np.array(earlier, np.int64),
        np.array([np.nan if score is None else score for score in scores], np.float64),
        np.array([-1 if distance is None else distance for distance in distances], np.int64),
    )


def _facts(connection: Connection, wanted: ColumnElement[bool]) -> Sequence[Row[Any]]:
    fact = sightings.c
    query = (
        select(
            fact.sighting_key,
            fact.sighting_id,
            fact.platform,
            type_coerce(fact.received_at, BigInteger),
            type_coerce(fact.observed_at, BigInteger),
            fact.band,
            fact.action,
            func.coalesce(fact.incident_key, 0),
            func.coalesce(fact.cluster_key, 0),
        )
        .where(wanted)
        .order_by(fact.sighting_key)
    )
    return connection.execute(query).all()


def _as_columns(found: Sequence[Row[Any]]) -> SightingFacts:
    keys, ids, platforms, received, observed, bands, actions, incidents, clusters = list(zip(*found, strict=True)) or (
        ((),) * 9
    )
    return SightingFacts(
        keys=np.array(keys, np.int64),
        sighting_ids=tuple(SightingId(each) for each in ids),
        platforms=platforms,
        received_us=np.array(received, np.int64),
        observed_us=np.array(observed, np.int64),
        bands=bands,
        actions=actions,
        incident_keys=np.array(incidents, np.int64),
        cluster_keys=np.array(clusters, np.int64),
    )


def _following(key: Any, after: int, limit: int | None) -> list[ColumnElement[bool]]:  # noqa: ANN401 - a column
    return [key > after] if limit is None else [key > after, key <= after + limit]


def _parts(keys: Keys) -> Iterator[list[int]]:
    """As many at once as every database takes."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        yield keys[start : start + _KEYS_AT_ONCE].tolist()


def _columns(connection: Connection, query: Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
    result = connection.execution_options(yield_per=_PARTITION).execute(query)
    return (list(zip(*rows, strict=True)) for rows in result.partitions())
