"""Banking from a sighting: its embeddings and hashes become an item, without its media."""

import hashlib
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, insert, select, update

from index.catalog import events, log
from index.catalog.banks import adding
from index.catalog.banks.rows import key_of
from index.catalog.clusters import matches as cluster_matches
from index.catalog.incident_tables import (
    incident_banks,
    sighting_embeddings,
    sighting_frames,
    sighting_matches,
    sightings,
    variant_items,
)
from index.catalog.sightings.recording import match_row
from index.catalog.tables import spaces
from index.identifiers import item_key_of
from index.records.banks import Labels
from index.records.events import EventKind
from index.records.items import Added, ItemKind, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.sightings import Means, NewMatch
from index.records.spaces import SpaceId, SpaceStage

_EXACT = "exact"


def signature_of(connection: Connection, sighting_key: int, sighting_id: str, labels: Labels) -> NewItem:
    """What is kept of a sighting, as an item; without a frame where nothing was to be seen in it."""
    vectors: dict[int, dict[SpaceId, Embeddings]] = {}
    held = sighting_embeddings.c
    rows = (
        select(held.frame_no, held.vectors, spaces.c.space, spaces.c.dim)
        .join(spaces, spaces.c.space_key == held.space_key)
        .where(held.sighting_key == sighting_key, spaces.c.state != SpaceStage.DROPPED.value)
    )
    for row in connection.execute(rows):
        whole = np.frombuffer(row.vectors, "<f2", row.dim).astype(np.float32).reshape(1, -1)  # the first is of it all
        vectors.setdefault(row.frame_no, {})[SpaceId(row.space)] = whole / np.linalg.norm(whole)
    frame = sighting_frames.c
    mine = select(sighting_frames).where(frame.sighting_key == sighting_key).order_by(frame.frame_no)
    frames = [
        NewFrame(row.position_ms, row.pdq, row.pdq_quality, vectors.get(row.frame_no, {}))
        for row in connection.execute(mine)
        if row.pdq is not None or row.frame_no in vectors
    ]
    # Known again by where it came from: banked twice, it is the same item.
    origin = hashlib.sha256(f"{log.catalog_id(connection)} sighting {sighting_id}".encode()).hexdigest()
    return NewItem(ItemKind.SIGNATURE, frames, labels, sha256=origin)


def bank(connection: Connection, bank_name: str, sighting_key: int, new: NewItem, at: datetime) -> Added:
    """Banks what `signature_of` made, in the caller's transaction; again it is the same item, and changes nothing."""
    (added,) = adding.add(connection, bank_name, [new], at)
    if not added.created:
        return added
    item_key, mine = item_key_of(added.item.item_id), sightings.c
    row = connection.execute(
        select(mine.sighting_id, mine.cluster_key, mine.incident_key).where(mine.sighting_key == sighting_key)
    ).one_or_none()
    home = sighting_key if row is None or row.cluster_key is None else row.cluster_key
    made = {"item_key": item_key, "sighting_key": sighting_key, "cluster_key": home, "at": at}
    connection.execute(insert(variant_items).values(made))
    bank_key = key_of(connection, bank_name)
    incident_key = connection.execute(
        select(incident_banks.c.incident_key).where(incident_banks.c.bank_key == bank_key)
    ).scalar()
    if row is not None:
        _match(connection, sighting_key, added, incident_key, at)
    data = {"sighting_id": None if row is None else row.sighting_id, "item_id": added.item.item_id, "bank": bank_name}
    events.append(connection, at, EventKind.VARIANT_BANKED, incident_key=incident_key, platform=None, data=data)
    return added


def _match(connection: Connection, sighting_key: int, added: Added, incident_key: int | None, at: datetime) -> None:
    """It matches the item that it became, of course; whoever looks at it must see that it is known now."""
    known = cluster_matches.matching(connection, [sighting_key])
    match = NewMatch(added.item.item_id, _EXACT, 1.0, 0, None)
    connection.execute(insert(sighting_matches).values(match_row(sighting_key, match, Means.VARIANT, at)))
    if incident_key is not None:
        alone = sightings.c.sighting_key == sighting_key, sightings.c.incident_key.is_(None)
        connection.execute(update(sightings).where(*alone).values(incident_key=incident_key))
    if not known:
        cluster_matches.note_matched(connection, [sighting_key])
