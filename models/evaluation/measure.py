"""From scores to figures: what one system reaches on the queries that every system was given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation import metrics
from models.evaluation.metrics import Floats, Predictions

ANSWERS = 10
"""Answers a query that are ranked. Source: DISC21 allows 500,000 for 50,000 queries."""
RATES = (1e-2, 1e-3, 1e-4)
NEAR = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The queries, the same for all systems.

    Args:
        edits: the edits' names, in the order of the columns of everything per edit.
        counted: shape (edits,), which of them are in overall figures.
        truth: shape (q,), the place in the bank of what each positive query was made of.
        edit: shape (q,), which edit made it.
        negative_owner: shape (n,), the picture of each negative query.
        negative_edit: shape (n,), which edit made it.
        bank: how many pictures are banked.
    """

    edits: tuple[str, ...]
    counted: NDArray[np.bool_]
    truth: NDArray[np.int64]
    edit: NDArray[np.int64]
    negative_owner: NDArray[np.int64]
    negative_edit: NDArray[np.int64]
    bank: int


@dataclass(frozen=True, slots=True)
class Answers:
    """
    A system's scores against the bank.

    Args:
        positives: shape (q, bank).
        negatives: shape (n, bank).
        thresholds: shape (t,), the best score of each innocent query that thresholds are set on.
        lookalikes: shape (l,), the best score of each look-alike against the others; empty where none were given.
    """

    positives: NDArray[np.float32]
    negatives: NDArray[np.float32]
    thresholds: Floats
    lookalikes: Floats


@dataclass(frozen=True, slots=True)
class AtRate:
    """
    Recall at a false-positive rate.

    Args:
        rate: that was aimed at; None where the threshold was given.
        threshold: a score.
        measured: the rate on the negative queries, which are not those it was set on.
        recall: over the counted edits.
        interval: its middle 95 % under resampling of pictures.
        by_edit: of each edit.
        lookalikes: the share of look-alikes with a score over the threshold; None where none were given.
    """

    rate: float | None
    threshold: float
    measured: float
    recall: float
    interval: tuple[float, float]
    by_edit: dict[str, float]
    lookalikes: float | None


@dataclass(frozen=True, slots=True)
class SystemReport:
    """
    Everything about one system.

    Args:
        name: as in tables.
        micro_ap: over counted edits and negatives.
        micro_ap_interval: its middle 95 % under resampling of pictures.
        recall_at_p90: the highest recall at a precision of 0.9.
        top_1: the share of counted queries whose original comes first.
        top_20: among the first twenty.
        top_20_by_edit: of each edit.
        curve: precision and recall as the threshold falls, a few hundred points of it.
        at: recall at each rate that the sample supports. Intervals hold the threshold fixed.
        fixed: recall at thresholds that do not depend on the sample, by their names.
    """

    name: str
    micro_ap: float
    micro_ap_interval: tuple[float, float]
    recall_at_p90: float
    top_1: float
    top_20: float
    top_20_by_edit: dict[str, float]
    curve: tuple[tuple[float, float], ...]
    at: tuple[AtRate, ...]
    fixed: dict[str, AtRate]


def measure(
    name: str, asked: Asked, answers: Answers, fixed: dict[str, float], *, rounds: int, seed: int
) -> SystemReport:
    """
    All figures of one system.

    Args:
        name: as in tables.
        asked: the queries.
        answers: its scores.
        fixed: further thresholds to report, by name.
        rounds: of the bootstrap.
        seed: of the bootstrap.
    """
    ranks = metrics.ranks(answers.positives.astype(np.float64), asked.truth)
    own = answers.positives[np.arange(len(asked.truth)), asked.truth].astype(np.float64)
    found = np.where(ranks <= ANSWERS, own, -np.inf)
    counted = asked.counted[asked.edit]
    predictions = _predictions(asked, answers).ordered()
    owners = asked.bank + (int(asked.negative_owner.max()) + 1 if len(asked.negative_owner) else 0)
    draws = metrics.resampling(owners, rounds, seed)
    aps = [metrics.micro_average_precision(predictions, draw) for draw in draws]
    best = answers.negatives.max(axis=1).astype(np.float64)[asked.counted[asked.negative_edit]]

    def at(rate: float | None, threshold: float) -> AtRate:
        hit = found >= threshold
        return AtRate(
            rate=rate,
            threshold=threshold,
            measured=metrics.rate_over(best, threshold),
            recall=float(hit[counted].mean()),
            interval=_recall_interval(asked, hit, rounds, seed),
            by_edit=_by_edit(asked, hit),
            lookalikes=metrics.rate_over(answers.lookalikes, threshold) if len(answers.lookalikes) else None,
        )

    # Where the sample supports none of them, the tightest it does: none of its queries over the threshold.
    supported = [rate for rate in RATES if rate * len(answers.thresholds) >= 1] or [1 / (len(answers.thresholds) + 1)]
    return SystemReport(
        name=name,
        micro_ap=metrics.micro_average_precision(predictions),
        micro_ap_interval=(float(np.quantile(aps, 0.025)), float(np.quantile(aps, 0.975))),
        recall_at_p90=metrics.recall_at_precision(predictions)[0],
        top_1=float((ranks[counted] == 1).mean()),
        top_20=float((ranks[counted] <= NEAR).mean()),
        top_20_by_edit=_by_edit(asked, ranks <= NEAR),
        curve=metrics.precision_and_recall(predictions),
        at=tuple(at(rate, metrics.threshold_at(answers.thresholds, rate)) for rate in supported),
        fixed={label: at(None, threshold) for label, threshold in fixed.items()},
    )


def _by_edit(asked: Asked, hit: NDArray[np.bool_]) -> dict[str, float]:
    return {name: float(hit[asked.edit == place].mean()) for place, name in enumerate(asked.edits)}


def _recall_interval(asked: Asked, hit: NDArray[np.bool_], rounds: int, seed: int) -> tuple[float, float]:
    counted = asked.counted[asked.edit]
    pictures = np.unique(asked.truth)
    means = np.array([hit[counted & (asked.truth == picture)].mean() for picture in pictures])
    return metrics.interval(means, metrics.resampling(len(pictures), rounds, seed))


def _predictions(asked: Asked, answers: Answers) -> Predictions:
    """The ten best answers of each counted query, positive or negative."""
    counted = asked.counted[asked.edit]
    innocent = asked.counted[asked.negative_edit]
    columns, scores = _top(answers.positives[counted])
    wrong = _top(answers.negatives[innocent])[1]
    truth = asked.truth[counted]
    # Of equal scores on the edge of the ten, the wrong ones come first.
    ranks = metrics.ranks(answers.positives[counted].astype(np.float64), truth)
    hits = (columns == truth[:, None]) & (ranks <= ANSWERS)[:, None]
    return Predictions(
        scores=np.concatenate([scores.ravel(), wrong.ravel()]).astype(np.float64),
        hits=np.concatenate([hits.ravel(), np.zeros(wrong.size, dtype=bool)]),
        owners=np.concatenate(
            [
                np.repeat(truth, columns.shape[1]),
                np.repeat(asked.bank + asked.negative_owner[innocent], wrong.shape[1] if wrong.ndim > 1 else 0),
            ]
        ),
        truths=len(truth),
        truth_owners=truth,
    )


def _top(scores: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    answers = min(ANSWERS, scores.shape[1])
    columns = np.argpartition(-scores, answers - 1, axis=1)[:, :answers]
    return columns, np.take_along_axis(scores, columns, axis=1)
