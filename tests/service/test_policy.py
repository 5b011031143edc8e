"""Bands, actions and the care for public interest, from values alone."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Literal

import pytest

from index.records.banks import BankRule, BankSettings, Purpose
from index.records.hits import PerceptualHit, SemanticHit
from index.records.items import Item, ItemId, ItemKind, ItemState
from index.records.spaces import SpaceId
from models.calibration import CalibrationRecord, Sample, Threshold
from models.geometry import Location
from service.matching.policy import Judged, Look, PublicInterest, SemanticFinding, Thresholds, pdq_is_exact
from service.matching.verdicts import verdict
from service.schemas import Action, Band, Reason

SPACE = SpaceId("toy-1")
OTHER = SpaceId("toy-2")
NOW = datetime(2026, 11, 22, tzinfo=UTC)
CALIBRATION = CalibrationRecord(
    "toy-1", "2026-11-22", Sample(400, 19_800, 650), Threshold(0.8, 1e-4, 6e-4), Threshold(0.6, 1e-2, 1.3e-2)
)
CALIBRATED = Thresholds(0.8, 0.6, CALIBRATION)
UNCALIBRATED = Thresholds(0.9, 0.8)

Judge = Callable[..., Judged]


def hit(score: float) -> SemanticHit:
    return SemanticHit(ItemId("1"), query_row=0, score=score, position_ms=0)


def pdq(distance: int, quality: int | None = 100) -> PerceptualHit:
    return PerceptualHit(ItemId("1"), query_row=0, distance=distance, quality=quality, position_ms=0)


def judged(
    score: float | None = None,
    distance: int | None = None,
    *,
    thresholds: Thresholds = CALIBRATED,
    purpose: Purpose = Purpose.HARMFUL,
    settings: BankSettings | None = None,
    same_bytes: bool = False,
) -> Judged:
    settings = settings or BankSettings()
    item = Item(ItemId("1"), "first", ItemKind.IMAGE, ItemState.ACTIVE, {}, None, 1, None, False, (SPACE,), NOW, NOW)
    found = None if distance is None else pdq(distance)
    return Judged(
        item=item,
        rule=BankRule("first", purpose, settings),
        same_bytes=same_bytes,
        perceptual=found,
        perceptual_exact=found is not None and pdq_is_exact(found, 100),
        findings=() if score is None else (SemanticFinding(SPACE, hit(score), thresholds.for_bank(settings)),),
    )


@pytest.mark.parametrize(
    ("score", "band"),
    [(0.8, Band.VARIANT), (0.79999, Band.RELATED), (0.6, Band.RELATED), (0.59999, Band.NONE), (-1.0, Band.NONE)],
)
def test_thresholds_are_inclusive(score: float, band: Band) -> None:
    assert judged(score).band is band


@pytest.mark.parametrize(
    ("distance", "query_quality", "reference_quality", "exact"),
    [
        (31, 50, 50, True),
        (32, 100, 100, False),
        (0, 49, 100, False),
        (0, 100, 49, False),
        (31, None, None, True),
        (31, 100, None, True),
    ],
)
def test_pdq_makes_exact_only_near_and_where_both_hashes_are_good(
    distance: int, query_quality: int | None, reference_quality: int | None, exact: Literal[True, False]
) -> None:
    assert pdq_is_exact(pdq(distance, reference_quality), query_quality) is exact


def test_an_exact_match_suggests_block() -> None:
    said = verdict([judged(0.99, 4)], PublicInterest(), low_information=False)
    assert (said.band, said.suggested_action) == (Band.EXACT, Action.BLOCK)
    assert said.reasons == [Reason.PERCEPTUAL_EXACT, Reason.SEMANTIC_VARIANT]


def test_a_variant_suggests_review_until_its_bank_says_block() -> None:
    willing = BankSettings(block_on_semantic=True)
    assert verdict([judged(0.9)], PublicInterest(), low_information=False).suggested_action is Action.REVIEW
    sure = verdict([judged(0.9, settings=willing)], PublicInterest(), low_information=False)
    assert sure.suggested_action is Action.BLOCK


def test_semantic_evidence_of_an_uncalibrated_space_never_suggests_more_than_review() -> None:
    willing = BankSettings(block_on_semantic=True)
    said = verdict([judged(1.0, thresholds=UNCALIBRATED, settings=willing)], PublicInterest(), low_information=False)
    assert said.suggested_action is Action.REVIEW
    assert Reason.UNCALIBRATED in said.reasons


def test_a_calibrated_space_suggests_block_whatever_an_uncalibrated_one_says_beside_it() -> None:
    base = judged(0.81, settings=BankSettings(block_on_semantic=True))
    other = SemanticFinding(OTHER, hit(1.0), UNCALIBRATED)
    both = Judged(base.item, base.rule, False, None, False, (*base.findings, other))
    said = verdict([both], PublicInterest(), low_information=False)
    assert (said.suggested_action, said.reasons) == (Action.BLOCK, [Reason.SEMANTIC_VARIANT])
    only = Judged(base.item, base.rule, False, None, False, (other,))
    assert verdict([only], PublicInterest(), low_information=False).suggested_action is Action.REVIEW


def test_nearness_to_public_interest_is_measured_by_the_highest_score_of_both() -> None:
    base = judged(settings=BankSettings(block_on_semantic=True))
    decided = SemanticFinding(SPACE, hit(0.85), CALIBRATED, highest=0.95)
    match = Judged(base.item, base.rule, False, None, False, (decided,))
    for score, action in ((0.9, Action.BLOCK), (0.95, Action.REVIEW)):
        said = verdict([match], PublicInterest(scores={SPACE: score}), low_information=False)
        assert said.suggested_action is action


def test_a_related_match_is_listed_and_suggests_nothing() -> None:
    said = verdict([judged(0.7)], PublicInterest(), low_information=False)
    assert (said.band, said.suggested_action, said.reasons) == (Band.RELATED, Action.NONE, [Reason.SEMANTIC_RELATED])


def test_a_public_interest_match_alone_suggests_nothing() -> None:
    said = verdict([judged(0.99, 0, purpose=Purpose.PUBLIC_INTEREST)], PublicInterest(), low_information=False)
    assert (said.band, said.suggested_action) == (Band.EXACT, Action.NONE)
    assert Reason.PUBLIC_INTEREST_MATCH in said.reasons


@pytest.mark.parametrize(
    "interest",
    [
        PublicInterest(trusted_publisher=True),
        PublicInterest(same_bytes=True),
        PublicInterest(distance=4),
        PublicInterest(distance=2),
        PublicInterest(scores={SPACE: 0.99}),
        PublicInterest(scores={SPACE: 1.0}),
    ],
)
def test_public_interest_as_near_as_the_harmful_item_caps_at_review(interest: PublicInterest) -> None:
    said = verdict([judged(0.99, 4)], interest, low_information=False)
    assert (said.band, said.suggested_action) == (Band.EXACT, Action.REVIEW)
    assert said.reasons[-1] is Reason.PUBLIC_INTEREST_CAP


@pytest.mark.parametrize(
    "interest",
    [
        PublicInterest(),
        PublicInterest(distance=5),
        PublicInterest(scores={SPACE: 0.98}),
        PublicInterest(scores={OTHER: 1.0}),
    ],
)
def test_public_interest_farther_than_the_harmful_item_caps_nothing(interest: PublicInterest) -> None:
    said = verdict([judged(0.99, 4)], interest, low_information=False)
    assert said.suggested_action is Action.BLOCK
    assert Reason.PUBLIC_INTEREST_CAP not in said.reasons


def test_far_pdq_distances_say_nothing_about_public_interest() -> None:
    said = verdict(
        [judged(0.9, 120, settings=BankSettings(block_on_semantic=True))],
        PublicInterest(distance=100),
        low_information=False,
    )
    assert said.suggested_action is Action.BLOCK


def test_a_bank_s_own_threshold_wins_over_the_calibration_and_has_no_measured_rate() -> None:
    own = CALIBRATED.for_bank(BankSettings(variant_score=0.5))
    assert own.band(0.5) is Band.VARIANT
    assert (own.deciding(Band.VARIANT), own.expected_fpr(Band.VARIANT, 650)) == (0.5, None)
    assert own.expected_fpr(Band.RELATED, 650) == pytest.approx(1e-2)


def test_the_expected_rate_grows_with_the_index() -> None:
    assert CALIBRATED.expected_fpr(Band.VARIANT, 650) == pytest.approx(1e-4)
    assert CALIBRATED.expected_fpr(Band.VARIANT, 65_000) == pytest.approx(1e-2, rel=0.01)
    assert UNCALIBRATED.expected_fpr(Band.VARIANT, 650) is None


def test_the_best_space_speaks_for_an_item() -> None:
    base = judged(0.7)
    other = SemanticFinding(OTHER, hit(0.95), UNCALIBRATED)
    both = Judged(base.item, base.rule, False, None, False, (*base.findings, other))
    assert both.semantic is other
    assert both.band is Band.VARIANT


def test_low_information_is_a_reason() -> None:
    said = verdict([], PublicInterest(), low_information=True)
    assert (said.band, said.suggested_action, said.reasons) == (Band.NONE, Action.NONE, [Reason.LOW_INFORMATION])


def test_nothing_found_is_no_reason() -> None:
    assert verdict([], PublicInterest(), low_information=False).reasons == []


def located(weight: float) -> Location:
    return Location(**dict.fromkeys((each.name for each in fields(Location)), 0) | {"weight": weight})


def looked(score: float | None, look: Look, **given: object) -> Judged:
    return replace(judged(score, **given), look=look)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "look", "band", "verified", "reasons"),
    [
        (0.3, Look(Band.VARIANT, located(9), 0.99), Band.VARIANT, True, [Reason.GEOMETRIC_MATCH]),
        (0.7, Look(Band.NONE, None, 0.1), Band.RELATED, False, [Reason.SEMANTIC_RELATED]),
        (0.9, Look(Band.NONE, None, 0.1), Band.RELATED, False, [Reason.SEMANTIC_RELATED, Reason.NOT_CONFIRMED]),
        (0.3, Look(Band.NONE, None, 0.1), Band.NONE, False, []),
        (0.3, Look(Band.RELATED, None, 0.6), Band.RELATED, False, [Reason.COMBINED_EVIDENCE]),
        (0.7, Look(Band.VARIANT, None, 0.95), Band.VARIANT, False,
         [Reason.SEMANTIC_RELATED, Reason.COMBINED_EVIDENCE]),
        (None, Look(Band.VARIANT, located(9), 0.99), Band.VARIANT, True, [Reason.GEOMETRIC_MATCH]),
    ],
)  # fmt: skip
def test_a_closer_look_decides_between_variant_and_related(
    score: float | None, look: Look, band: Band, reasons: list[Reason], *, verified: bool
) -> None:
    match = looked(score, look)
    assert (match.band, match.verified, match.reasons) == (band, verified, reasons)


def test_a_look_never_lowers_the_same_bytes_nor_pdq() -> None:
    nothing = Look(Band.NONE, None, 0.0)
    assert looked(0.9, nothing, same_bytes=True).band is Band.EXACT
    assert looked(0.9, nothing, distance=31).band is Band.EXACT


def test_what_is_verified_may_be_blocked_only_where_the_bank_says_so_and_it_was_calibrated() -> None:
    bold = BankSettings(block_on_semantic=True)
    sure = Look(Band.VARIANT, located(9), 0.99)
    for settings, look, action in (
        (bold, sure, Action.BLOCK),
        (None, sure, Action.REVIEW),
        (bold, replace(sure, probability=None), Action.REVIEW),
    ):
        match = looked(0.1, look, settings=settings, thresholds=UNCALIBRATED)
        assert verdict([match], PublicInterest(), low_information=False).suggested_action is action


def test_public_interest_that_is_merely_less_far_speaks_for_nothing() -> None:
    match = looked(0.3, Look(Band.VARIANT, located(9), 0.99), settings=BankSettings(block_on_semantic=True))
    for interest, action in (
        (PublicInterest(scores={SPACE: 0.35}), Action.BLOCK),
        (PublicInterest(scores={SPACE: 0.6}), Action.REVIEW),
        (PublicInterest(shown=False), Action.BLOCK),
        (PublicInterest(shown=True), Action.REVIEW),
        (PublicInterest(shown=False, scores={SPACE: 0.9}), Action.BLOCK),
        (PublicInterest(scores={SPACE: 0.9}), Action.REVIEW),
    ):
        assert verdict([match], interest, low_information=False).suggested_action is action
