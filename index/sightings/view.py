"""
What recorded uploads look like in every space, and their hashes: what looking back and linking search.

Belongs to one thread. Everything here can be read again from the catalog.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from index.records.rows import Embeddings
from index.records.sightings import SightedRows
from index.records.spaces import SpaceId
from index.sightings.hash_store import HashStore
from index.sightings.row_store import CHUNK_ROWS, Over, RowStore

SIEVE_ROWS: Final = 2 * CHUNK_ROWS
"""A batch of sightings is compared with fewer in a fifth of a second."""


@dataclass(slots=True)
class SpaceStores:
    """What sightings look like in one space: whole, and in parts and turns."""

    wholes: RowStore
    parts: RowStore

    def over(self, queries: Embeddings, least: float) -> Iterator[Over]:
        """Everything at or over a score, a piece at a time."""
        yield from self.wholes.over(queries, least)
        yield from self.parts.over(queries, least)


@dataclass(slots=True)
class SightingView:
    """
    Every space's rows, and the hashes.

    Args:
        folder: where full chunks lie, of nobody else's; None keeps them in memory.
        chunk_rows: rows of a chunk.
        sieve_rows: from so many on that are compared one by one, whole pictures are sieved instead.
    """

    folder: Path | None = None
    chunk_rows: int = CHUNK_ROWS
    sieve_rows: int = SIEVE_ROWS
    spaces: dict[SpaceId, SpaceStores] = field(default_factory=dict)
    hashes: HashStore = field(default_factory=HashStore)
    _files: int = 0

    def add(self, space: SpaceId, more: SightedRows) -> None:
        """Of sightings newer than all that are held in the space."""
        if len(more.keys):
            stores = self.spaces.get(space) or self._open(space, more.embeddings.shape[1])
            stores.wholes.add(more.keys[more.whole], more.embeddings[more.whole])
            stores.parts.add(more.keys[~more.whole], more.embeddings[~more.whole])

    def drop_before(self, floor: int) -> None:
        """Leaves out what is older."""
        self._each(lambda store: store.drop_before(floor))
        self.hashes.drop_before(floor)

    def tend(self) -> None:
        """Has what is many sieved; a build goes on beside."""
        for stores in self.spaces.values():
            stores.wholes.tend(self.sieve_rows)

    def keep_spaces(self, spaces: Iterable[SpaceId]) -> None:
        """Lets go of all others."""
        for space in set(self.spaces) - set(spaces):
            stores = self.spaces.pop(space)
            stores.wholes.clear()
            stores.parts.clear()

    def clear(self) -> None:
        self._each(RowStore.clear)
        self.spaces.clear()
        self.hashes.clear()

    def _open(self, space: SpaceId, dim: int) -> SpaceStores:
        self._files += 1
        stores = SpaceStores(
            RowStore(dim, self.folder, f"wholes-{self._files}", self.chunk_rows),
            RowStore(dim, self.folder, f"parts-{self._files}", self.chunk_rows),
        )
        self.spaces[space] = stores
        return stores

    def _each(self, do: Callable[[RowStore], None]) -> None:
        for stores in self.spaces.values():
            do(stores.wholes)
            do(stores.parts)
