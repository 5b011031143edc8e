"""What scores mean in a space: thresholds at stated false-positive rates, and on what they were measured."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from models.errors import ModelUnavailable

FORMAT = 1
FILE = "calibration.json"
BACKGROUND_KEY = "embeddings"


class BadCalibration(ModelUnavailable):
    """The calibration record is damaged, of another version, or lacks its background."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """
    A score, and how often an innocent query reaches it.

    Args:
        score: cosine; with normalisation on, what is left of it after the query's own share is taken off.
        fpr: the share of innocent queries to expect at or over this score, against a bank of `Sample.bank_frames`.
        fpr_upper95: the upper end of the one-sided 95 % interval of the share of pictures any of whose queries is
            (Clopper-Pearson); what the sample proves, where `fpr` is what it suggests.
    """

    score: float
    fpr: float
    fpr_upper95: float


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What was measured.

    Args:
        pictures: distinct photographs.
        queries: innocent queries made of them, whole and edited.
        bank_frames: the size of the bank they were held against.
        same_scene: of the pictures, how many were known to share a scene and not held against each other.
    """

    pictures: int
    queries: int
    bank_frames: int
    same_scene: int = 0


def expected_rate(threshold: Threshold, sample: Sample, bank_frames: int) -> float:
    """
    The rate to expect at another size of bank than was measured: each frame is one more chance to be wrong.

    1 - (1 - fpr) ** (bank_frames / measured), a forecast where the bank is larger than what was measured. Never
    less than one in as many queries as were asked: a sample cannot tell smaller rates apart.
    """
    if threshold.fpr >= 1:
        return 1.0
    forecast = -math.expm1(math.log1p(-threshold.fpr) * bank_frames / sample.bank_frames)
    return max(forecast, 1 / (sample.queries + 1))


@dataclass(frozen=True, slots=True)
class Growth:
    """
    The rates of the same thresholds at another size of bank.

    Args:
        bank_frames: how many frames the bank had.
        variant_fpr: the share of innocent queries at or over the variant threshold.
        related_fpr: the share at or over the related one.
    """

    bank_frames: int
    variant_fpr: float
    related_fpr: float


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """
    A query that is like everything must come nearer than others to count.

    threshold(q) = score + beta * mean of the `neighbours` highest cosines of q to the background.
    Source: SSCD (Pizzi et al. 2022), equation 8, with the share of the query moved to the threshold's side, so that a
    score stays a cosine.

    Args:
        beta: how much of it.
        neighbours: of how many of the nearest.
        background: float32, shape (n, dim), unit rows of photographs that are in no bank.
        file: where the rows are, beside the record.
    """

    beta: float
    neighbours: int
    background: NDArray[np.float32]
    file: str = "background.safetensors"

    def shares(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each query's thresholds are raised by, from rows of shape (q, dim) to shape (q,)."""
        scores = queries @ self.background.T
        nearest = min(self.neighbours, scores.shape[1])
        top = np.partition(scores, scores.shape[1] - nearest, axis=1)[:, -nearest:]
        return np.asarray(self.beta * top.mean(axis=1), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationRecord:
    """
    The thresholds of one space. Safe from any thread.

    Args:
        embedder_id: of the space it was measured in.
        created: ISO date.
        sample: what it was measured on.
        variant: the threshold of the band `variant`.
        related: of the band `related`.
        normalisation: None where thresholds are the same for every query.
        growth: the rates at other sizes of bank, smallest first.
    """

    embedder_id: str
    created: str
    sample: Sample
    variant: Threshold
    related: Threshold
    normalisation: Normalisation | None = None
    growth: tuple[Growth, ...] = ()

    def thresholds_for(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        The cosine from which a neighbour of each query counts.

        Args:
            queries: shape (q, dim), unit rows.

        Returns:
            shape (q, 2): for `variant` and for `related`.
        """
        base = np.array([[self.variant.score, self.related.score]], dtype=np.float32)
        if self.normalisation is None:
            return np.repeat(base, len(queries), axis=0)
        return np.asarray(base + self.normalisation.shares(queries)[:, None], dtype=np.float32)

    def expected_fpr(self, threshold: Threshold, bank_frames: int) -> float:
        """The rate to expect at another size of bank: see `expected_rate`."""
        return expected_rate(threshold, self.sample, bank_frames)

    def to_json(self) -> dict[str, Any]:
        """The record as it is written down and shown; the background is a file of its own."""
        normalisation = None
        if self.normalisation is not None:
            normalisation = {
                "beta": self.normalisation.beta,
                "neighbours": self.normalisation.neighbours,
                "background": self.normalisation.file,
            }
        return {
            "format": FORMAT,
            "embedder_id": self.embedder_id,
            "created": self.created,
            "sample": _fields(self.sample),
            "thresholds": {"variant": _fields(self.variant), "related": _fields(self.related)},
            "normalisation": normalisation,
            "growth": [_fields(size) for size in self.growth],
        }

    @classmethod
    def load(cls, path: Path) -> CalibrationRecord:
        """
        Read a record, and its background from beside it.

        Raises:
            BadCalibration: not a record of this format.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise BadCalibration(f"{path.name} is of format {told['format']}; this program reads {FORMAT}")
            return cls(
                embedder_id=str(told["embedder_id"]),
                created=str(told["created"]),
                sample=Sample(**told["sample"]),
                variant=Threshold(**told["thresholds"]["variant"]),
                related=Threshold(**told["thresholds"]["related"]),
                normalisation=_normalisation(told["normalisation"], path.parent),
                growth=tuple(Growth(**size) for size in told.get("growth") or ()),
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BadCalibration(f"{path.name} is no calibration record that can be read") from error


def _fields(value: Sample | Threshold | Growth) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _normalisation(told: dict[str, Any] | None, folder: Path) -> Normalisation | None:
    if told is None:
        return None
    name = Path(str(told["background"])).name
    rows = load_file(str(folder / name))[BACKGROUND_KEY].astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Normalisation(float(told["beta"]), int(told["neighbours"]), rows, name)
