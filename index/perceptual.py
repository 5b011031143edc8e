"""Exact search among PDQ hashes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.records import PdqRows, RowMask, Rows

_WORDS = 4
"""Words of 64 bit in a hash."""
_FARTHER_THAN_ANY = 257


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
        rows = np.full((len(hashes), k), -1, np.int64)
        nearest = np.full((len(hashes), k), _FARTHER_THAN_ANY, np.int16)
        for line, words in enumerate(_words(hashes)):
            distances = _distances(self._words, words)
            if allowed is not None:
                distances[~allowed] = _FARTHER_THAN_ANY
            if k < len(distances):
                bar = min(np.partition(distances, k - 1)[k - 1], _FARTHER_THAN_ANY - 1)
            else:
                bar = _FARTHER_THAN_ANY - 1
            near = np.flatnonzero(distances <= bar)
            near = near[np.argsort(distances[near], kind="stable")][:k]
            rows[line, : len(near)] = near
            nearest[line, : len(near)] = distances[near]
        return NearHashes(rows, nearest)

    def distances(self, hashes: PdqRows, rows: Rows) -> NDArray[np.int16]:
        """From each hash to each of these rows, shape (q, len(rows))."""
        chosen = self._words[rows]
        return np.stack([_distances(chosen, words) for words in _words(hashes)])

    def hashes(self, rows: Rows) -> PdqRows:
        return self._words[rows].view(np.uint8).reshape(len(rows), 32)


def _words(hashes: PdqRows) -> NDArray[np.uint64]:
    return np.ascontiguousarray(hashes).view(np.uint64).reshape(len(hashes), _WORDS)


def _distances(rows: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Shape (n,): how many bits of each row differ from the one hash; 256 does not fit the bytes of numpy's counts."""
    distances = np.zeros(len(rows), np.int16)
    for column in range(_WORDS):
        distances += np.bitwise_count(rows[:, column] ^ words[column])
    return distances
