"""Figures in steps: near what was measured, never across a threshold, and the same every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.keys.disclosure import _geometry, _perceptual, _semantic
from service.schemas import GeometricEvidence, PerceptualEvidence, SemanticEvidence

SCORES = some.floats(-1, 1)


def semantic(score: float, threshold: float, rate: float | None = None) -> SemanticEvidence:
    return SemanticEvidence(embedder_id="toy", score=score, threshold=threshold, expected_fpr=rate)


@given(score=SCORES, threshold=SCORES)
def test_a_score_is_rounded_down_and_stays_on_its_side_of_the_threshold(score: float, threshold: float) -> None:
    shown = _semantic(semantic(score, threshold)).score
    assert shown <= score + 1e-6
    assert score - shown < 0.05 + 1e-6
    assert (shown >= threshold) == (score >= threshold) or abs(score - threshold) < 1e-6


@given(distance=some.integers(0, 256), threshold=some.integers(0, 256))
def test_a_distance_is_rounded_up_and_stays_on_its_side_of_the_threshold(distance: int, threshold: int) -> None:
    shown = _perceptual(PerceptualEvidence(algorithm="pdq", distance=distance, threshold=threshold)).distance
    assert distance <= shown < distance + 16
    assert shown <= 256
    assert (shown <= threshold) == (distance <= threshold)


@given(low=some.floats(0.61, 0.9), step=some.floats(0, 0.001))
def test_small_steps_towards_what_is_banked_mostly_show_nothing(low: float, step: float) -> None:
    """There are as few scores to see as there are steps, however finely somebody climbs."""
    seen = {_semantic(semantic(low + step * turn, 0.6)).score for turn in range(50)}
    assert len(seen) <= 2 + 50 * step / 0.05


def test_a_rate_does_not_tell_how_much_is_banked() -> None:
    shown = {_semantic(semantic(0.7, 0.6, frames * 1.3e-9)).expected_fpr for frames in range(100_000, 101_000)}
    assert len(shown) == 1
    assert _semantic(semantic(0.7, 0.6)).expected_fpr is None


def test_geometry_is_coarse_and_still_says_where() -> None:
    exact = GeometricEvidence(
        inliers=137,
        model="similarity",
        mirrored=True,
        rotation_deg=-12.345,
        scale=0.8349,
        query_quad=[[0.12345, 0.2], [0.9, 0.2], [0.9, 0.8], [0.1, 0.8]],
        reference_quad=[[-0.12345, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
        coverage=0.8765,
        agreement=0.7654,
        probability=0.9876,
        threshold=0.7591,
        expected_fpr=0.000123,
    )
    shown = _geometry(exact)
    assert (shown.inliers, shown.rotation_deg, shown.scale) == (130, -12.0, 0.8)
    assert (shown.query_quad[0], shown.reference_quad[0]) == ([0.12, 0.2], [-0.12, 0.0])
    assert (shown.coverage, shown.agreement, shown.threshold) == (0.9, 0.8, 0.7591)
    assert (shown.probability, shown.expected_fpr) == (0.9, pytest.approx(0.0001))
    assert shown.mirrored is True
