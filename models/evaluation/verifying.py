"""
Fitting what cosine, PDQ and geometry say together, and measuring which probabilities innocent queries reach.

On what, says `verification_parts`. A threshold must hold for the innocent and for what is alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.calibration import Sample, Threshold
from models.embedder import Embedder
from models.evaluation.metrics import threshold_letting, upper_bound
from models.evaluation.pictures import Tick
from models.evaluation.verification_parts import Part, VerifyingOptions, gathered
from models.evaluation.verified import Looked, logits
from models.features import EXTRACTOR
from models.verification import Far, VerificationRecord, terms_of

VARIANT_RATE, RELATED_RATE = 1e-3, 1e-2
ALIKE_RATE = 2e-3
"""The share of look-alikes that may reach the threshold of `variant`."""
PAGED_RATE = 2e-2
"""The share of pictures whose very surroundings are banked that may: few uploads are of that kind."""
WRONG, WRONG_ALIKE = 4, 10
"""Wrong candidates that are learned from, of each query; those that resemble it teach most."""
BENIGN_LOOKED = 0.1
"""The share of innocent queries that may be looked at, with 95 % confidence: others are not these."""
PDQ_FAR_RATE = 0.002
"""The share of innocent queries that PDQ alone may bring."""
GROWTH_STEPS = (8, 4, 2, 1)
NEAR_MARGIN = 0.03
RIDGE = 0.002
PAGED_COUNTS = 2.0
"""What a query in shared surroundings counts for: they are few, and in service they are many."""


def fit(options: VerifyingOptions, embedder: Embedder, tick: Tick) -> VerificationRecord:
    """
    Fit and measure on folders of photographs.

    Raises:
        TooFewPictures: fewer than `verification_parts.LEAST` distinct ones in either folder.
    """
    had = gathered(options, embedder, tick)
    return fitted(embedder.space.embedder_id, had.parts, had.pictures)


def fitted(embedder_id: str, parts: Sequence[Part], pictures: int) -> VerificationRecord:
    """A record from what was found of copies, of the innocent and of look-alikes."""
    rows, labels, counts = _examples(parts)
    names = list(rows[0])
    weights = _logistic(
        np.array([[row[name] for name in names] for row in rows]), np.array(labels, dtype=np.float64), np.array(counts)
    )
    innocent = [part.innocent for part in parts]
    banks = min(found.scores.shape[1] for found in innocent)
    provisional = VerificationRecord(
        embedder_id=embedder_id,
        extractor=EXTRACTOR,
        created=datetime.now(UTC).date().isoformat(),
        sample=Sample(pictures, sum(len(found.scores) for found in innocent), banks),
        weights=dict(zip(names, weights.round(4).tolist(), strict=True)),
        variant=Threshold(1.0, 0.0, 0.0),
        related=Threshold(1.0, 0.0, 0.0),
        near=1.0,
        far=(Far(1, 1.0),),
        pdq_far=0,
    )
    return _measured(provisional, parts)


def _examples(parts: Sequence[Part]) -> tuple[list[dict[str, float]], list[bool], list[float]]:
    """Terms, labels and what each counts: of edits the original and the first wrong ones, of the others the nearest."""
    rows: list[dict[str, float]] = []
    labels: list[bool] = []
    counts: list[float] = []
    for part in parts:
        for looked, truth, most, counted in (
            (part.copies, part.truth, WRONG, 1.0),
            (part.composed, part.composed_truth, WRONG, 1.0),
            (part.innocent, None, WRONG, 1.0),
            (part.alike, None, WRONG_ALIKE, 1.0),
            (part.paged, None, WRONG_ALIKE, PAGED_COUNTS),
        ):
            for query, found in enumerate(looked.locations):
                right = -1 if truth is None else int(truth[query])
                wrong = [candidate for candidate in found if candidate != right][:most]
                for candidate in wrong + [right] * (right in found):
                    rows.append(terms_of(looked.evidence(query, candidate)))
                    labels.append(candidate == right)
                    counts.append(counted)
    return rows, labels, counts


def _logistic(
    terms: NDArray[np.float64], labels: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of the terms: of the first any, of the others none below 0, so that more evidence never says less."""

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        strength = terms @ weights
        expected = 1 / (1 + np.exp(-np.clip(strength, -40, 40)))
        wrong = float((counts * (np.logaddexp(0, strength) - labels * strength)).sum())
        ridge = RIDGE * np.concatenate([[0.0], weights[1:]])
        return wrong + float(ridge @ weights), terms.T @ (counts * (expected - labels)) + 2 * ridge

    bounds = [(None, None)] + [(0.0, None)] * (terms.shape[1] - 1)
    found = minimize(
        loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000}
    )
    return np.asarray(found.x, dtype=np.float64)


def _measured(record: VerificationRecord, parts: Sequence[Part]) -> VerificationRecord:
    innocent = _best(record, [part.innocent for part in parts])
    alike = _best(record, [part.alike for part in parts])
    paged = _best(record, [part.paged for part in parts])
    floor = max(
        threshold_letting(alike, int(ALIKE_RATE * len(alike))), threshold_letting(paged, int(PAGED_RATE * len(paged)))
    )
    shift = np.cumsum([0] + [part.innocent_owners.max() + 1 for part in parts[:-1]])
    owners = np.concatenate([part.innocent_owners + start for part, start in zip(parts, shift, strict=True)])
    smallest = min(part.innocent.scores.shape[1] for part in parts)
    scores = np.concatenate([part.innocent.scores[:, :smallest] for part in parts])
    distances = np.concatenate([part.innocent.distances.min(axis=1) for part in parts])
    highest = max(float(looked.scores.max()) for part in parts for looked in (part.innocent, part.alike, part.paged))
    looked_at = _surely(BENIGN_LOOKED, len(np.unique(owners)))
    far = {
        len(range(0, scores.shape[1], step)): float(np.quantile(scores[:, ::step].max(axis=1), 1 - looked_at))
        for step in GROWTH_STEPS
    }
    return dataclasses.replace(
        record,
        variant=_threshold(innocent, owners, VARIANT_RATE, floor),
        related=_threshold(innocent, owners, RELATED_RATE),
        near=round(min(0.99, highest + NEAR_MARGIN), 4),
        far=tuple(Far(size, round(score, 4)) for size, score in sorted(far.items())),
        pdq_far=int(np.floor(threshold_far(distances, PDQ_FAR_RATE))),
    )


def _best(record: VerificationRecord, found: Sequence[Looked]) -> NDArray[np.float64]:
    """The strength of each query's best candidate."""
    return np.concatenate([logits(record, looked).max(axis=1) for looked in found]).astype(np.float64)


def _surely(rate: float, pictures: int) -> float:
    """The largest share of a sample that leaves the rate of all others under this with 95 % confidence."""
    return max((hits / pictures for hits in range(pictures) if upper_bound(hits, pictures) <= rate), default=0.0)


def threshold_far(distances: NDArray[np.int16], rate: float) -> float:
    """The largest distance that at most this share of innocent queries comes to."""
    return -threshold_letting(-distances.astype(np.float64), int(rate * len(distances)))


def _threshold(
    best: NDArray[np.float64], owners: NDArray[np.int64], rate: float, floor: float = -math.inf
) -> Threshold:
    """
    The probability that at most this share of innocent queries reaches, or that of the floor where that is higher.

    A strength that k of n queries reach, chosen on these queries, is reached by (k + 1) / (n + 1) of others. The
    queries made of one picture are alike, so the upper bound counts pictures.
    """
    strength = max(floor, threshold_letting(best, max(int(rate * (len(best) + 1)) - 1, 0)))
    reached = best >= strength
    return Threshold(
        score=round(1 / (1 + math.exp(-strength)) + 5e-7, 6),
        fpr=(int(reached.sum()) + 1) / (len(best) + 1),
        fpr_upper95=upper_bound(len(np.unique(owners[reached])), len(np.unique(owners))),
    )
