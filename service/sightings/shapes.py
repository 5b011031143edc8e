"""What is answered about sightings, as types."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from index.records.sightings import Means, Sighting, SightingDetail, SightingEdge, SightingMatch
from service.schemas import Action, Band, Reason, Shape


class SightingResource(Shape):
    """A recorded upload: no media, no file name, nobody's name."""

    sighting_id: str
    platform: str
    upload_id: str | None = Field(description="The platform's own name for it.")
    observed_at: datetime = Field(
        description="When it was seen, as its platform says; never after it was received, and never further back than "
        "sightings are kept."
    )
    received_at: datetime = Field(description="When it was recorded; it is kept for some days from then on.")
    publisher: str | None
    context: str | None
    kind: Literal["image", "video", "signature"]
    band: Band = Field(description="As it was answered.")
    suggested_action: Action = Field(description="As it was answered.")
    reasons: list[Reason]
    incident: str | None = Field(description="The incident whose banks it matches, at once or since.")
    cluster: str | None = Field(
        description="The first sighting of the cluster it belongs to; null where nothing looks like it."
    )


class SightingMatchResource(Shape):
    """A match with an item that is still banked and active."""

    item_id: str
    bank: str
    means: Means = Field(
        description="How it was found: `match` when it was asked about, `retro_scan` when the item was banked or its "
        "incident confirmed later, `variant` where it was itself banked."
    )
    band: Band
    score: float | None
    distance: int | None
    verified: bool | None
    at: datetime


class SightingEdgeResource(Shape):
    """Another sighting that it looks like."""

    sighting_id: str
    platform: str
    earlier: bool = Field(description="Whether the other one came before.")
    score: float | None = Field(description="Cosine; null where the hashes alone are alike.")
    distance: int | None = Field(description="Of PDQ; null where one of them has no hash.")


class SightingDetailResource(SightingResource):
    frames: int = Field(description="Frames it can be found by; 0 where there was too little to see.")
    spaces: list[str] = Field(description="The spaces it can be found in.")
    matches: list[SightingMatchResource]
    edges: list[SightingEdgeResource] = Field(description="The nearest first; of a platform's key, its own alone.")


def sighting_resource(sighting: Sighting) -> SightingResource:
    return SightingResource(
        sighting_id=sighting.sighting_id,
        platform=sighting.platform,
        upload_id=sighting.upload_id,
        observed_at=sighting.observed_at,
        received_at=sighting.received_at,
        publisher=sighting.publisher,
        context=sighting.context,
        kind=sighting.kind,  # type: ignore[arg-type] # what was recorded was such a kind
        band=Band(sighting.band),
        suggested_action=Action(sighting.action),
        reasons=[Reason(reason) for reason in sighting.reasons],
        incident=sighting.incident_id,
        cluster=sighting.cluster_id,
    )


def detail_resource(detail: SightingDetail) -> SightingDetailResource:
    return SightingDetailResource(
        **dict(sighting_resource(detail.sighting)),
        frames=detail.frames,
        spaces=list(detail.spaces),
        matches=_matches(detail.matches),
        edges=_edges(detail.edges),
    )


def _matches(matches: Sequence[SightingMatch]) -> list[SightingMatchResource]:
    return [
        SightingMatchResource(
            item_id=match.item_id,
            bank=match.bank,
            means=match.means,
            band=Band(match.band),
            score=match.score,
            distance=match.distance,
            verified=match.verified,
            at=match.at,
        )
        for match in matches
    ]


def _edges(edges: Sequence[SightingEdge]) -> list[SightingEdgeResource]:
    return [
        SightingEdgeResource(
            sighting_id=edge.other,
            platform=edge.platform,
            earlier=edge.earlier,
            score=None if edge.score is None else round(edge.score, 6),
            distance=edge.distance,
        )
        for edge in edges
    ]
