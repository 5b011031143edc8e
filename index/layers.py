"""
A view in layers: a large part that is built once, a small live part for what came since, and tombstones.

Whoever searches takes the pair of layers that is published and keeps it: nothing in it ever changes. New rows are
written behind the end of what is published, removals publish another mask.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.changes import Origins, joined, no_origins
from index.records import RowMask, Rows

Payload = tuple[NDArray[Any], ...]
"""Parallel arrays, one row each for every origin: what the index of a layer is built from."""


_MANY_ITEMS = 1000


class Sized(Protocol):
    def __len__(self) -> int: ...


Index_co = TypeVar("Index_co", bound=Sized, covariant=True)
Index = TypeVar("Index", bound=Sized)


@dataclass(frozen=True, slots=True)
class Layer(Generic[Index_co]):
    """
    Rows to search, where each comes from, and which of them are still there.

    All rows of an item are in one layer.
    """

    index: Index_co
    origins: Origins
    alive: RowMask
    whole: bool
    """Nothing is dead."""
    by_age: bool
    """Rows are in the order of their item keys."""

    @property
    def living(self) -> int:
        """How many rows are still there."""
        return len(self.alive) if self.whole else int(np.count_nonzero(self.alive))

    def allowed(self, banks: Collection[int] | None) -> RowMask | None:
        """Which rows may be found, in these banks or any; None when all may."""
        if banks is None:
            return None if self.whole else self.alive
        return self.alive & np.isin(self.origins.banks, np.fromiter(banks, np.int64, len(banks)))

    def rows_of(self, items: NDArray[np.int64]) -> Rows:
        """The rows of these items that are alive; `items` in ascending order."""
        if self.by_age and len(items) < _MANY_ITEMS:
            first = np.searchsorted(self.origins.items, items, "left")
            last = np.searchsorted(self.origins.items, items, "right")
            spans = [np.arange(start, stop) for start, stop in zip(first, last, strict=True) if start < stop]
            rows = np.concatenate([np.empty(0, np.int64), *spans])
        else:
            rows = np.flatnonzero(np.isin(self.origins.items, items))
        still_there: Rows = rows[self.alive[rows]]
        return still_there

    def without(self, items: NDArray[np.int64], banks: Collection[int]) -> "Layer[Index_co]":
        """The same with more tombstones."""
        gone = self.rows_of(items)
        if banks:
            of_banks = np.flatnonzero(np.isin(self.origins.banks, np.fromiter(banks, np.int64, len(banks))))
            gone = np.concatenate([gone, of_banks])
        if len(gone) == 0:
            return self
        alive = self.alive.copy()
        alive[gone] = False
        return Layer(self.index, self.origins, alive, whole=False, by_age=self.by_age)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Index]):
    """What a view holds: the shapes of its rows, and how they are searched."""

    nothing: Payload
    """Arrays of no rows."""
    build_large: Callable[..., Index]
    """From a payload's arrays; may take long."""
    build_live: Callable[..., Index]
    """From slices of a payload's arrays that will not change; must be instant."""
    payload_of: Callable[[Index, Rows], Payload]
    """These rows of an index, as they were given to it."""


@dataclass(frozen=True, slots=True)
class Fold(Generic[Index]):
    """A new large part, and which rows of the two old layers it was made from."""

    large: Layer[Index]
    replaces: Index
    """Of the large part it was made from."""
    kept: Rows
    """For each of its rows, the place among the old large rows followed by the old live ones."""
    live_rows: int
    """How many live rows there were."""


class Layers(Generic[Index]):
    """
    The two layers of one view and their growth.

    One thread at a time may change it; `published` may be read, and `prepare_fold` called, by any.

    Args:
        kind: what it holds.
        fold_rows: how many live rows are too many, unless the large part is ten times as large.
    """

    def __init__(self, kind: Kind[Index], fold_rows: int) -> None:
        self._kind = kind
        self._fold_rows = fold_rows
        empty = no_origins()
        self._tail = _Tail(empty, kind.nothing)
        self.published: tuple[Layer[Index], Layer[Index]] = (
            _layer(kind.build_large(*kind.nothing), empty),
            _layer(kind.build_live(*kind.nothing), empty),
        )

    def forget(self, items: NDArray[np.int64], banks: Collection[int]) -> None:
        large, live = self.published
        self.published = large.without(items, banks), live.without(items, banks)

    def add(self, origins: Origins, payload: Payload) -> None:
        """More rows, in the order of their item keys; of an item that has no rows alive here."""
        if len(origins) == 0:
            return
        large, live = self.published
        if len(large.index) + len(live.index) == 0 and len(origins) >= self._fold_rows:
            self.published = _layer(self._kind.build_large(*payload), origins), live
            return
        self._tail.extend(origins, payload)
        alive = np.append(live.alive, np.ones(len(origins), np.bool_))
        self.published = large, self._live(alive)

    def fold_is_due(self) -> bool:
        large, live = self.published
        dead = len(large.alive) - large.living
        too_many_live = len(live.alive) >= max(self._fold_rows, len(large.alive) // 10)
        return too_many_live or dead >= max(self._fold_rows, len(large.alive) // 5)

    def prepare_fold(self) -> Fold[Index]:
        """A large part of all that is published at this moment. May take long, while everything else goes on."""
        large, live = self.published
        from_large, from_live = np.flatnonzero(large.alive), np.flatnonzero(live.alive)
        origins = joined([large.origins.take(from_large), live.origins.take(from_live)])
        kept = np.concatenate([from_large, from_live + len(large.alive)])
        parts = self._kind.payload_of(large.index, from_large), self._kind.payload_of(live.index, from_live)
        payload = tuple(np.concatenate(pair) for pair in zip(*parts, strict=True))
        if not _ascends(origins.items):
            order = np.argsort(origins.items, kind="stable")
            origins, kept, payload = origins.take(order), kept[order], tuple(array[order] for array in payload)
        return Fold(_layer(self._kind.build_large(*payload), origins), large.index, kept, len(live.alive))

    def adopt(self, fold: Fold[Index]) -> None:
        """Swaps the new large part in; what was removed or added since it was prepared still is."""
        large, live = self.published
        if large.index is not fold.replaces:
            return  # the first load came meanwhile, and went into a large part of its own
        alive = np.concatenate([large.alive, live.alive[: fold.live_rows]])[fold.kept]
        since = np.arange(fold.live_rows, len(live.alive))
        self._tail = _Tail(live.origins.take(since), self._kind.payload_of(live.index, since))
        built = fold.large
        self.published = (
            Layer(built.index, built.origins, alive, whole=bool(alive.all()), by_age=built.by_age),
            self._live(live.alive[since]),
        )

    def _live(self, alive: RowMask) -> Layer[Index]:
        origins, payload = self._tail.filled()
        whole, by_age = bool(alive.all()), _ascends(origins.items)
        return Layer(self._kind.build_live(*payload), origins, alive, whole=whole, by_age=by_age)


class _Tail:
    """The arrays of a live part, which grow in place behind what has been handed out."""

    def __init__(self, origins: Origins, payload: Payload) -> None:
        self._columns = [_Column(array) for array in (*_arrays(origins), *payload)]

    def extend(self, origins: Origins, payload: Payload) -> None:
        for column, more in zip(self._columns, (*_arrays(origins), *payload), strict=True):
            column.extend(more)

    def filled(self) -> tuple[Origins, Payload]:
        items, tags, banks, positions, *payload = (column.filled() for column in self._columns)
        return Origins(items, tags, banks, positions), tuple(payload)


class _Column:
    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self._length = len(array)

    def extend(self, more: NDArray[Any]) -> None:
        length = self._length + len(more)
        if length > len(self._array):
            room = max(length, 2 * len(self._array), 1024)
            larger = np.empty((room, *self._array.shape[1:]), self._array.dtype)
            larger[: self._length] = self._array[: self._length]
            self._array = larger
        self._array[self._length : length] = more
        self._length = length

    def filled(self) -> NDArray[Any]:
        return self._array[: self._length]


def _layer(index: Index, origins: Origins) -> Layer[Index]:
    alive = np.ones(len(origins), np.bool_)
    return Layer(index, origins, alive, whole=True, by_age=_ascends(origins.items))


def _ascends(numbers: NDArray[np.int64]) -> bool:
    return bool(np.all(numbers[1:] >= numbers[:-1]))


def _arrays(origins: Origins) -> Payload:
    return origins.items, origins.tags, origins.banks, origins.positions
