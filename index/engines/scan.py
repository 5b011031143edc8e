"""Exact search by multiplying matrices."""

import numpy as np
from numpy.typing import NDArray

from index.engines.halves import Halves, whole
from index.engines.vectors import Neighbours
from index.records.rows import Embeddings, RowMask, Rows

_FIRST_BLOCK = 1024
_BLOCK = 8192
"""Rows multiplied at once: large enough for BLAS, small enough for the scores to stay in the cache."""


class ScanIndex:
    """
    A VectorIndex over an array that it does not copy: what a view's live part is searched with.

    Args:
        embeddings: shape (n, dim), float32; must not change any more.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self._embeddings)

    def search(self, queries: Embeddings, k: int, allowed: RowMask | None = None) -> Neighbours:
        return scan(self._embeddings, queries, k, allowed)

    def vectors(self, rows: Rows) -> Embeddings:
        return self._embeddings[rows]


def scan(embeddings: Embeddings | Halves, queries: Embeddings, k: int, allowed: RowMask | None) -> Neighbours:
    """
    The k rows nearest each query, block by block.

    The worst of the k best so far is a bar that few rows of the next block reach, so nearly all the work is the
    multiplication. The first block is small to raise the bar early.
    """
    best_rows = np.full((len(queries), k), -1, np.int64)
    best_scores = np.full((len(queries), k), -np.inf, np.float32)
    start, stop = 0, _FIRST_BLOCK
    while start < len(embeddings):
        block = queries @ _whole(embeddings[start:stop]).T
        if allowed is not None:
            block += np.where(allowed[start:stop], np.float32(0), np.float32(-np.inf))
        columns = np.flatnonzero((block > best_scores[:, -1:]).any(axis=0))
        if len(columns):
            found = np.broadcast_to(columns + start, (len(queries), len(columns)))
            scores = np.concatenate([best_scores, block[:, columns]], axis=1)
            best_rows, best_scores = keep_best(np.concatenate([best_rows, found], axis=1), scores, k)
        start, stop = stop, stop + _BLOCK
    best_rows[np.isneginf(best_scores)] = -1
    return Neighbours(best_rows, best_scores)


def _whole(rows: Embeddings | Halves) -> Embeddings:
    return whole(rows.view(np.float16)) if rows.dtype == np.float16 else rows.view(np.float32)


def scan_chosen(rows: Halves, chosen: Rows, queries: Embeddings, k: int) -> Neighbours:
    """
    The k nearest each query among some of the rows.

    Args:
        rows: shape (n, dim).
        chosen: ascending.
        queries: shape (q, dim).
        k: at least 1.
    """
    scores = queries @ whole(rows[chosen]).T
    best_rows, best_scores = keep_best(np.broadcast_to(chosen, scores.shape), scores, k)
    lacking = k - best_rows.shape[1]
    if lacking > 0:
        best_rows = np.pad(best_rows, ((0, 0), (0, lacking)), constant_values=-1)
        best_scores = np.pad(best_scores, ((0, 0), (0, lacking)), constant_values=-np.inf)
    return Neighbours(best_rows, best_scores)


def keep_best(
    rows: NDArray[np.int64], merits: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k of most merit in each line, best first; equal ones in the order they came in, but for the last places."""
    if merits.shape[1] > 4 * k:
        top = np.sort(np.argpartition(merits, -k, axis=1)[:, -k:], axis=1)
        rows, merits = np.take_along_axis(rows, top, 1), np.take_along_axis(merits, top, 1)
    order = np.argsort(-merits, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(merits, order, 1)
