"""Frames to embeddings with one opened model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torchvision.transforms.functional import to_pil_image

from models.calibration import CalibrationRecord
from models.embedder import Embeddings, Prepared, Space
from models.errors import EmbeddingFailed
from models.media.types import Frame
from models.tower import Tower
from models.verification import VerificationRecord
from models.views import Views

LONGEST_ASPECT = 16
"""A longer frame is cut to its middle before preprocessing, which could otherwise make it fill the memory."""
SMALLEST_NORM = 1e-6


class TowerEmbedder:
    """
    An `Embedder` around a picture tower. `embed` is for one thread at a time, everything else for any.

    Args:
        space: what it embeds into.
        tower: the network.
        transform: the model's own preprocessing, from a Pillow image to shape (3, height, width).
        views: what of a frame is embedded.
    """

    def __init__(self, space: Space, tower: Tower, transform: Callable[[object], torch.Tensor], views: Views) -> None:
        self._space = space
        self._tower = tower
        self._transform = transform
        self._views = views

    @property
    def space(self) -> Space:
        return self._space

    @property
    def device(self) -> str:
        return self._tower.device

    @property
    def degraded(self) -> bool:
        return self._tower.degraded

    def measured(
        self, calibration: CalibrationRecord | None, verification: VerificationRecord | None = None
    ) -> "TowerEmbedder":
        """The same model in a space that knows what its scores mean."""
        space = replace(self._space, calibration=calibration, verification=verification)
        return TowerEmbedder(space, self._tower, self._transform, self._views)

    def reference_views(self, frame: Frame) -> list[Frame]:
        return self._views.reference_views(frame)

    def query_views(self, frame: Frame) -> list[Frame]:
        return self._views.query_views(frame)

    def prepare(self, view: Frame) -> Prepared:
        """
        Raises:
            EmbeddingFailed: the model's own preprocessing cannot take this view.
        """
        try:
            return self._transform(to_pil_image(_middle(view)))
        except (ValueError, ZeroDivisionError, RuntimeError) as error:
            raise EmbeddingFailed("The picture cannot be prepared for the model.") from error

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """
        One row for each prepared view, in order.

        Raises:
            EmbeddingFailed: the model failed, or answered what is no embedding.
        """
        return embedded(self._tower, cast("Sequence[torch.Tensor]", batch))

    def close(self) -> None:
        """Nothing is held beyond memory."""


def embedded(tower: Tower, batch: Sequence[torch.Tensor]) -> Embeddings:
    """
    Rows of norm 1.

    Raises:
        EmbeddingFailed: the model failed, or answered what is no embedding.
    """
    try:
        rows = tower.rows(torch.stack(list(batch))).numpy()
    except RuntimeError as error:
        raise EmbeddingFailed("The model failed on this picture.") from error
    if rows.shape[:-1] != (len(batch),) or not np.isfinite(rows).all():
        raise EmbeddingFailed("The model answered what is no embedding.")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if (norms < SMALLEST_NORM).any():
        raise EmbeddingFailed("The model answered what is no embedding.")
    return np.asarray(rows / norms, dtype=np.float32)


def _middle(view: Frame) -> Frame:
    """The view, cut to its middle where it is a sliver; models that crop would look at no more of it anyway."""
    height, width = view.shape[:2]
    longest = LONGEST_ASPECT * min(height, width)
    if max(height, width) <= longest:
        return view
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return np.ascontiguousarray(view[top : top + longest, left : left + longest])
