"""
The log as the views read it.

An entry says only that something changed; the rows are read as they are now, in the transaction that also reads
the newest version. So a view that is a million changes behind costs no more than reading the tables once.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, not_, or_, select

from index.catalog import banks as bank_rows
from index.catalog import log
from index.catalog import spaces as space_rows
from index.catalog.tables import ChangeKind, changes, embeddings, frames, items
from index.changes import Changes, Origins, PerceptualRows, SemanticRows, joined, no_origins
from index.identifiers import tags_of
from index.records import Embeddings, ItemState, SpaceId, Version

_PARTITION = 20_000
_FINDABLE = (ChangeKind.ITEM_ADDED.value, ChangeKind.ITEM_STATE.value, ChangeKind.ITEM_DELETED.value)


def changes_since(connection: Connection, since: Version, wanted: Collection[SpaceId]) -> Changes:
    newest = log.head(connection)
    entries = (
        connection.execute(
            select(changes.c.kind, changes.c.bank_key, changes.c.item_key).where(changes.c.seq > since)
        ).all()
        if since
        else []
    )
    lost = {entry.bank_key for entry in entries if entry.kind == ChangeKind.BANK_DELETED}
    banks_changed = bool(lost) or any(entry.kind == ChangeKind.BANK_PUT for entry in entries)
    touched = {entry.item_key for entry in entries if entry.kind in _FINDABLE}
    known = space_rows.known(connection)
    nothing_to_add = bool(since) and not touched
    return Changes(
        version=newest,
        banks=bank_rows.rules(connection) if banks_changed or not since else None,
        lost_banks=lost,
        touched_items=np.fromiter(sorted(touched), np.int64, len(touched)),
        semantic={}
        if nothing_to_add
        else {space: _semantic(connection, since, known[space]) for space in wanted if space in known},
        perceptual=_no_hashes() if nothing_to_add else _perceptual(connection, since),
    )


def _semantic(connection: Connection, since: Version, space: space_rows.KnownSpace) -> SemanticRows:
    query = (
        _rows(since, embeddings.c.views, embeddings.c.vectors)
        .join(
            embeddings,
            and_(embeddings.c.item_key == frames.c.item_key, embeddings.c.frame_no == frames.c.frame_no),
        )
        .where(embeddings.c.space_key == space.key)
    )
    origins: list[Origins] = []
    parts: list[Embeddings] = []
    for columns in _columns(connection, query):
        counts = np.array(columns[4])
        origins.append(_origins(columns).take(np.repeat(np.arange(len(counts)), counts)))
        halves = np.frombuffer(b"".join(columns[5]), "<f2").reshape(-1, space.dim)
        # Half precision moves an embedding off the unit sphere by a little; back, so that a score is a cosine.
        whole = halves.astype(np.float32)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        parts.append(whole)
    return SemanticRows(joined(origins), np.concatenate(parts) if parts else np.empty((0, space.dim), np.float32))


def _perceptual(connection: Connection, since: Version) -> PerceptualRows:
    query = _rows(since, frames.c.pdq, frames.c.pdq_quality).where(frames.c.pdq.is_not(None))
    origins: list[Origins] = []
    hashes: list[bytes] = []
    qualities: list[int] = []
    for columns in _columns(connection, query):
        origins.append(_origins(columns))
        hashes.append(b"".join(columns[4]))
        qualities.extend(-1 if quality is None else quality for quality in columns[5])
    rows = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
    return PerceptualRows(joined(origins), rows, np.array(qualities, np.int16))


def _rows(since: Version, *payload: ColumnElement[Any]) -> Select[Any]:
    """
    Frames that may be found, oldest item first; with `since`, only those of items touched after it.

    A frame with little to see is left out: it would match every other one. Unless whoever banked it insists.
    """
    query = (
        select(items.c.item_key, items.c.item_id, items.c.bank_key, frames.c.position_ms, *payload)
        .select_from(items)
        .join(frames, frames.c.item_key == items.c.item_key)
        .where(items.c.state == ItemState.ACTIVE.value, or_(items.c.forced, not_(frames.c.low_information)))
        .order_by(frames.c.item_key, frames.c.frame_no)
    )
    if since:
        touched = select(changes.c.item_key).where(changes.c.seq > since, changes.c.kind.in_(_FINDABLE))
        query = query.where(items.c.item_key.in_(touched))
    return query


def _columns(connection: Connection, query: Select[Any]) -> Iterable[list[tuple[Any, ...]]]:
    result = connection.execution_options(yield_per=_PARTITION).execute(query)
    return (list(zip(*rows, strict=True)) for rows in result.partitions())


def _origins(columns: Sequence[tuple[Any, ...]]) -> Origins:
    return Origins(
        items=np.array(columns[0], np.int64),
        tags=tags_of(columns[1]),
        banks=np.array(columns[2], np.int64),
        positions=np.array(columns[3], np.int64),
    )


def _no_hashes() -> PerceptualRows:
    return PerceptualRows(no_origins(), np.empty((0, 32), np.uint8), np.empty(0, np.int16))
