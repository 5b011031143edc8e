"""From what was judged to what is answered."""

from index.views.reading import Reading
from service.matching.edits import named_edits
from service.matching.evidence import Query
from service.matching.policy import PDQ_EXACT_DISTANCE, Judged, SemanticFinding
from service.schemas import Edit, GeometricEvidence, Match, PerceptualEvidence, SemanticEvidence


def answered(match: Judged, query: Query, reading: Reading) -> Match:
    """One match, as callers see it."""
    query_ms, reference_ms = positions(match, query)
    return Match(
        item_id=match.item.item_id,
        bank=match.item.bank,
        incident=None if match.rule.incident is None else match.rule.incident.incident_id,
        kind=match.item.kind,
        labels=dict(match.item.labels),
        band=match.band,
        semantic=None if match.semantic is None else _semantic(match.semantic, reading),
        perceptual=None
        if match.perceptual is None
        else PerceptualEvidence(algorithm="pdq", distance=match.perceptual.distance, threshold=PDQ_EXACT_DISTANCE),
        verified=match.verified,
        geometry=_geometry(match),
        edits=_edits(match, query),
        query_ms=query_ms,
        reference_ms=reference_ms,
        segments=[],
    )


def query_frame(match: Judged, query: Query) -> int:
    """Which of the query's frames the evidence lies in that decided."""
    if _by_hash(match) and match.perceptual is not None:
        return match.perceptual.query_row
    if match.semantic is not None:
        frames = query.spaces[match.semantic.space].frames
        return frames[match.semantic.hit.query_row] if frames else 0
    return 0


def positions(match: Judged, query: Query) -> tuple[int, int]:
    """Where in the upload and in the item the evidence lies that decided."""
    if _by_hash(match) and match.perceptual is not None:
        return query.hashes.positions_ms[match.perceptual.query_row], match.perceptual.position_ms
    if match.semantic is not None:
        rows = query.spaces[match.semantic.space]
        return rows.positions_ms[match.semantic.hit.query_row], match.semantic.hit.position_ms
    return 0, 0


def _by_hash(match: Judged) -> bool:
    return match.perceptual is not None and (match.perceptual_exact or match.semantic is None)


def _semantic(finding: SemanticFinding, reading: Reading) -> SemanticEvidence:
    frames = reading.embeddings_in(finding.space)
    return SemanticEvidence(
        embedder_id=finding.space,
        score=round(finding.hit.score, 6),
        threshold=round(finding.thresholds.deciding(finding.band), 6),
        expected_fpr=finding.thresholds.expected_fpr(finding.band, frames),
    )


def _geometry(match: Judged) -> GeometricEvidence | None:
    """Of what was found, convincing or not; what chance arranges as well is none of it."""
    if match.look is None or match.look.location is None:
        return None
    found, location = match.look, match.look.location
    return GeometricEvidence(
        inliers=location.inliers,
        model=location.model.value,
        mirrored=location.mirrored,
        rotation_deg=round(location.rotation_deg, 1),
        scale=round(location.scale, 3),
        query_quad=[list(corner) for corner in location.query_quad],
        reference_quad=[list(corner) for corner in location.reference_quad],
        coverage=round(location.coverage, 3),
        agreement=round(location.agreement, 3),
        probability=None if found.probability is None else round(found.probability, 6),
        threshold=None if found.needed is None else round(found.needed, 6),
        expected_fpr=found.expected_fpr,
    )


def _edits(match: Judged, query: Query) -> list[Edit]:
    """Only of what is shown to be a copy."""
    if match.look is None or match.look.location is None or not match.look.confirmed:
        return []
    return named_edits(match.look.location, query.frames[query_frame(match, query)])
