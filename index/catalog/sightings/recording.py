"""Writing sightings: plain rows, many at once, for a recorded upload waits for its commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, update

from index.catalog import events
from index.catalog.incident_tables import sighting_embeddings, sighting_frames, sighting_matches, sightings
from index.catalog.spaces import rows as space_rows
from index.catalog.tables import log_head
from index.identifiers import item_key_of, new_item_id
from index.records.events import EventKind, NewEvent
from index.records.rows import Embeddings
from index.records.sightings import Means, NewMatch, NewSighting, SightingId
from index.records.spaces import SpaceId


@dataclass(frozen=True, slots=True)
class Recordable:
    """An upload, and how long it is to be kept."""

    new: NewSighting
    keep: timedelta


def record_each(
    connection: Connection, given: Sequence[Recordable], at: datetime, known: dict[SpaceId, int]
) -> list[SightingId]:
    """
    In this order; each with a number of its own, and an event where somebody should hear of it.

    Args:
        connection: of the transaction.
        given: the uploads.
        at: when.
        known: keys of spaces, which never change: what was looked up once is found here the next time.
    """
    if any(space not in known for each in given for frame in each.new.frames for space in frame.embeddings):
        known.update({space: held.key for space, held in space_rows.known(connection).items()})
    counted = update(log_head).values(sighting_seq=log_head.c.sighting_seq + len(given))
    last = int(connection.execute(counted.returning(log_head.c.sighting_seq)).scalar_one())
    keys = range(last - len(given) + 1, last + 1)
    ids = [SightingId(new_item_id(key)) for key in keys]
    heads: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    embeddings: list[dict[str, Any]] = []
    matches: list[dict[str, Any]] = []
    told: list[NewEvent] = []
    for key, sighting_id, each in zip(keys, ids, given, strict=True):
        new = each.new
        heads.append(_head(key, sighting_id, new, at, each.keep))
        for number, frame in enumerate(new.frames):
            place: dict[str, Any] = {"sighting_key": key, "frame_no": number}
            frames.append(
                place | {"position_ms": frame.position_ms, "pdq": frame.pdq, "pdq_quality": frame.pdq_quality}
            )
            embeddings += [
                place | {"space_key": known[space], "views": len(rows), "vectors": _halves(rows)}
                for space, rows in frame.embeddings.items()
                if space in known
            ]
        matches += [match_row(key, match, Means.MATCH, at) for match in new.matches]
        if new.tells:
            told.append(NewEvent(EventKind.MATCH, new.incident_key, new.platform, _told(sighting_id, new)))
    connection.execute(insert(sightings), heads)
    for table, rows in ((sighting_frames, frames), (sighting_embeddings, embeddings), (sighting_matches, matches)):
        if rows:
            connection.execute(insert(table), rows)
    if told:
        events.append_all(connection, at, told)
    return ids


def match_row(key: int, match: NewMatch, means: Means, at: datetime) -> dict[str, Any]:
    return {
        "sighting_key": key,
        "item_key": item_key_of(match.item_id),
        "means": means.value,
        "band": match.band,
        "score": match.score,
        "distance": match.distance,
        "verified": match.verified,
        "at": at,
    }


def _head(key: int, sighting_id: SightingId, new: NewSighting, at: datetime, keep: timedelta) -> dict[str, Any]:
    return {
        "sighting_key": key,
        "sighting_id": sighting_id,
        "platform": new.platform,
        "upload_id": new.upload_id,
        "observed_at": at if new.observed_at is None else min(max(new.observed_at, at - keep), at),
        "received_at": at,
        "publisher": new.publisher,
        "context": new.context,
        "kind": new.kind,
        "band": new.band,
        "action": new.action,
        "reasons": list(new.reasons),
        "incident_key": new.incident_key,
        "cluster_key": None,
        "index_version": new.index_version,
    }


def _told(sighting_id: SightingId, new: NewSighting) -> dict[str, Any]:
    return {
        "sighting_id": sighting_id,
        "upload_id": new.upload_id,
        "band": new.band,
        "suggested_action": new.action,
        "item_ids": [match.item_id for match in new.matches],
    }


def _halves(rows: Embeddings) -> bytes:
    return np.ascontiguousarray(rows, "<f2").tobytes()
