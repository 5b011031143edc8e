"""
What is told to those who may ask, but not look into the banks.

Whoever sees exact scores can change a picture a little, ask again, and climb towards what is banked. In steps, most
changes show nothing. The same question is always rounded alike: noise could be averaged away by asking often.
"""

import math
from typing import Final

from service.schemas import Answer, GeometricEvidence, Match, PerceptualEvidence, Quad, SemanticEvidence

_SCORE_STEP: Final = 0.05
_DISTANCE_STEP: Final = 16
_INLIER_STEP: Final = 10


def coarsened(answer: Answer) -> Answer:
    """The same answer with its figures in steps. Bands and the verdict are as they were measured."""
    return answer.model_copy(update={"matches": [_match(match) for match in answer.matches]})


def _match(match: Match) -> Match:
    return match.model_copy(
        update={
            "semantic": None if match.semantic is None else _semantic(match.semantic),
            "perceptual": None if match.perceptual is None else _perceptual(match.perceptual),
            "geometry": None if match.geometry is None else _geometry(match.geometry),
        }
    )


def _semantic(evidence: SemanticEvidence) -> SemanticEvidence:
    """Rounded down, yet never below the threshold that it reached: the band must not look wrong."""
    score = round(math.floor(evidence.score / _SCORE_STEP + 1e-9) * _SCORE_STEP, 2)
    if evidence.score >= evidence.threshold:
        score = max(score, evidence.threshold)
    return evidence.model_copy(update={"score": score, "expected_fpr": _one_digit(evidence.expected_fpr)})


def _perceptual(evidence: PerceptualEvidence) -> PerceptualEvidence:
    """Rounded up, yet never over the threshold that it was within."""
    distance = math.ceil(evidence.distance / _DISTANCE_STEP) * _DISTANCE_STEP
    if evidence.distance <= evidence.threshold:
        distance = min(distance, evidence.threshold)
    return evidence.model_copy(update={"distance": distance})


def _geometry(evidence: GeometricEvidence) -> GeometricEvidence:
    probability = evidence.probability
    return evidence.model_copy(
        update={
            "inliers": evidence.inliers // _INLIER_STEP * _INLIER_STEP,
            "rotation_deg": float(round(evidence.rotation_deg)),
            "scale": round(evidence.scale, 1),
            "query_quad": _quad(evidence.query_quad),
            "reference_quad": _quad(evidence.reference_quad),
            "coverage": round(evidence.coverage, 1),
            "agreement": round(evidence.agreement, 1),
            "probability": None if probability is None else math.floor(probability * 10) / 10,
            "expected_fpr": _one_digit(evidence.expected_fpr),
        }
    )


def _quad(quad: Quad) -> Quad:
    return [[round(place, 2) for place in corner] for corner in quad]


def _one_digit(rate: float | None) -> float | None:
    """A rate grows with the index: more digits would tell how much is banked."""
    return None if rate is None else float(f"{rate:.0e}")
