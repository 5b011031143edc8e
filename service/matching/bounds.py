"""Where the bands of a space begin, for rows that were asked with and for rows that might be."""

import numpy as np
from numpy.typing import NDArray

from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from service.matching.queries import DefaultThresholds
from service.spaces.space_set import LiveSpaces


class SpaceBounds:
    """
    Safe from any thread.

    Args:
        spaces: what is open, with its calibrations.
        defaults: for spaces that nobody has calibrated, or that are not open here.
    """

    def __init__(self, spaces: LiveSpaces, defaults: DefaultThresholds) -> None:
        self._spaces = spaces
        self._defaults = defaults

    def __call__(self, space: SpaceId, rows: Embeddings) -> NDArray[np.float32]:
        """The variant and the related threshold of each row, shape (q, 2); banks may have others."""
        for served in self._spaces.opened:
            if served.id == space and served.space.calibration is not None:
                return served.space.calibration.thresholds_for(rows)
        plain = np.array([[self._defaults.variant, self._defaults.related]], np.float32)
        return np.repeat(plain, len(rows), axis=0)
