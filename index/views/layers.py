"""
A view in layers: a large part that is built once, a small live part for what came since, and tombstones.

Whoever searches takes the pair of layers that is published and keeps it: nothing in it ever changes. New rows are
written behind the end of what is published, removals publish another mask.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.records.changes import Origins, joined, no_origins
from index.records.rows import RowMask, Rows

Payload = tuple[NDArray[Any], ...]
"""Parallel arrays, one row each for every origin: what the index of a layer is built from."""


_MANY_ITEMS = 1000
_MASKS = 4
"""Of so many choices of banks it is remembered which rows are theirs: a megabyte each for a million rows."""
_MANY_LIVE = 50_000
"""Searching so many rows one by one begins to be felt, however large the large part is."""


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
    masks: dict[frozenset[int], RowMask] = field(default_factory=dict, compare=False)
    """Which rows are of the banks that were asked for lately; the same whatever dies."""

    @property
    def living(self) -> int:
        """How many rows are still there."""
        return len(self.alive) if self.whole else int(np.count_nonzero(self.alive))

    def allowed(self, banks: Collection[int] | None) -> RowMask | None:
        """Which rows may be found, in these banks or any; None when all may."""
        if banks is None:
            return None if self.whole else self.alive
        return self.alive & self._of(frozenset(banks))

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
        return replace(self, alive=alive, whole=False)

    def _of(self, banks: frozenset[int]) -> RowMask:
        mask = self.masks.get(banks)
        if mask is None:
            mask = np.isin(self.origins.banks, np.fromiter(banks, np.int64, len(banks)))
            if len(self.masks) >= _MASKS:
                self.masks.clear()
            self.masks[banks] = mask
        return mask


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
class FoldPlan(Generic[Index]):
    """Which rows of two layers a new large part is to hold, in its order: that of the item keys."""

    large: Layer[Index]
    live: Layer[Index]
    origins: Origins
    kept: Rows
    """For each of its rows, the place among the old large rows followed by the old live ones."""


@dataclass(frozen=True, slots=True)
class Fold(Generic[Index]):
    """A new large part, and what it was made from."""

    large: Layer[Index]
    plan: FoldPlan[Index]


class Layers(Generic[Index]):
    """
    The two layers of one view and their growth.

    One thread at a time may change it; `published` may be read, and `prepare_fold` called, by any.

    Args:
        kind: what it holds.
        fold_rows: how many live rows are too many, while the large part is small.
        large: to begin with; None is an empty one.
    """

    def __init__(self, kind: Kind[Index], fold_rows: int, large: Layer[Index] | None = None) -> None:
        self._kind = kind
        self._fold_rows = fold_rows
        empty = no_origins()
        self._tail = _Tail(empty, kind.nothing)
        self.published: tuple[Layer[Index], Layer[Index]] = (
            large or layer_of(kind.build_large(*kind.nothing), empty),
            layer_of(kind.build_live(*kind.nothing), empty),
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
            self.published = layer_of(self._kind.build_large(*payload), origins), live
            return
        self._tail.extend(origins, payload)
        alive = np.append(live.alive, np.ones(len(origins), np.bool_))
        self.published = large, self._live(alive)

    def fold_is_due(self) -> bool:
        large, live = self.published
        dead = len(large.alive) - large.living
        too_many_live = len(live.alive) >= max(self._fold_rows, min(len(large.alive) // 10, _MANY_LIVE))
        return too_many_live or dead >= max(self._fold_rows, len(large.alive) // 5)

    def plan_fold(self) -> FoldPlan[Index]:
        """All that is published at this moment."""
        return plan_fold(*self.published)

    def prepare_fold(self) -> Fold[Index]:
        """A large part of all that is published at this moment. May take long, while everything else goes on."""
        plan = self.plan_fold()
        from_large = plan.kept < len(plan.large.alive)
        old, new = plan.kept[from_large], plan.kept[~from_large] - len(plan.large.alive)
        parts = self._kind.payload_of(plan.large.index, old), self._kind.payload_of(plan.live.index, new)
        # Where both were put behind each other, and where they belong.
        order = np.argsort(np.concatenate([np.flatnonzero(from_large), np.flatnonzero(~from_large)]))
        payload = tuple(np.concatenate(pair)[order] for pair in zip(*parts, strict=True))
        return Fold(layer_of(self._kind.build_large(*payload), plan.origins), plan)

    def adopt(self, fold: Fold[Index]) -> bool:
        """
        Swaps the new large part in; what was removed or added since it was prepared still is.

        False when the layers have become others meanwhile: then nothing happens.
        """
        large, live = self.published
        if large.index is not fold.plan.large.index:
            return False
        live_rows = len(fold.plan.live.alive)
        alive = np.concatenate([large.alive, live.alive[:live_rows]])[fold.plan.kept]
        since = np.arange(live_rows, len(live.alive))
        self._tail = _Tail(live.origins.take(since), self._kind.payload_of(live.index, since))
        built = fold.large
        self.published = (
            replace(built, alive=alive, whole=bool(alive.all())),
            self._live(live.alive[since]),
        )
        return True

    def _live(self, alive: RowMask) -> Layer[Index]:
        origins, payload = self._tail.filled()
        whole, by_age = bool(alive.all()), _ascends(origins.items)
        return Layer(self._kind.build_live(*payload), origins, alive, whole=whole, by_age=by_age)


def plan_fold(large: Layer[Index], live: Layer[Index]) -> FoldPlan[Index]:
    from_large, from_live = np.flatnonzero(large.alive), np.flatnonzero(live.alive)
    origins = joined([large.origins.take(from_large), live.origins.take(from_live)])
    kept = np.concatenate([from_large, from_live + len(large.alive)])
    if not _ascends(origins.items):
        order = np.argsort(origins.items, kind="stable")
        origins, kept = origins.take(order), kept[order]
    return FoldPlan(large, live, origins, kept)


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


def layer_of(index: Index, origins: Origins) -> Layer[Index]:
    alive = np.ones(len(origins), np.bool_)
    return Layer(index, origins, alive, whole=True, by_age=_ascends(origins.items))


def _ascends(numbers: NDArray[np.int64]) -> bool:
    return bool(np.all(numbers[1:] >= numbers[:-1]))


def _arrays(origins: Origins) -> Payload:
    return origins.items, origins.tags, origins.banks, origins.positions
