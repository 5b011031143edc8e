"""
Rows of recorded uploads, to be searched: the newest come at one end, the oldest go at the other.

They are kept in chunks, in the order of their sightings and in half precision. A chunk that is full never changes
again, and lies in a file where there is a folder for it, so that the memory it takes can be given back. What is too old
is left out by a floor on the sighting's number; a chunk that is wholly below it goes at once.

Everything over a score is found by comparing with all, at memory speed. So are the nearest while rows are few; when
they are many, chunks are put together and sieved by the codes of the ladder's engine, built beside.

Belongs to one thread. Everything here can be read again from the catalog.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.engines.halves import Halves, whole
from index.engines.scan import keep_best, scan
from index.engines.vectors import VectorIndex
from index.records.rows import Embeddings
from index.sightings.sieving import Sieve

_LOG = logging.getLogger(__name__)
Keys = NDArray[np.int64]
CHUNK_ROWS: Final = 65_536
_BLOCK: Final = 2_048
"""Rows multiplied at once by few queries: what is made whole of them stays in the cache."""


@dataclass(frozen=True, slots=True)
class Near:
    """The nearest sightings of some queries."""

    keys: NDArray[np.int64]
    """Shape (q, k); -1 where there were no more. A sighting is there once for each of its frames."""
    scores: NDArray[np.float32]
    """Shape (q, k)."""


@dataclass(frozen=True, slots=True)
class Over:
    """Pairs of a query and a row that is near enough, among some rows that lie together; parallel arrays."""

    queries: NDArray[np.int64]
    keys: Keys
    scores: NDArray[np.float32]
    places: NDArray[np.int64]
    """Which of these rows it is."""
    rows: Halves
    """What sightings look like there, shape (m, dim)."""


@dataclass(slots=True)
class _Chunk:
    """Rows of sightings, ascending."""

    keys: Keys
    rows: Halves
    file: Path | None = None
    """Or folder."""
    alive: NDArray[np.bool_] | None = None
    """Which rows are not too old; None is all."""
    sieve: VectorIndex | None = None
    """What finds the nearest among them; None compares with all."""

    def drop_before(self, floor: int) -> None:
        if self.keys[0] < floor:
            self.alive = self.keys >= floor

    def nearest(self, queries: Embeddings, k: int) -> tuple[Keys, NDArray[np.float32]]:
        if self.sieve is None:
            found = scan(self.rows, queries, min(k, len(self.keys)), self.alive)
        else:
            found = self.sieve.search(queries, k, self.alive)
        return np.where(found.rows < 0, -1, self.keys[found.rows]), found.scores

    def delete(self) -> None:
        if self.file is not None and self.sieve is not None:
            shutil.rmtree(self.file, ignore_errors=True)
        elif self.file is not None:
            self.file.unlink(missing_ok=True)


class RowStore:
    """
    Rows of one kind in one space.

    Args:
        dim: their length.
        folder: where full chunks lie; None keeps them in memory.
        name: of their files.
        chunk_rows: rows of a chunk.
    """

    def __init__(self, dim: int, folder: Path | None = None, name: str = "rows", chunk_rows: int = CHUNK_ROWS) -> None:
        self._dim = dim
        self._folder = folder
        self._name = name
        self._chunk_rows = chunk_rows
        self._chunks: list[_Chunk] = []
        self._tail_keys = np.empty(chunk_rows, np.int64)
        self._tail_rows = np.empty((0, dim), np.float16)
        self._filled = 0
        self._floor = 0
        self._numbers = 0
        self._sieving: tuple[Sieve, list[_Chunk]] | None = None
        self._failed_rows = 0
        """A build of so many has failed: the next one waits until there are twice as many."""

    def __len__(self) -> int:
        return sum(len(chunk.keys) for chunk in self._chunks) + self._filled

    def add(self, keys: Keys, rows: Embeddings) -> None:
        """Of sightings newer than all that are held."""
        start = 0
        while start < len(keys):
            self._make_room(len(keys) - start)
            count = min(len(keys) - start, self._chunk_rows - self._filled)
            stop = self._filled + count
            self._tail_keys[self._filled : stop] = keys[start : start + count]
            self._tail_rows[self._filled : stop] = rows[start : start + count]
            self._filled, start = stop, start + count
            if self._filled == self._chunk_rows:
                self._seal()

    def drop_before(self, floor: int) -> None:
        """Leaves out what is older; what takes memory or room for it goes, chunk by chunk."""
        self._floor = max(self._floor, floor)
        gone = 0
        while gone < len(self._chunks) and self._chunks[gone].keys[-1] < self._floor:
            self._chunks[gone].delete()
            gone += 1
        del self._chunks[:gone]
        if self._chunks:
            self._chunks[0].drop_before(self._floor)

    def near(self, queries: Embeddings, k: int) -> Near:
        """The k nearest rows of each query, best first."""
        best_keys = np.full((len(queries), 0), -1, np.int64)
        best_scores = np.full((len(queries), 0), -np.inf, np.float32)
        for chunk in self._all():
            keys, scores = chunk.nearest(queries, k)
            best_keys, best_scores = keep_best(
                np.concatenate([best_keys, keys], axis=1), np.concatenate([best_scores, scores], axis=1), k
            )
        return Near(best_keys, best_scores)

    def over(self, queries: Embeddings, least: float) -> Iterator[Over]:
        """Everything at or over a score, the oldest first; a piece at a time, for it may be more than memory holds."""
        for chunk in self._all():
            for start in range(0, len(chunk.keys), _BLOCK):
                block = chunk.rows[start : start + _BLOCK]
                scores = whole(block) @ queries.T
                rows, hit = np.nonzero(scores >= least)
                if chunk.alive is not None and len(rows):
                    there = chunk.alive[start + rows]
                    rows, hit = rows[there], hit[there]
                if len(rows):
                    near, places = np.unique(rows, return_inverse=True)
                    yield Over(hit, chunk.keys[start + rows], scores[rows, hit], places, np.array(block[near]))

    def of(self, key: int) -> Embeddings:
        """The rows of one sighting."""
        for chunk in self._all():
            if chunk.keys[0] <= key <= chunk.keys[-1]:
                first, last = np.searchsorted(chunk.keys, [key, key + 1])
                if first < last:
                    return whole(np.array(chunk.rows[first:last]))
        return np.empty((0, self._dim), np.float32)

    def tend(self, sieve_rows: int) -> bool:
        """
        Puts chunks that are many together, and has them sieved; True while that is going on, in a process of its own.

        Args:
            sieve_rows: from so many rows on that are compared one by one. What is put together doubles each time.
        """
        if self._sieving is not None:
            if not self._sieving[0].ended:
                return True
            self._adopt(*self._sieving)
            self._sieving = None
        plain = list(reversed([chunk for chunk in self._chunks if chunk.sieve is None]))
        rows = sum(len(chunk.keys) for chunk in plain)
        if self._folder is None or rows < max(sieve_rows, 2 * self._failed_rows):
            return False
        chosen = self._chunks[len(self._chunks) - len(plain) :]
        for chunk in reversed(self._chunks[: -len(plain)]):
            if len(chunk.keys) > rows:
                break
            chosen, rows = [chunk, *chosen], rows + len(chunk.keys)
        self._numbers += 1
        folder = self._folder / f"{self._name}-sieved-{self._numbers}"
        try:
            self._sieving = Sieve(folder, [chunk.rows for chunk in chosen], self._dim), chosen
        except OSError as error:  # a full disk, say
            _LOG.warning("sightings cannot be sieved (%s): they are compared one by one", type(error).__name__)
            shutil.rmtree(folder, ignore_errors=True)
            self._failed_rows = sum(len(chunk.keys) for chunk in plain)
            return False
        return True

    def settle(self) -> None:
        """Waits for what is built."""
        if self._sieving is not None:
            self._sieving[0].wait()

    def clear(self) -> None:
        """Lets go of everything."""
        if self._sieving is not None:
            self._sieving[0].stop()
            self._sieving = None
        for chunk in self._chunks:
            chunk.delete()
        self._chunks = []
        self._filled = 0
        self._tail_rows = np.empty((0, self._dim), np.float16)

    def _adopt(self, sieve: Sieve, chosen: Sequence[_Chunk]) -> None:
        """In the place of the chunks that it was made of, those of them that are still there."""
        found = sieve.opened()
        there = [place for place, chunk in enumerate(self._chunks) if any(chunk is one for one in chosen)]
        self._failed_rows = 0 if found else sum(len(chunk.keys) for chunk in chosen if chunk.sieve is None)
        if found is None or not there:
            shutil.rmtree(sieve.folder, ignore_errors=True)
            return
        index, rows = found
        one = _Chunk(np.concatenate([chunk.keys for chunk in chosen]), rows, sieve.folder, sieve=index)
        one.drop_before(self._floor)
        self._chunks[there[0] : there[-1] + 1] = [one]
        for chunk in chosen:
            chunk.delete()

    def _all(self) -> Iterator[_Chunk]:
        yield from self._chunks
        if self._filled:
            tail = _Chunk(self._tail_keys[: self._filled], self._tail_rows[: self._filled])
            tail.drop_before(self._floor)
            yield tail

    def _make_room(self, more: int) -> None:
        """The tail grows as it fills: most services have few sightings."""
        needed = min(self._filled + more, self._chunk_rows)
        if len(self._tail_rows) < needed:
            room = min(max(needed, 2 * len(self._tail_rows), 1_024), self._chunk_rows)
            larger = np.empty((room, self._dim), np.float16)
            larger[: self._filled] = self._tail_rows[: self._filled]
            self._tail_rows = larger

    def _seal(self) -> None:
        keys, rows = self._tail_keys.copy(), self._tail_rows
        file = None
        if self._folder is not None:
            file = self._folder / f"{self._name}-{self._numbers}.npy"
            np.save(file, rows, allow_pickle=False)
            rows = np.load(file, mmap_mode="r", allow_pickle=False)
        self._numbers += 1
        self._chunks.append(_Chunk(keys, rows, file))
        self._tail_rows = np.empty((0, self._dim), np.float16)
        self._filled = 0
