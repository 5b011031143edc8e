"""
What cosine, PDQ and geometry say together: one probability that a candidate is the same picture, edited.

Fitted on photographs known to be innocent of each other and on edits of them; thresholds are measured on the innocent,
like those of a space, so that a band means a false-positive rate whatever the evidence was.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.calibration import BadCalibration, Sample, Threshold, expected_rate
from models.geometry import Location

FILE = "verification.json"
FORMAT = 2
SAME_PDQ = 31
"""At this distance or less nobody needs a closer look. Source: PDQ's own recommendation."""
ENOUGH_SCORE = 0.7
"""A higher cosine alone says no more: pages of one face of type have 0.95."""
NEAR_PDQ = 60
LIKELY_WEIGHT = 12.0
"""Of an arrangement; chance brings none this good."""
STRONG_FROM, STRONG_AT = 8.0, 33.0
"""Between these an arrangement's strength goes from 0 to 1; lines of letters reach 18."""
AGREEING, DISPUTED = 0.85, 0.1
"""
A copy agrees in more of what should be seen than the first, and is disputed in less of it than the second. A sticker
covers as much as that, and so do the pictures on two pages of one app, of which three quarters are the app's own.
"""
STEEPEST = 60.0

Judgement = Literal["variant", "related", "none"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    All that is known of a query and one candidate.

    Args:
        score: the best cosine; None where the candidate has no embedding in the space.
        pdq_distance: the least Hamming distance over the eight turns and mirror images of the query; None where one
            of the two has no hash.
        looked: whether features of both were compared.
        location: what came of it.
        low_texture: whether one of the two has too little texture to be located.
    """

    score: float | None
    pdq_distance: int | None
    looked: bool = False
    location: Location | None = None
    low_texture: bool = False


@dataclass(frozen=True, slots=True)
class Far:
    """
    The score below which a look is not worth its price, against a bank of one size.

    Args:
        bank_frames: how many frames the bank had.
        score: a cosine that one in ten innocent queries reaches there.
    """

    bank_frames: int
    score: float


@dataclass(frozen=True, slots=True)
class VerificationRecord:
    """
    How evidence becomes a probability, and which probabilities mean which band. Safe from any thread.

    Args:
        embedder_id: of the space whose cosines it weighs.
        extractor: of the features whose geometry it weighs: `models.features.EXTRACTOR`.
        created: ISO date.
        sample: what it was measured on.
        weights: of a logistic model, by the names of its terms: see `terms_of`.
        variant: the probability from which a candidate is a `variant`.
        related: from which it is `related`: near, and worth an eye, but not shown to be the same picture.
        near: the cosine that no innocent picture comes near: a look would change nothing.
        far: see there; by growing size of bank.
        pdq_far: the distance over which PDQ alone is no reason to look.
    """

    embedder_id: str
    extractor: str
    created: str
    sample: Sample
    weights: Mapping[str, float]
    variant: Threshold
    related: Threshold
    near: float
    far: tuple[Far, ...]
    pdq_far: int

    def probability(self, evidence: Evidence) -> float:
        """That the candidate is the same picture, edited; comparable whatever the evidence was."""
        return 1 / (1 + math.exp(-self.strength(evidence)))

    def strength(self, evidence: Evidence) -> float:
        """The same as a logit, which tells apart what is nearly certain; -60..60."""
        strength = sum(self.weights[name] * value for name, value in terms_of(evidence).items())
        return max(-STEEPEST, min(STEEPEST, strength))

    def strength_at(self, threshold: Threshold) -> float:
        """A threshold as a logit."""
        return math.log(threshold.score / (1 - threshold.score)) if threshold.score < 1 else STEEPEST

    def judged(self, evidence: Evidence) -> Judgement:
        """The band of a candidate that was looked at; one that is clearly near needs no look to be a `variant`."""
        clear = not evidence.looked and evidence.score is not None and evidence.score >= self.near
        probability = self.probability(evidence)
        if clear or probability >= self.variant.score:
            return "variant"
        return "related" if probability >= self.related.score else "none"

    def worth_looking(self, score: float | None, pdq_distance: int | None, bank_frames: int) -> bool:
        """
        Whether `auto` compares features with a candidate: it is neither clearly a copy nor clearly none.

        Args:
            score: the candidate's best cosine.
            pdq_distance: see `Evidence`.
            bank_frames: how many frames the candidates were drawn from: the more there are, the nearer chance comes.
        """
        if pdq_distance is not None and pdq_distance <= SAME_PDQ:
            return False
        if score is not None and score >= self.near:
            return False
        if pdq_distance is not None and pdq_distance <= self.pdq_far:
            return True
        return score is not None and score >= self.far_at(bank_frames)

    def far_at(self, bank_frames: int) -> float:
        """The cosine of `far` for a size of bank: between sizes, and beyond them, straight in the logarithm."""
        if len(self.far) == 1:
            return self.far[0].score
        last = next((place for place, one in enumerate(self.far) if one.bank_frames >= bank_frames), len(self.far) - 1)
        low, high = self.far[max(last, 1) - 1], self.far[max(last, 1)]
        share = math.log(max(bank_frames, 1) / low.bank_frames) / math.log(high.bank_frames / low.bank_frames)
        return min(self.near, low.score + share * (high.score - low.score))

    def expected_fpr(self, threshold: Threshold, bank_frames: int) -> float:
        """The rate to expect at another size of bank, as of a calibration record."""
        return expected_rate(threshold, self.sample, bank_frames)

    def to_json(self) -> dict[str, Any]:
        """As it is written down and shown."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def load(cls, path: Path) -> VerificationRecord:
        """
        Read a record.

        Raises:
            BadCalibration: not a record of this format.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise BadCalibration(f"{path.name} is of format {told['format']}; this program reads {FORMAT}")
            return cls(
                embedder_id=str(told["embedder_id"]),
                extractor=str(told["extractor"]),
                created=str(told["created"]),
                sample=Sample(**told["sample"]),
                weights=_weights(told["weights"]),
                variant=Threshold(**told["variant"]),
                related=Threshold(**told["related"]),
                near=float(told["near"]),
                far=_sizes(told["far"]),
                pdq_far=int(told["pdq_far"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadCalibration(f"{path.name} is no verification record that can be read") from error


def terms_of(evidence: Evidence) -> dict[str, float]:
    """
    The terms of the logistic model, by name, in one order; without a location those of geometry are nothing.

    All but the first can only speak for a copy, and their weights are fitted so: what agrees in little of a picture, or
    is disputed in much of it, speaks little, however strongly it is arranged.
    """
    score, distance, location = evidence.score, evidence.pdq_distance, evidence.location
    flat = flat_terms(np.array(-1.0 if score is None else score), np.array(256 if distance is None else distance))
    weight, agreement, disputed = 0.0, 0.0, 1.0
    if location is not None:
        weight, agreement, disputed = location.weight, location.agreement, location.disputed
    strong = min(1.0, max(0.0, (weight - STRONG_FROM) / (STRONG_AT - STRONG_FROM)))
    return {
        "one": 1.0,
        **{name: float(value) for name, value in flat.items()},
        "weight": min(1.0, max(0.0, weight / LIKELY_WEIGHT)),
        "located_score": strong * max(0.0, score or 0.0),
        "agreement": strong * max(0.0, agreement - AGREEING),
        "undisputed": strong * max(0.0, DISPUTED - disputed),
    }


def flat_terms(scores: NDArray[Any], distances: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The terms that need no geometry, of any number of pairs at once; a cosine below 0 is as good as 0."""
    return {
        "score": np.clip(scores, 0.0, ENOUGH_SCORE).astype(np.float64),
        "near_pdq": np.maximum(0.0, 1 - distances / NEAR_PDQ),
    }


def _weights(told: Mapping[str, Any]) -> dict[str, float]:
    known = terms_of(Evidence(None, None))
    if set(told) != set(known):
        raise ValueError("the weights are those of other terms")
    return {name: float(told[name]) for name in known}


def _sizes(told: Sequence[Mapping[str, Any]]) -> tuple[Far, ...]:
    sizes = tuple(Far(int(one["bank_frames"]), float(one["score"])) for one in told)
    frames = [one.bank_frames for one in sizes]
    if not sizes or frames != sorted(set(frames)) or frames[0] < 1:
        raise ValueError("sizes of bank that do not grow")
    return sizes
