"""Banking items: every row of them, and their entries in the log, in the caller's transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import cast

import numpy as np
from sqlalchemy import Connection, insert

from index.audit import Actor, AuditAction, actor
from index.catalog import audit, log
from index.catalog.banks import features as feature_rows
from index.catalog.banks import items as item_rows
from index.catalog.banks import originals as original_rows
from index.catalog.banks import rows as bank_rows
from index.catalog.spaces import rows as space_rows
from index.catalog.spaces.rows import KnownSpace
from index.catalog.tables import ChangeKind, embeddings, frames, items
from index.errors import BadEmbedding, SpaceMismatch
from index.identifiers import new_item_id
from index.records.changes import Version
from index.records.items import Added, Item, ItemId, ItemKind, ItemState, LocalFeatures, NewFrame, NewItem
from index.records.rows import PDQ_BYTES, Embeddings
from index.records.spaces import SpaceId, SpaceStage

_NORM_TOLERANCE = 1e-3
"""More than what an embedding loses that was once kept in half precision."""

Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Addition:
    """One caller's items for a bank."""

    bank: str
    items: Sequence[NewItem]
    who: Actor = field(default_factory=actor)


def add(connection: Connection, bank: str, new_items: Sequence[NewItem], at: datetime) -> list[Added]:
    """One outcome for each new item, in order; bytes that the bank holds already stay as they are."""
    return add_each(connection, [Addition(bank, new_items)], at)[0]


def add_each(connection: Connection, additions: Sequence[Addition], at: datetime) -> list[list[Added]]:
    """The same for several callers, each with an entry of its own in the audit log."""
    known = space_rows.known(connection)
    added: dict[int, list[Added]] = {}
    for bank in {addition.bank: None for addition in additions}:
        places = [place for place, addition in enumerate(additions) if addition.bank == bank]
        outcomes = iter(_add(connection, bank, [new for place in places for new in additions[place].items], known, at))
        added |= {place: list(islice(outcomes, len(additions[place].items))) for place in places}
    _note(connection, [(addition, added[place]) for place, addition in enumerate(additions)], at)
    return [added[place] for place in range(len(additions))]


def _add(
    connection: Connection, bank: str, new_items: Sequence[NewItem], known: Mapping[SpaceId, KnownSpace], at: datetime
) -> list[Added]:
    bank_key = bank_rows.key_of(connection, bank)
    held = item_rows.by_sha256(connection, bank_key, {new.sha256 for new in new_items if new.sha256 is not None})
    fresh = _not_held(new_items, held)
    written = dict(zip(fresh, log.reserve(connection, len(fresh)), strict=True)) if fresh else {}
    made: dict[int, Item] = {}
    if written:
        originals = {new.sha256 for new in new_items if new.sha256 is not None and new.original_bytes is not None}
        if originals:
            original_rows.keep(connection, originals)
        rows = _write(connection, bank_key, {written[place]: new_items[place] for place in fresh}, known, at)
        made = {
            key: _item(row, bank, new_items[place], known)
            for (place, key), row in zip(written.items(), rows, strict=True)
        }
    held |= {digest: written[place] for place in fresh if (digest := new_items[place].sha256) is not None}
    keys = [written[place] if place in written else held[new.sha256 or ""] for place, new in enumerate(new_items)]
    older = set(keys) - set(made)
    found = made | (item_rows.by_key(connection, older) if older else {})
    head = log.head(connection) if len(written) < len(keys) else Version(0)
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


def _refuse_empty_signatures(fresh: Iterable[NewItem], known: Mapping[SpaceId, KnownSpace]) -> None:
    """
    Raises:
        SpaceMismatch: a signature would be banked that nobody finds: its space was given up on its way.
    """
    for new in fresh:
        spaces = {space for frame in new.frames for space in frame.embeddings}
        if new.kind is ItemKind.SIGNATURE and any(_space(known, space).stage is SpaceStage.DROPPED for space in spaces):
            raise SpaceMismatch("The space of these embeddings was dropped.")


def _write(
    connection: Connection,
    bank_key: int,
    fresh: Mapping[int, NewItem],
    known: Mapping[SpaceId, KnownSpace],
    at: datetime,
) -> list[Values]:
    """The rows of the items, in their order."""
    _refuse_empty_signatures(fresh.values(), known)
    item_values = [_item_row(key, bank_key, new, at) for key, new in fresh.items()]
    frame_values = [_frame(key, no, frame) for key, new in fresh.items() for no, frame in enumerate(new.frames)]
    embedding_values = [
        values
        for key, new in fresh.items()
        for no, frame in enumerate(new.frames)
        for values in _embeddings(key, no, frame, known)
    ]
    connection.execute(insert(items), item_values)
    if frame_values:
        connection.execute(insert(frames), frame_values)
    if embedding_values:
        connection.execute(insert(embeddings), embedding_values)
    feature_rows.write(connection, _features(fresh))
    bank_rows.count_items(connection, bank_key, len(fresh))
    log.append(connection, [log.entry(key, ChangeKind.ITEM_ADDED, bank_key, key, at) for key in fresh])
    return item_values


def _note(connection: Connection, outcomes: Sequence[tuple[Addition, Sequence[Added]]], at: datetime) -> None:
    """In the audit log: which items came, and of which bytes, also when they are long gone."""
    entries = []
    for addition, added in outcomes:
        came = [(one.item, new) for one, new in zip(added, addition.items, strict=True) if one.created]
        forced = [item.item_id for item, new in came if new.forced]
        details: dict[str, object] = {"items": {item.item_id: item.sha256 for item, _ in came}}
        if came:
            entries.append((addition.who, f"banks/{addition.bank}", details | ({"forced": forced} if forced else {})))
    audit.append_all(
        connection,
        at,
        [(AuditAction.ITEMS_ADDED, subject, details) for _, subject, details in entries],
        by=[who for who, _, _ in entries],
    )


def _item_row(item_key: int, bank_key: int, new: NewItem, at: datetime) -> Values:
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
        "original_bytes": new.original_bytes,
        "created_at": at,
        "updated_at": at,
    }


def _item(row: Values, bank: str, new: NewItem, known: Mapping[SpaceId, KnownSpace]) -> Item:
    """As it would be read back."""
    found_in = {space for frame in new.frames for space in frame.embeddings}
    return Item(
        item_id=cast("ItemId", row["item_id"]),
        bank=bank,
        kind=new.kind,
        state=ItemState.ACTIVE,
        labels=json.loads(json.dumps(row["labels"])),
        sha256=new.sha256,
        frames=len(new.frames),
        duration_ms=new.duration_ms,
        low_information=bool(row["low_information"]),
        spaces=tuple(sorted(space for space in found_in if known[space].stage is not SpaceStage.DROPPED)),
        created_at=cast("datetime", row["created_at"]),
        updated_at=cast("datetime", row["updated_at"]),
        original_bytes=new.original_bytes,
    )


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


def _features(fresh: Mapping[int, NewItem]) -> dict[tuple[int, int], LocalFeatures]:
    return {
        (key, no): frame.features
        for key, new in fresh.items()
        for no, frame in enumerate(new.frames)
        if frame.features is not None
    }


def _embeddings(item_key: int, frame_no: int, frame: NewFrame, known: Mapping[SpaceId, KnownSpace]) -> list[Values]:
    return [
        {
            "item_key": item_key,
            "frame_no": frame_no,
            "space_key": _space(known, space).key,
            "views": len(views),
            "vectors": vectors_of(views, _space(known, space).dim),
            "tiles": frame.tiling.wanted,
            "tile_views": frame.tiling.rows,
        }
        for space, views in frame.embeddings.items()
        if _space(known, space).stage is not SpaceStage.DROPPED  # given up while the item was on its way
    ]


def _space(known: Mapping[SpaceId, KnownSpace], space: SpaceId) -> KnownSpace:
    if space not in known:
        raise SpaceMismatch("Embeddings of a space that this catalog does not keep.")
    return known[space]


def vectors_of(views: Embeddings, dim: int) -> bytes:
    """
    Embeddings as they are kept: half precision, little-endian.

    Raises:
        BadEmbedding: of another length, not finite, or not of norm 1.
    """
    return _checked(views, dim).astype("<f2").tobytes()


def _checked(views: Embeddings, dim: int) -> Embeddings:
    if views.ndim != 2 or views.shape[1] != dim or len(views) == 0:  # noqa: PLR2004 - rows and columns
        raise BadEmbedding(f"Embeddings of this space are rows of length {dim}.")
    norms = np.linalg.norm(views.astype(np.float64), axis=1)
    if not np.all(np.abs(norms - 1.0) <= _NORM_TOLERANCE):  # also false for NaN
        raise BadEmbedding("An embedding is not finite or not of norm 1.")
    return views
