"""
The measures of copy detection, as DISC21 defines them, and recall at a stated false-positive rate.

Ties are counted against us throughout: among equal scores the wrong answer comes first, and a threshold that would let
a tie through is put above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Predictions:
    """
    What a system answered to all queries together.

    Args:
        scores: shape (p,), higher is nearer, comparable across queries.
        hits: shape (p,), whether each is a true pair.
        owners: shape (p,), the picture whose query each answers, for resampling.
        truths: how many true pairs there are, answered or not.
        truth_owners: shape (truths,), the picture of each.
    """

    scores: Floats
    hits: NDArray[np.bool_]
    owners: NDArray[np.int64]
    truths: int
    truth_owners: NDArray[np.int64]

    def ordered(self) -> Predictions:
        """By falling score, wrong ones first among equals."""
        order = np.lexsort((self.hits, -self.scores))
        return Predictions(self.scores[order], self.hits[order], self.owners[order], self.truths, self.truth_owners)


def micro_average_precision(predictions: Predictions, weights: Floats | None = None) -> float:
    """
    One ranking of all answers to all queries; the mean, over true pairs, of the precision where each is found.

    AP = sum over i of (R_i - R_{i-1}) P_i with P_i = hits up to i / i and R_i = hits up to i / all true pairs; a pair
    that is never answered counts in R. Source: Douze et al. 2021, "The 2021 Image Similarity Dataset", section 4.

    Args:
        predictions: in order of `ordered`.
        weights: shape (owners,), how often each picture counts, for resampling; once without.
    """
    if weights is None:
        found = np.cumsum(predictions.hits)
        precision = found / np.arange(1, len(found) + 1)
        return float(precision[predictions.hits].sum() / max(1, predictions.truths))
    each = weights[predictions.owners]
    answered = np.cumsum(each)
    found = np.cumsum(each * predictions.hits)
    precision = found / np.maximum(answered, 1e-12)
    total = weights[predictions.truth_owners].sum()
    return float((precision * each)[predictions.hits].sum() / max(total, 1e-12))


def recall_at_precision(predictions: Predictions, least: float = 0.9) -> tuple[float, float | None]:
    """
    The highest recall at which precision is still at least this, and the score there.

    Equal scores are answered together or not at all. Recall 0 and no score where the precision is never reached.
    """
    if not len(predictions.scores):
        return 0.0, None
    found = np.cumsum(predictions.hits)
    precision = found / np.arange(1, len(found) + 1)
    last = np.append(predictions.scores[1:] != predictions.scores[:-1], True)
    good = np.flatnonzero((precision >= least) & last)
    if not len(good):
        return 0.0, None
    place = good[-1]
    return float(found[place] / max(1, predictions.truths)), float(predictions.scores[place])


def precision_and_recall(predictions: Predictions, points: int = 200) -> tuple[tuple[float, float], ...]:
    """The curve, from the highest score down: at most this many points, evenly over the true pairs found."""
    found = np.cumsum(predictions.hits)
    places = np.flatnonzero(predictions.hits)
    chosen = places[np.unique(np.linspace(0, len(places) - 1, min(points, len(places))).astype(int))]
    return tuple(
        (round(float(found[place] / (place + 1)), 4), round(float(found[place] / predictions.truths), 4))
        for place in chosen
    )


def threshold_at(best: Floats, rate: float) -> float:
    """
    The lowest score that at most this share of innocent queries reaches.

    Args:
        best: shape (q,), the highest score of each innocent query against the bank.
        rate: of queries; with fewer than 1 / rate of them no query may reach it.
    """
    return threshold_letting(best, int(np.floor(rate * len(best))))


def threshold_letting(best: Floats, allowed: int) -> float:
    """The lowest score that at most this many innocent queries reach."""
    falling = np.sort(best)[::-1]
    if allowed >= len(falling):
        return float("-inf")
    return float(np.nextafter(falling[allowed], np.inf))


def rate_over(best: Floats, threshold: float) -> float:
    """The share of queries whose best score is at least the threshold."""
    return float((best >= threshold).mean()) if len(best) else 0.0


def upper_bound(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper end of a share's interval. Source: Clopper and Pearson 1934."""
    if hits >= trials:
        return 1.0
    return float(beta.ppf(confidence, hits + 1, trials - hits))


def ranks(scores: Floats, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    The place of each query's true answer, from 1; others with the same score come before it.

    Args:
        scores: shape (q, n).
        truth: shape (q,), the column of the true answer.
    """
    own = scores[np.arange(len(scores)), truth][:, None]
    return np.asarray((scores >= own).sum(axis=1), dtype=np.int64)


def interval(values: Floats, weights: Floats) -> tuple[float, float]:
    """
    The middle 95 % of a mean under resampling of pictures.

    Args:
        values: shape (pictures,), each picture's own mean.
        weights: shape (rounds, pictures), how often each picture is drawn in each round.
    """
    means = (weights * values).sum(axis=1) / weights.sum(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def resampling(pictures: int, rounds: int, seed: int) -> Floats:
    """How often each picture is drawn in each round of a bootstrap, shape (rounds, pictures)."""
    numbers = np.random.default_rng(seed)
    return numbers.multinomial(pictures, np.full(pictures, 1 / pictures), size=rounds).astype(np.float64)
