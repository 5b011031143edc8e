"""
The log as the views read it.

An entry says only that something changed; the rows are read as they are now, in the transaction that also reads
the newest version. So a view that is a million changes behind costs no more than reading the tables once.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, not_, or_, select

from index.catalog import log
from index.catalog.banks import rows as bank_rows
from index.catalog.spaces import rows as space_rows
from index.catalog.tables import ChangeKind, changes, embeddings, frames, items
from index.identifiers import tags_of
from index.records.changes import Changes, LogState, Origins, PerceptualRows, SemanticRows, Version, joined, no_origins
from index.records.items import ItemState
from index.records.rows import PDQ_BYTES, Embeddings
from index.records.spaces import SpaceId

_PARTITION = 20_000
_EMBEDDED = ChangeKind.ITEM_EMBEDDED.value
_OF_BANKS = (ChangeKind.BANK_PUT.value, ChangeKind.INCIDENT.value)
_FINDABLE = (ChangeKind.ITEM_ADDED.value, ChangeKind.ITEM_STATE.value, ChangeKind.ITEM_DELETED.value)


def changes_since(
    connection: Connection, since: Version, wanted: Collection[SpaceId], *, hashes: bool = True
) -> Changes:
    """
    Args:
        connection: in a transaction.
        since: what the views have; 0 when they have nothing.
        wanted: the spaces whose rows are read.
        hashes: whether the rows of hashes are read.
    """
    entries = _entries(connection, since)
    lost = {entry.bank_key for entry in entries if entry.kind == ChangeKind.BANK_DELETED}
    banks_changed = bool(lost) or any(entry.kind in _OF_BANKS for entry in entries)
    spaces_changed = any(entry.kind == ChangeKind.SPACE_STATE for entry in entries)
    touched = {entry.item_key for entry in entries if entry.kind in _FINDABLE}
    known = space_rows.known(connection)
    embedded = {
        space: {entry.item_key for entry in entries if entry.space_key == held.key and entry.kind == _EMBEDDED}
        for space, held in known.items()
        if space in wanted
    }
    return Changes(
        version=log.head(connection),
        banks=bank_rows.rules(connection) if banks_changed or not since else None,
        spaces=space_rows.records(connection) if spaces_changed or not since else None,
        lost_banks=lost,
        touched_items=_ascending(touched),
        embedded_items={space: _ascending(items) for space, items in embedded.items() if items},
        semantic={
            space: SemanticRows(*_together(list(semantic_parts(connection, since, known[space])), known[space].dim))
            for space in embedded
            if touched or embedded[space] or not since
        },
        perceptual=_perceptual(connection, since) if hashes and (touched or not since) else _no_hashes(),
    )


def state_of(connection: Connection) -> LogState:
    return LogState(log.head(connection), bank_rows.rules(connection), space_rows.records(connection))


def mark_of(connection: Connection, version: Version) -> str | None:
    """
    What tells this history from every other that has come as far: the catalog's identity and one entry of its log.

    None when it has not come as far.
    """
    entry = connection.execute(select(changes).where(changes.c.seq == version)).one_or_none()
    if entry is None:
        return None
    at_us = round(entry.at.timestamp() * 1e6)
    return f"{log.catalog_id(connection)} {entry.kind} {entry.bank_key} {entry.item_key or 0} {at_us}"


@dataclass(frozen=True, slots=True)
class Everything:
    """All rows of one view, part by part, as long as the transaction is open."""

    version: Version
    mark: str
    parts: Iterator[SemanticRows] | Iterator[PerceptualRows]


def everything(connection: Connection, space: SpaceId | None) -> Everything:
    """Of a space, or of the hashes; oldest item first."""
    version = log.head(connection)
    parts = (
        perceptual_parts(connection, Version(0))
        if space is None
        else semantic_parts(connection, Version(0), space_rows.known(connection)[space])
    )
    return Everything(version, mark_of(connection, version) or "", parts)


def _entries(connection: Connection, since: Version) -> Sequence[Row[Any, Any, Any, Any]]:
    """At first everything is new, and need not be listed."""
    if not since:
        return ()
    columns = (changes.c.kind, changes.c.bank_key, changes.c.item_key, changes.c.space_key)
    return connection.execute(select(*columns).where(changes.c.seq > since)).all()


def _ascending(keys: Collection[int]) -> NDArray[np.int64]:
    return np.fromiter(sorted(keys), np.int64, len(keys))


def semantic_parts(connection: Connection, since: Version, space: space_rows.KnownSpace) -> Iterator[SemanticRows]:
    """The rows of a space as `_rows` has them, some thousands at a time."""
    query = (
        _rows(since, embeddings.c.views, embeddings.c.vectors, space_key=space.key)
        .join(
            embeddings,
            and_(embeddings.c.item_key == frames.c.item_key, embeddings.c.frame_no == frames.c.frame_no),
        )
        .where(embeddings.c.space_key == space.key)
    )
    for columns in _columns(connection, query):
        counts = np.array(columns[4])
        origins = _origins(columns).take(np.repeat(np.arange(len(counts)), counts))
        halves = np.frombuffer(b"".join(columns[5]), "<f2").reshape(-1, space.dim)
        # Half precision moves an embedding off the unit sphere by a little; back, so that a score is a cosine.
        whole = halves.astype(np.float32)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        yield SemanticRows(origins, whole)


def perceptual_parts(connection: Connection, since: Version) -> Iterator[PerceptualRows]:
    """The hashes as `_rows` has them, some thousands at a time."""
    query = _rows(since, frames.c.pdq, frames.c.pdq_quality).where(frames.c.pdq.is_not(None))
    for columns in _columns(connection, query):
        hashes = np.frombuffer(b"".join(columns[4]), np.uint8).reshape(-1, PDQ_BYTES)
        qualities = np.array([-1 if quality is None else quality for quality in columns[5]], np.int16)
        yield PerceptualRows(_origins(columns), hashes, qualities)


def _together(parts: Sequence[SemanticRows], dim: int) -> tuple[Origins, Embeddings]:
    rows = [np.empty((0, dim), np.float32), *(part.embeddings for part in parts)]
    return joined([part.origins for part in parts]), np.concatenate(rows)


def _perceptual(connection: Connection, since: Version) -> PerceptualRows:
    parts = [_no_hashes(), *perceptual_parts(connection, since)]
    return PerceptualRows(
        joined([part.origins for part in parts]),
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.qualities for part in parts]),
    )


def _rows(since: Version, *payload: ColumnElement[Any], space_key: int | None = None) -> Select[Any]:
    """
    Frames that may be found, oldest item first; with `since`, only those of items touched after it, in that space.

    A frame with little to see is left out: it would match every other one. Unless whoever banked it insists.
    """
    query = (
        select(items.c.item_key, items.c.item_id, items.c.bank_key, frames.c.position_ms, *payload)
        .select_from(items)
        .join(frames, frames.c.item_key == items.c.item_key)
        .where(
            items.c.state == ItemState.ACTIVE.value,
            or_(items.c.forced, not_(frames.c.low_information)),
            not_(bank_rows.of_removed_bank()),
        )
        .order_by(frames.c.item_key, frames.c.frame_no)
    )
    if since:
        in_this_view = or_(
            changes.c.kind.in_(_FINDABLE), and_(changes.c.kind == _EMBEDDED, changes.c.space_key == space_key)
        )
        touched = select(changes.c.item_key).where(changes.c.seq > since, in_this_view)
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
