"""The seam behind which engines for nearest-neighbour search can be exchanged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.records.rows import Embeddings, RowMask, Rows


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The rows nearest each query, best first."""

    rows: NDArray[np.int64]
    """Shape (q, k); -1 where there were no more."""
    scores: NDArray[np.float32]
    """Shape (q, k); cosines, -inf beside a row of -1."""


class VectorIndex(Protocol):
    """
    Nearest neighbours among the unit-norm embeddings of one space.

    An index is built once from rows 0..n-1 and never changes: what comes later is searched beside it, what goes is
    left out by `allowed`, and in time another one is built. So it is safe from any thread.
    """

    def __len__(self) -> int:
        """How many rows it was built from."""

    def search(self, queries: Embeddings, k: int, allowed: RowMask | None = None) -> Neighbours:
        """
        The k rows nearest each query.

        Args:
            queries: shape (q, dim), float32, each row of norm 1.
            k: at least 1.
            allowed: shape (n,); only rows that are True here are found. None allows all.

        Returns:
            rows and scores of shape (q, k). A score is a cosine in [-1, 1], up to rounding: higher is nearer, and
            of equal scores the lower row comes first. Which of equal rows get the last places is open.
        """

    def vectors(self, rows: Rows) -> Embeddings:
        """These rows, as near to what the index was built from as it keeps them."""


BuildIndex = Callable[[Embeddings], VectorIndex]
"""How an engine is told which rows it holds: shape (n, dim), float32, each row of norm 1, n may be 0."""
