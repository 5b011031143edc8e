"""What the catalog tells the views: the rows that are there now, and what they have to forget first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NewType

import numpy as np
from numpy.typing import NDArray

from index.records.banks import BankRule
from index.records.rows import Embeddings, PdqRows, Rows
from index.records.spaces import SpaceId, SpaceRecord

Version = NewType("Version", int)
"""A sequence number of the change log; 0 before the first change."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each row of a view comes from; parallel arrays of one length."""

    items: NDArray[np.int64]
    """Item keys."""
    tags: NDArray[np.uint64]
    """The random halves of the item ids."""
    banks: NDArray[np.int64]
    """Bank keys."""
    positions: NDArray[np.int64]
    """Milliseconds into the item."""

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: Rows | slice) -> "Origins":
        return Origins(self.items[rows], self.tags[rows], self.banks[rows], self.positions[rows])


def no_origins() -> Origins:
    return Origins(np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))


def joined(parts: Sequence[Origins]) -> Origins:
    parts = [no_origins(), *parts]
    return Origins(
        items=np.concatenate([part.items for part in parts]),
        tags=np.concatenate([part.tags for part in parts]),
        banks=np.concatenate([part.banks for part in parts]),
        positions=np.concatenate([part.positions for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class SemanticRows:
    origins: Origins
    embeddings: Embeddings

    @property
    def payload(self) -> tuple[NDArray[Any], ...]:
        """The parallel arrays beside the origins."""
        return (self.embeddings,)


@dataclass(frozen=True, slots=True)
class PerceptualRows:
    origins: Origins
    hashes: PdqRows
    qualities: NDArray[np.int16]
    """-1 where the hash came without."""

    @property
    def payload(self) -> tuple[NDArray[Any], ...]:
        """The parallel arrays beside the origins."""
        return self.hashes, self.qualities


@dataclass(frozen=True, slots=True)
class Changes:
    """
    The step from one version to another.

    Applying it is forgetting every row of the touched items and lost banks, then adding the rows given here:
    doing that twice is as good as once.
    """

    version: Version
    """The version after the step."""
    banks: Mapping[int, BankRule] | None
    """All banks by key; None when none has changed."""
    spaces: tuple[SpaceRecord, ...] | None
    """All spaces, the oldest first; None when none has changed."""
    lost_banks: Collection[int]
    touched_items: NDArray[np.int64]
    """In every view."""
    embedded_items: Mapping[SpaceId, NDArray[np.int64]]
    """Of one space alone: items that were there before and have embeddings in it now."""
    semantic: Mapping[SpaceId, SemanticRows]
    perceptual: PerceptualRows

    def touched_in(self, space: SpaceId) -> NDArray[np.int64]:
        """The items that the view of a space forgets, ascending."""
        more = self.embedded_items.get(space)
        return self.touched_items if more is None else np.union1d(self.touched_items, more)


@dataclass(frozen=True, slots=True)
class LogState:
    """What is known of the catalog as a whole at one version."""

    version: Version
    banks: Mapping[int, BankRule]
    spaces: tuple[SpaceRecord, ...]
