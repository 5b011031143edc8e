"""
From evidence to bands: how near an upload is to an item, and to public-interest material.

Pure: everything here is decided from values alone. What is suggested is in verdicts.py.

A closer look (`Look`) decides between `variant` and `related` where it was taken: what lies nowhere in the upload is
near, and no copy. It raises what the score alone would have missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from index.records.banks import BankRule, BankSettings, Purpose
from index.records.hits import PerceptualHit, SemanticHit
from index.records.incidents import IncidentState
from index.records.items import Item, Quarantine
from index.records.spaces import SpaceId
from models.calibration import CalibrationRecord
from models.geometry import Location
from service.schemas import Band, Reason

PDQ_EXACT_DISTANCE = 31
"""Source: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", recommended match threshold."""
PDQ_LEAST_QUALITY = 50
"""Source: the same, "discard hashes of quality below 50"."""
_SAME_SCORE = 1e-6
"""Scores nearer than this differ by rounding alone."""

_SEMANTIC_REASONS = {Band.VARIANT: Reason.SEMANTIC_VARIANT, Band.RELATED: Reason.SEMANTIC_RELATED}
_OF_STATE = {
    IncidentState.AWARENESS: Reason.INCIDENT_UNCONFIRMED,
    IncidentState.ASSESSING: Reason.INCIDENT_UNCONFIRMED,
    IncidentState.CONFIRMED: Reason.INCIDENT_CONFIRMED,
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the bands of one space begin, for one query row and one bank; inclusive."""

    variant: float
    related: float
    calibration: CalibrationRecord | None = None
    own_variant: bool = False
    """The bank's own, not the calibration's; nobody measured a rate for it."""
    own_related: bool = False

    @property
    def calibrated(self) -> bool:
        return self.calibration is not None

    def band(self, score: float) -> Band:
        if score >= self.variant:
            return Band.VARIANT
        return Band.RELATED if score >= self.related else Band.NONE

    def deciding(self, band: Band) -> float:
        """The threshold that a band was decided by: the one it reached, or the lowest that it did not."""
        return self.variant if band is Band.VARIANT else self.related

    def expected_fpr(self, band: Band, frames: int) -> float | None:
        """How many benign uploads reach that threshold in a view of so many frames; None where nobody measured."""
        own = self.own_variant if band is Band.VARIANT else self.own_related
        if self.calibration is None or own:
            return None
        measured = self.calibration.variant if band is Band.VARIANT else self.calibration.related
        return self.calibration.expected_fpr(measured, frames)

    def for_bank(self, settings: BankSettings) -> "Thresholds":
        """A bank's own thresholds win."""
        if settings.variant_score is None and settings.related_score is None:
            return self
        return Thresholds(
            variant=self.variant if settings.variant_score is None else settings.variant_score,
            related=self.related if settings.related_score is None else settings.related_score,
            calibration=self.calibration,
            own_variant=settings.variant_score is not None,
            own_related=settings.related_score is not None,
        )


@dataclass(frozen=True, slots=True)
class SemanticFinding:
    """What one space says about an item."""

    space: SpaceId
    hit: SemanticHit
    thresholds: Thresholds
    highest: float | None = None
    """The highest score of any row of the query, where it can be another's than the hit's: rows have own thresholds."""

    @property
    def nearness(self) -> float:
        return self.hit.score if self.highest is None else self.highest

    @property
    def least_nearness(self) -> float:
        """What another must score to be as near: under the related threshold nothing is near."""
        return max(self.nearness, self.thresholds.related) if self.band is Band.NONE else self.nearness

    @property
    def band(self) -> Band:
        return self.thresholds.band(self.hit.score)

    @property
    def rank(self) -> tuple[int, float]:
        """Comparable between spaces: the band, then how far over its variant threshold."""
        return self.band.strength, self.hit.score - self.thresholds.variant


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking for the original's features in the upload, with all other evidence weighed in."""

    band: Band
    """What it makes of the candidate: `variant`, `related` or `none`."""
    location: Location | None
    """Where it lies; None where it lies nowhere."""
    probability: float | None = None
    """That it is the same picture; None where nobody calibrated that."""
    expected_fpr: float | None = None
    """The rate at which innocent uploads reach that band."""
    needed: float | None = None
    """The probability from which it is shown to be a copy."""

    @property
    def confirmed(self) -> bool:
        return self.band is Band.VARIANT and self.location is not None


@dataclass(frozen=True, slots=True)
class Judged:
    """An item and all that is known about how near the upload is to it."""

    item: Item
    rule: BankRule
    same_bytes: bool
    perceptual: PerceptualHit | None
    perceptual_exact: bool
    findings: tuple[SemanticFinding, ...]
    look: Look | None = None
    """None where nobody looked, or nothing could be made out: the other evidence stands."""

    @property
    def semantic(self) -> SemanticFinding | None:
        """The evidence of the space that sees it best."""
        return max(self.findings, key=lambda finding: finding.rank, default=None)

    @property
    def semantic_band(self) -> Band:
        return Band.NONE if self.semantic is None else self.semantic.band

    @property
    def calibrated(self) -> bool:
        """Whether a space that somebody calibrated says as much, or a calibrated look."""
        if self.look is not None and self.look.band is Band.VARIANT:
            return self.look.probability is not None
        return any(each.thresholds.calibrated for each in self.findings if each.band is self.semantic_band)

    @property
    def verified(self) -> bool | None:
        """Whether the original was found in the upload; None where nobody looked, or nothing could be made out."""
        return None if self.look is None else self.look.confirmed

    @property
    def band(self) -> Band:
        if self.same_bytes or self.perceptual_exact:
            return Band.EXACT
        if self.look is None or (self.semantic_band is Band.VARIANT and self._own_variant):
            return self.semantic_band
        if self.look.band is Band.VARIANT:
            return Band.VARIANT
        near = self.semantic_band is not Band.NONE or self.look.band is not Band.NONE
        return Band.RELATED if near else Band.NONE

    @property
    def _lowered(self) -> bool:
        """Whether the score alone would have called it a copy."""
        return self.semantic_band is Band.VARIANT and self.band is Band.RELATED

    @property
    def _combined(self) -> bool:
        """Whether it takes score, PDQ and geometry together to call it what it is."""
        alone = self.look is None or self.look.confirmed or self.band is Band.EXACT
        return not alone and self.band.strength > self.semantic_band.strength

    @property
    def _own_variant(self) -> bool:
        """Whether it is the bank's own threshold that made it a variant; its owner has the last word."""
        return self.semantic is not None and self.semantic.thresholds.own_variant

    @property
    def rank(self) -> tuple[int, bool, float, int]:
        """Higher is better: band, same bytes, margin over the threshold, PDQ."""
        margin = -4.0 if self.semantic is None else self.semantic.rank[1]
        distance = 257 if self.perceptual is None else self.perceptual.distance
        return self.band.strength, self.same_bytes, margin, -distance

    @property
    def reasons(self) -> list[Reason]:
        reasons = [Reason.SAME_BYTES] if self.same_bytes else []
        if self.perceptual_exact:
            reasons.append(Reason.PERCEPTUAL_EXACT)
        if self.look is not None and self.look.confirmed:
            reasons.append(Reason.GEOMETRIC_MATCH)
        if self.semantic_band in _SEMANTIC_REASONS:
            reasons.append(_SEMANTIC_REASONS[Band.RELATED if self._lowered else self.semantic_band])
            if not self.calibrated:
                reasons.append(Reason.UNCALIBRATED)
        if self._lowered:
            reasons.append(Reason.NOT_CONFIRMED)
        if self._combined:
            reasons.append(Reason.COMBINED_EVIDENCE)
        if self.rule.purpose is Purpose.PUBLIC_INTEREST:
            reasons.append(Reason.PUBLIC_INTEREST_MATCH)
        return reasons + self._circumstances

    @property
    def by_score_alone(self) -> bool:
        """Whether it is called a copy, and the original was not found in the upload."""
        return self.band is Band.VARIANT and not self.verified

    @property
    def under_quarantine(self) -> bool:
        """Whether it is for people to look at, because the item matched what it should not have."""
        quarantine = self.item.quarantine
        return quarantine is Quarantine.ALL or (quarantine is Quarantine.UNCONFIRMED and self.by_score_alone)

    @property
    def in_shadow(self) -> bool:
        """Whether nothing is suggested on its account: what would be is only counted."""
        return self.rule.in_shadow

    @property
    def _circumstances(self) -> list[Reason]:
        """What else has a part in what is suggested."""
        reasons = [Reason.QUARANTINED] if self.under_quarantine else []
        if self.in_shadow:
            reasons.append(Reason.SHADOW)
        incident = self.rule.incident
        if incident is not None and self.rule.purpose is Purpose.HARMFUL:
            reasons.append(_OF_STATE.get(incident.state, Reason.INCIDENT_OVER))
        return reasons


@dataclass(frozen=True, slots=True)
class PublicInterest:
    """How near the upload is to the public-interest banks, whichever banks were asked; and who publishes it."""

    trusted_publisher: bool = False
    same_bytes: bool = False
    distance: int | None = None
    scores: Mapping[SpaceId, float] | None = None
    shown: bool | None = None
    """Whether the upload was seen to be a copy of such material, and not of what is harmful in it; None where nobody
    had to look, or could not tell."""

    def covers(self, match: Judged) -> bool:
        """Whether the upload is at least as near to public-interest material as to this item."""
        if self.trusted_publisher or self.same_bytes:
            return True
        if match.same_bytes:
            return False
        if self.shown is not None:
            return self.shown
        farthest = -1 if match.perceptual is None else min(PDQ_EXACT_DISTANCE, match.perceptual.distance)
        if self.distance is not None and self.distance <= farthest:
            return True
        scores = self.scores or {}
        return any(
            finding.space in scores and scores[finding.space] >= finding.least_nearness - _SAME_SCORE
            for finding in match.findings
        )


def pdq_is_exact(hit: PerceptualHit, query_quality: int | None) -> bool:
    """
    Whether a PDQ hit alone makes a match exact.

    A hash that came without its quality is taken at its sender's word: lists are shared of hashes worth sharing.
    """
    good = all(quality is None or quality >= PDQ_LEAST_QUALITY for quality in (query_quality, hit.quality))
    return good and hit.distance <= PDQ_EXACT_DISTANCE
