"""The PDQ hashes of recorded uploads, to be searched: the newest come at one end, the oldest go at the other."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.engines.perceptual import PdqIndex
from index.records.rows import PDQ_BYTES, PdqRows
from index.records.sightings import SightedHashes

Keys = NDArray[np.int64]

LEAST_QUALITY: Final = 50
_AT_ONCE: Final = 8
"""Hashes compared with all: two bytes for each pair."""


class HashStore:
    """The PDQ hashes of sightings, ascending."""

    def __init__(self) -> None:
        self._keys = np.empty(1_024, np.int64)
        self._hashes = np.empty((1_024, PDQ_BYTES), np.uint8)
        self._qualities = np.empty(1_024, np.int16)
        self._first = self._filled = 0

    def __len__(self) -> int:
        return self._filled - self._first

    def add(self, more: SightedHashes) -> None:
        stop = self._filled + len(more.keys)
        if stop > len(self._keys):
            self._move(max(stop - self._first, 2 * len(self)))
            stop = self._filled + len(more.keys)
        self._keys[self._filled : stop] = more.keys
        self._hashes[self._filled : stop] = more.hashes
        self._qualities[self._filled : stop] = more.qualities
        self._filled = stop

    def drop_before(self, floor: int) -> None:
        self._first += int(np.searchsorted(self._keys[self._first : self._filled], floor))

    def within(self, hashes: PdqRows, distance: int) -> tuple[NDArray[np.int64], Keys, NDArray[np.int64]]:
        """Every pair at or under a distance: which hash, which sighting, how far; good ones alone (see `trusted`)."""
        held = slice(self._first, self._filled)
        if not len(self) or not len(hashes):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
        good = np.flatnonzero(trusted(self._qualities[held]))
        index, keys = PdqIndex(self._hashes[held], self._qualities[held]), self._keys[held][good]
        found: list[tuple[NDArray[np.int64], Keys, NDArray[np.int64]]] = []
        for start in range(0, len(hashes), _AT_ONCE):
            far = index.distances(hashes[start : start + _AT_ONCE], good)
            queries, rows = np.nonzero(far <= distance)
            found.append((queries + start, keys[rows], far[queries, rows].astype(np.int64)))
        lines, near, distances = (np.concatenate(column) for column in zip(*found, strict=True))
        return lines, near, distances

    def near(self, hashes: PdqRows, k: int, distance: int) -> tuple[NDArray[np.int64], Keys]:
        """The k nearest of each hash at or under a distance, as pairs: which hash, which sighting."""
        held = slice(self._first, self._filled)
        if not len(self) or not len(hashes):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        found = PdqIndex(self._hashes[held], self._qualities[held]).search(hashes, k)
        queries, places = np.nonzero((found.rows >= 0) & (found.distances <= distance))
        rows = found.rows[queries, places]
        good = trusted(self._qualities[held][rows])
        return queries[good], self._keys[held][rows[good]]

    def of(self, key: int) -> PdqRows:
        """The hashes of one sighting."""
        first, last = np.searchsorted(self._keys[self._first : self._filled], [key, key + 1]) + self._first
        return self._hashes[first:last]

    def clear(self) -> None:
        self._first = self._filled = 0

    def _move(self, room: int) -> None:
        """To larger arrays, without what was dropped."""
        held = slice(self._first, self._filled)
        for name in ("_keys", "_hashes", "_qualities"):
            old: NDArray[np.generic] = getattr(self, name)
            larger = np.empty((max(room, 1_024), *old.shape[1:]), old.dtype)
            larger[: len(self)] = old[held]
            setattr(self, name, larger)
        self._first, self._filled = 0, self._filled - self._first


def trusted(qualities: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which hashes are good enough to mean something; -1 is where nobody said."""
    return (qualities < 0) | (qualities >= LEAST_QUALITY)
