"""Sightings for people: one, or a list of them, with what they match and what looks like them."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from index.catalog.incident_tables import (
    incidents,
    sighting_edges,
    sighting_embeddings,
    sighting_frames,
    sighting_matches,
    sightings,
)
from index.catalog.tables import banks, items, spaces
from index.identifiers import item_key_of
from index.records.items import ItemId, ItemState
from index.records.sightings import (
    Means,
    Sighting,
    SightingDetail,
    SightingEdge,
    SightingId,
    SightingMatch,
    SightingQuery,
)
from index.records.spaces import SpaceId

_MOST_EDGES = 64
"""Of one sighting, shown at once: the nearest."""


def rows() -> Select[Any]:
    first = sightings.alias("first")
    return (
        select(sightings, incidents.c.incident_id, first.c.sighting_id.label("cluster_id"))
        .select_from(sightings)
        .outerjoin(incidents, incidents.c.incident_key == sightings.c.incident_key)
        .outerjoin(first, first.c.sighting_key == sightings.c.cluster_key)
    )


def sighting_of(row: Row[Any]) -> Sighting:
    return Sighting(
        sighting_id=SightingId(row.sighting_id),
        platform=row.platform,
        upload_id=row.upload_id,
        observed_at=row.observed_at,
        received_at=row.received_at,
        publisher=row.publisher,
        context=row.context,
        kind=row.kind,
        band=row.band,
        action=row.action,
        reasons=tuple(row.reasons),
        incident_id=row.incident_id,
        cluster_id=row.cluster_id,
    )


def conditions(query: SightingQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.platform is not None:
        wanted.append(sightings.c.platform == query.platform)
    if query.band is not None:
        wanted.append(sightings.c.band == query.band)
    if query.upload_id is not None:
        wanted.append(sightings.c.upload_id == query.upload_id)
    if query.since is not None:
        wanted.append(sightings.c.received_at >= query.since)
    if query.until is not None:
        wanted.append(sightings.c.received_at < query.until)
    if query.incident_id is not None:
        named = select(incidents.c.incident_key).where(incidents.c.incident_id == query.incident_id)
        wanted.append(sightings.c.incident_key == named.scalar_subquery())
    if query.cluster_id is not None:
        wanted.append(sightings.c.cluster_key == (item_key_of(ItemId(query.cluster_id)) or 0))
    return wanted


def detail_of(connection: Connection, row: Row[Any], platform: str | None) -> SightingDetail:
    key = row.sighting_key
    frames = select(func.count()).where(sighting_frames.c.sighting_key == key)
    held = (
        select(spaces.c.space)
        .distinct()
        .join(sighting_embeddings, sighting_embeddings.c.space_key == spaces.c.space_key)
        .where(sighting_embeddings.c.sighting_key == key)
        .order_by(spaces.c.space)
    )
    return SightingDetail(
        sighting=sighting_of(row),
        frames=connection.execute(frames).scalar_one(),
        spaces=tuple(SpaceId(name) for name in connection.execute(held).scalars()),
        matches=_matches(connection, key),
        edges=_edges(connection, key, platform),
    )


def _matches(connection: Connection, key: int) -> tuple[SightingMatch, ...]:
    """Those with items that are still there and may be found, the surest first; what was removed is no match."""
    query = (
        select(sighting_matches, items.c.item_id, banks.c.name)
        .join(items, items.c.item_key == sighting_matches.c.item_key)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .where(
            sighting_matches.c.sighting_key == key,
            items.c.state == ItemState.ACTIVE.value,
            banks.c.removed_at.is_(None),
        )
        .order_by(sighting_matches.c.score.desc(), sighting_matches.c.item_key)
    )
    return tuple(
        SightingMatch(
            item_id=ItemId(row.item_id),
            bank=row.name,
            means=Means(row.means),
            band=row.band,
            score=row.score,
            distance=row.distance,
            verified=row.verified,
            at=row.at,
        )
        for row in connection.execute(query)
    )


def _edges(connection: Connection, key: int, platform: str | None) -> tuple[SightingEdge, ...]:
    """The nearest first."""
    edge = sighting_edges.c
    query = (
        select(edge.earlier_key, edge.score, edge.distance, sightings.c.sighting_id, sightings.c.platform)
        .join(
            sightings,
            or_(
                and_(edge.sighting_key == key, sightings.c.sighting_key == edge.earlier_key),
                and_(edge.earlier_key == key, sightings.c.sighting_key == edge.sighting_key),
            ),
        )
        .where(or_(edge.sighting_key == key, edge.earlier_key == key))
        .order_by(edge.score.desc(), sightings.c.sighting_key)
        .limit(_MOST_EDGES)
    )
    if platform is not None:
        query = query.where(sightings.c.platform == platform)
    return tuple(
        SightingEdge(SightingId(row.sighting_id), row.platform, row.earlier_key != key, row.score, row.distance)
        for row in connection.execute(query)
    )
