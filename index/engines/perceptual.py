"""Exact search among PDQ hashes."""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from index.records.rows import PDQ_BYTES, PdqRows, RowMask, Rows

_WORDS = 4
"""Words of 64 bit in a hash."""
_FARTHER_THAN_ANY = 257
_MODEST_K = 4096
"""More are sorted whole: counting them takes memory for as many at each distance."""
_FEW_OF = 8
"""When only so small a part may be found, it is taken out and searched alone."""
_SPARE, _DEEPER = 64, 8


@dataclass(frozen=True, slots=True)
class NearHashes:
    """The rows nearest each query hash, nearest first."""

    rows: NDArray[np.int64]
    """Shape (q, k); -1 where there were no more."""
    distances: NDArray[np.int16]
    """Shape (q, k); bits that differ, 257 beside a row of -1."""


class PdqIndex:
    """
    Nearest hashes by the number of bits that differ, over arrays that are not copied. Safe from any thread.

    Args:
        hashes: shape (n, 32), uint8, contiguous; must not change any more.
        qualities: shape (n,); kept beside them.
    """

    def __init__(self, hashes: PdqRows, qualities: NDArray[np.int16]) -> None:
        self._words = _words(hashes)
        self.qualities = qualities

    def __len__(self) -> int:
        return len(self._words)

    def search(self, hashes: PdqRows, k: int, allowed: RowMask | None = None) -> NearHashes:
        """
        The k rows nearest each hash.

        Args:
            hashes: shape (q, 32), uint8.
            k: at least 1.
            allowed: shape (n,); only rows that are True here are found. None allows all.
        """
        faiss.omp_set_num_threads(1)  # of this thread: it would start one for each query, and gets one query
        found = [self._nearest(query, k, allowed) for query in np.ascontiguousarray(hashes)]
        rows = np.full((len(hashes), k), -1, np.int64)
        nearest = np.full((len(hashes), k), _FARTHER_THAN_ANY, np.int16)
        for line, (near, distances) in enumerate(found):
            rows[line, : len(near)] = near
            nearest[line, : len(near)] = distances
        return NearHashes(rows, nearest)

    def distances(self, hashes: PdqRows, rows: Rows) -> NDArray[np.int16]:
        """From each hash to each of these rows, shape (q, len(rows))."""
        chosen = self._words[rows]
        return np.stack([_distances(chosen, words) for words in _words(hashes)])

    def hashes(self, rows: Rows) -> PdqRows:
        return self._words[rows].view(np.uint8).reshape(len(rows), 32)

    def _nearest(self, query: PdqRows, k: int, allowed: RowMask | None) -> tuple[Rows, NDArray[np.int16]]:
        """At most k allowed rows and their distances, nearest first, of equals the lower row."""
        if allowed is None:
            return _nearest_of(self._words, query, k)
        if np.count_nonzero(allowed) * _FEW_OF <= len(self):
            findable = np.flatnonzero(allowed)
            rows, distances = _nearest_of(self._words[findable], query, k)
            return findable[rows], distances
        depth = k + _SPARE
        while True:
            rows, distances = _nearest_of(self._words, query, depth)
            there = allowed[rows]
            if np.count_nonzero(there) >= k or len(rows) == len(self):
                return rows[there][:k], distances[there][:k]
            depth *= _DEEPER


def _nearest_of(words: NDArray[np.uint64], query: PdqRows, k: int) -> tuple[Rows, NDArray[np.int16]]:
    """As `PdqIndex._nearest`, among all of them."""
    k = min(k, len(words))
    if k == 0:
        return np.empty(0, np.int64), np.empty(0, np.int16)
    if k > _MODEST_K:
        far = _distances(words, _words(query[None])[0])
        order = np.argsort(far, kind="stable")[:k]
        return order, far[order]
    rows, distances = np.empty(k, np.int64), np.empty(k, np.int32)
    faiss.hammings_knn_mc(
        faiss.swig_ptr(query),
        faiss.swig_ptr(words.view(np.uint8)),
        1,
        len(words),
        k,
        PDQ_BYTES,
        faiss.swig_ptr(distances),
        faiss.swig_ptr(rows),
    )
    return rows, distances.astype(np.int16)


def _words(hashes: PdqRows) -> NDArray[np.uint64]:
    return np.ascontiguousarray(hashes).view(np.uint64).reshape(len(hashes), _WORDS)


def _distances(rows: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Shape (n,): how many bits of each row differ from the one hash; 256 does not fit the bytes of numpy's counts."""
    distances = np.zeros(len(rows), np.int16)
    for column in range(_WORDS):
        distances += np.bitwise_count(rows[:, column] ^ words[column])
    return distances
