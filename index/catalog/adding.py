"""Banking items: every row of them, and their entries in the log, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, insert

from index.catalog import banks as bank_rows
from index.catalog import items as item_rows
from index.catalog import log
from index.catalog.spaces import KnownSpace
from index.catalog.tables import ChangeKind, embeddings, frames, items
from index.errors import BadEmbedding, SpaceMismatch
from index.identifiers import new_item_id
from index.records import PDQ_BYTES, Added, Embeddings, ItemState, NewFrame, NewItem, SpaceId, Version

_NORM_TOLERANCE = 1e-3
"""More than what an embedding loses that was once kept in half precision."""

Values = dict[str, object]


def add(
    connection: Connection, bank: str, new_items: Sequence[NewItem], known: Mapping[SpaceId, KnownSpace], at: datetime
) -> list[Added]:
    """One outcome for each new item, in order; bytes that the bank holds already stay as they are."""
    bank_key = bank_rows.key_of(connection, bank)
    held = item_rows.by_sha256(connection, bank, {new.sha256 for new in new_items if new.sha256 is not None})
    fresh = _not_held(new_items, held)
    written = dict(zip(fresh, log.reserve(connection, len(fresh)), strict=True)) if fresh else {}
    if written:
        _write(connection, bank_key, {written[place]: new_items[place] for place in fresh}, known, at)
    held |= {digest: written[place] for place in fresh if (digest := new_items[place].sha256) is not None}
    keys = [written[place] if place in written else held[new.sha256 or ""] for place, new in enumerate(new_items)]
    found = item_rows.by_key(connection, set(keys))
    head = log.head(connection)
    return [
        Added(found[key], Version(key) if place in written else head, created=place in written)
        for place, key in enumerate(keys)
    ]


def _not_held(new_items: Sequence[NewItem], held: Mapping[str, int]) -> list[int]:
    """Places of the items to write: of the same bytes twice in one call, the first."""
    seen = set(held)
    places = []
    for place, new in enumerate(new_items):
        if new.sha256 is None or new.sha256 not in seen:
            places.append(place)
            if new.sha256 is not None:
                seen.add(new.sha256)
    return places


def _write(
    connection: Connection,
    bank_key: int,
    fresh: Mapping[int, NewItem],
    known: Mapping[SpaceId, KnownSpace],
    at: datetime,
) -> None:
    frame_values = [_frame(key, no, frame) for key, new in fresh.items() for no, frame in enumerate(new.frames)]
    embedding_values = [
        values
        for key, new in fresh.items()
        for no, frame in enumerate(new.frames)
        for values in _embeddings(key, no, frame, known)
    ]
    connection.execute(insert(items), [_item(key, bank_key, new, at) for key, new in fresh.items()])
    if frame_values:
        connection.execute(insert(frames), frame_values)
    if embedding_values:
        connection.execute(insert(embeddings), embedding_values)
    bank_rows.count_items(connection, bank_key, len(fresh))
    log.append(connection, [log.entry(key, ChangeKind.ITEM_ADDED, bank_key, key, at) for key in fresh])


def _item(item_key: int, bank_key: int, new: NewItem, at: datetime) -> Values:
    return {
        "item_key": item_key,
        "item_id": new_item_id(item_key),
        "bank_key": bank_key,
        "kind": new.kind.value,
        "state": ItemState.ACTIVE.value,
        "labels": dict(new.labels),
        "sha256": new.sha256,
        "media_format": new.media_format,
        "duration_ms": new.duration_ms,
        "frames": len(new.frames),
        "low_information": bool(new.frames) and all(frame.low_information for frame in new.frames),
        "forced": new.forced,
        "created_at": at,
        "updated_at": at,
    }


def _frame(item_key: int, frame_no: int, frame: NewFrame) -> Values:
    if frame.pdq is not None and len(frame.pdq) != PDQ_BYTES:
        raise ValueError("a PDQ hash has 32 bytes")
    return {
        "item_key": item_key,
        "frame_no": frame_no,
        "position_ms": frame.position_ms,
        "pdq": frame.pdq,
        "pdq_quality": frame.pdq_quality,
        "low_information": frame.low_information,
    }


def _embeddings(item_key: int, frame_no: int, frame: NewFrame, known: Mapping[SpaceId, KnownSpace]) -> list[Values]:
    return [
        {
            "item_key": item_key,
            "frame_no": frame_no,
            "space_key": _space(known, space).key,
            "views": len(views),
            "vectors": _checked(views, _space(known, space).dim).astype("<f2").tobytes(),
        }
        for space, views in frame.embeddings.items()
    ]


def _space(known: Mapping[SpaceId, KnownSpace], space: SpaceId) -> KnownSpace:
    if space not in known:
        raise SpaceMismatch("Embeddings of a space that this catalog does not keep.")
    return known[space]


def _checked(views: Embeddings, dim: int) -> Embeddings:
    if views.ndim != 2 or views.shape[1] != dim or len(views) == 0:  # noqa: PLR2004 - rows and columns
        raise BadEmbedding(f"Embeddings of this space are rows of length {dim}.")
    norms = np.linalg.norm(views.astype(np.float64), axis=1)
    if not np.all(np.abs(norms - 1.0) <= _NORM_TOLERANCE):  # also false for NaN
        raise BadEmbedding("An embedding is not finite or not of norm 1.")
    return views
