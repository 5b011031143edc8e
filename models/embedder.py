"""The seam between pictures and embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType, Protocol

import numpy as np
from numpy.typing import NDArray

from models.calibration import CalibrationRecord
from models.media.types import Frame
from models.verification import VerificationRecord

EmbedderId = NewType("EmbedderId", str)
"""Short name and digest over architecture, weights, preprocessing and normalisation: `bundled-3f2a9c1b0d4e`."""

Embeddings = NDArray[np.float32]
"""Shape (n, dim), every row of norm 1."""

Prepared = Any
"""A frame after the space's own preprocessing: what the model takes, opaque to everyone else."""


class Device(StrEnum):
    """Where a model is asked to run; `auto` takes CUDA when present, then Apple's GPU, else the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


@dataclass(frozen=True, slots=True)
class Space:
    """What makes two embeddings comparable, and what their scores mean."""

    embedder_id: EmbedderId
    model: str
    """The name it was asked for by: `bundled`, `ViT-B-32/laion2b_s34b_b79k`, `local-dir:…`."""
    dim: int
    image_px: int
    """The side of the square the model looks at."""
    calibration: CalibrationRecord | None
    verification: VerificationRecord | None = None
    """What its scores mean together with PDQ and geometry."""


class Embedder(Protocol):
    """
    A model that turns frames into embeddings of one space.

    `reference_views`, `query_views` and `prepare` are safe from any thread and are where the callers' threads do
    their share of the work; `embed` is for one thread at a time.
    """

    @property
    def space(self) -> Space: ...

    @property
    def device(self) -> str:
        """Where the model runs now: `cpu`, `cuda:0`, `mps`."""

    @property
    def degraded(self) -> bool:
        """True when it was meant to run elsewhere and had to fall back to the CPU."""

    def reference_views(self, frame: Frame) -> list[Frame]:
        """What is embedded of a frame that is banked; the first is the frame as a whole."""

    def query_views(self, frame: Frame) -> list[Frame]:
        """What is embedded of a frame that is asked about: the best-scoring view counts."""

    def prepare(self, view: Frame) -> Prepared: ...

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """
        One row for each prepared view, in order.

        Raises:
            EmbeddingFailed: the model failed or returned something that is no embedding.
        """

    def close(self) -> None: ...
