"""Evidence becomes one probability; records are read strictly, and the cheap rules keep their promises."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from models.calibration import BadCalibration, Sample, Threshold
from models.features import EXTRACTOR
from models.geometry import Location, Model
from models.verification import FILE, Evidence, Far, VerificationRecord, flat_terms, terms_of

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
WEIGHTS = dict.fromkeys(terms_of(Evidence(None, None)), 2.0) | {"one": -6.0, "score": 4.0, "located_score": 6.0}


def located(weight: float = 40.0, agreement: float = 0.9, disputed: float = 0.0) -> Location:
    nothing = np.zeros((0, 2), np.float32)
    return Location(
        inliers=30,
        weight=weight,
        seen=996,
        alike=round(1000 * agreement),
        unlike=round(996 * disputed),
        model=Model.SIMILARITY,
        mirrored=False,
        rotation_deg=0.0,
        scale=1.0,
        query_quad=WHOLE,
        reference_quad=WHOLE,
        coverage=1.0,
        query_points=nothing,
        reference_points=nothing,
    )


@pytest.fixture
def record() -> VerificationRecord:
    return VerificationRecord(
        embedder_id="space-1",
        extractor="orb-1",
        created="2026-11-22",
        sample=Sample(100, 1000, 500),
        weights=WEIGHTS,
        variant=Threshold(0.9, 0.001, 0.01),
        related=Threshold(0.1, 0.01, 0.05),
        near=0.85,
        far=(Far(100, 0.40), Far(1000, 0.50)),
        pdq_far=80,
    )


def test_every_kind_of_evidence_raises_the_probability(record: VerificationRecord) -> None:
    base = Evidence(0.5, 59, looked=True, location=located(weight=20))
    better = (
        dataclasses.replace(base, score=0.7),
        dataclasses.replace(base, pdq_distance=50),
        dataclasses.replace(base, location=located(weight=30)),
        dataclasses.replace(base, location=located(weight=20, agreement=0.99)),
    )
    disputed = dataclasses.replace(base, location=located(weight=20, disputed=0.08))
    assert record.probability(disputed) < record.probability(base)
    for evidence in better:
        assert record.probability(evidence) > record.probability(base)
    assert record.probability(dataclasses.replace(base, location=None)) < record.probability(base)


def test_the_bundled_record_reads_more_evidence_as_more() -> None:
    record = VerificationRecord.load(Path(models.__file__).parent / "bundled" / FILE)
    assert record.extractor == EXTRACTOR
    assert all(weight >= 0 for name, weight in record.weights.items() if name != "one")
    assert record.related.score < record.variant.score
    assert record.judged(Evidence(0.7, 90, looked=True, location=located(60, 0.95))) == "variant"
    assert record.judged(Evidence(0.95, 110, looked=True)) != "variant", "a look in vain speaks against it"
    assert record.judged(Evidence(0.6, 90, looked=True, location=located(60, 0.1, 0.7))) != "variant", "a logo"
    assert record.judged(Evidence(0.6, 90, looked=True, location=located(295, 0.8, 0.2))) != "variant", "a page"
    assert record.judged(Evidence(0.4, 110, looked=True, location=located(150, 0.97))) == "variant", "strong geometry"


def test_what_is_not_known_counts_for_nothing(record: VerificationRecord) -> None:
    assert terms_of(Evidence(None, None)) == {name: float(name == "one") for name in WEIGHTS}
    assert record.probability(Evidence(-0.3, None)) == record.probability(Evidence(None, 200))


def test_the_terms_of_many_pairs_are_those_of_each() -> None:
    scores, distances = np.array([0.3, 0.75, -0.2]), np.array([31, 90, 140])
    flat = flat_terms(scores, distances)
    for place in range(3):
        one = terms_of(Evidence(float(scores[place]), int(distances[place])))
        assert {name: float(values[place]) for name, values in flat.items()} == pytest.approx(
            {name: one[name] for name in flat}
        )


def test_a_band_is_a_matter_of_the_probability_alone(record: VerificationRecord) -> None:
    strong, weak = Evidence(0.8, 90, looked=True, location=located()), Evidence(0.3, 120, looked=True)
    assert record.probability(strong) > 0.9
    assert record.judged(strong) == "variant"
    assert record.judged(weak) == "none"
    edge = dataclasses.replace(record, variant=Threshold(record.probability(strong), 0.001, 0.01))
    assert edge.judged(strong) == "variant", "comparisons are inclusive"


def test_what_was_clearly_near_is_a_variant_without_a_look_and_not_after_one_that_failed(
    record: VerificationRecord,
) -> None:
    assert record.judged(Evidence(0.86, 120)) == "variant"
    assert record.judged(Evidence(0.86, 120, looked=True)) != "variant"


@pytest.mark.parametrize(
    ("score", "distance"), [(0.9, 120), (0.85, 120), (0.49, 120), (0.2, 81), (0.7, 31), (None, None)]
)
def test_the_clearly_near_and_the_clearly_far_are_spared(
    record: VerificationRecord, score: float | None, distance: int | None
) -> None:
    assert not record.worth_looking(score, distance, 1000)


@pytest.mark.parametrize(("score", "distance"), [(0.84, 120), (0.50, 120), (0.2, 80), (None, 60), (0.7, None)])
def test_what_lies_between_is_worth_a_look(
    record: VerificationRecord, score: float | None, distance: int | None
) -> None:
    assert record.worth_looking(score, distance, 1000)


def test_the_more_are_banked_the_nearer_a_candidate_must_be(record: VerificationRecord) -> None:
    sizes = [1, 10, 100, 300, 1000, 10_000, 10_000_000]
    scores = [record.far_at(size) for size in sizes]
    assert scores == sorted(scores)
    assert record.far_at(100) == pytest.approx(0.40)
    assert record.far_at(1000) == pytest.approx(0.50)
    assert record.far_at(10_000) == pytest.approx(0.60)
    assert record.far_at(10**12) == record.near


def test_the_expected_rate_grows_with_the_bank(record: VerificationRecord) -> None:
    assert record.expected_fpr(record.variant, 500) == pytest.approx(0.001)
    assert record.expected_fpr(record.variant, 5000) == pytest.approx(0.01, rel=0.01)


def test_a_record_comes_back_from_its_file_as_it_was(record: VerificationRecord, tmp_path: Path) -> None:
    path = tmp_path / "verification.json"
    path.write_text(json.dumps(record.to_json()))
    assert VerificationRecord.load(path) == record


SPOILED: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda told: told | {"format": 1},
    "no weights": lambda told: {name: value for name, value in told.items() if name != "weights"},
    "other terms": lambda told: told | {"weights": {"one": 1.0}},
    "a word for a weight": lambda told: told | {"weights": told["weights"] | {"score": "much"}},
    "no sizes": lambda told: told | {"far": []},
    "shrinking sizes": lambda told: told | {"far": told["far"][::-1]},
    "a list": lambda told: [told],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_record_that_cannot_be_trusted_is_refused(
    record: VerificationRecord, tmp_path: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    path = tmp_path / "verification.json"
    path.write_text(json.dumps(spoil(record.to_json())))
    with pytest.raises(BadCalibration):
        VerificationRecord.load(path)
