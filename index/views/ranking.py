"""From rows near a query to the items nearest an upload."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.records.changes import Origins
from index.records.rows import Rows

_DEEPER = 4


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows found for each query, best first."""

    rows: NDArray[np.int64]
    """Shape (q, n); -1 where there were no more."""
    merits: NDArray[np.float32]
    """Shape (q, n); more is better, comparable between queries."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """For each of some items, its best pair of a query and a row; best item first, of equals the oldest."""

    items: NDArray[np.int64]
    queries: NDArray[np.int64]
    rows: Rows
    merits: NDArray[np.float32]


def best_items(find: Callable[[int], Candidates], origins: Origins, k: int) -> Pairs:
    """
    The k items with the best pair over all queries together.

    An engine finds rows, and one item may own many of them: so it is asked for more until no row that it has not
    shown could bring another item in. Exact if the engine is; items as good as the last one may be left out for it.

    Args:
        find: the n best rows for each query.
        origins: of the rows.
        k: at least 1.
    """
    depth = k
    while True:
        candidates = find(min(depth, len(origins)))
        pairs = best_pairs(candidates, origins)
        cut_short = candidates.rows[:, -1:] >= 0
        unseen = np.max(candidates.merits[:, -1:], initial=-np.inf, where=cut_short)
        found_enough = len(pairs.items) >= k and pairs.merits[k - 1] >= unseen
        if found_enough or not cut_short.any() or depth >= len(origins):
            return Pairs(pairs.items[:k], pairs.queries[:k], pairs.rows[:k], pairs.merits[:k])
        depth *= _DEEPER


def best_pairs(candidates: Candidates, origins: Origins) -> Pairs:
    """The best pair of every item among the candidates."""
    queries, columns = np.nonzero(candidates.rows >= 0)
    rows, merits = candidates.rows[queries, columns], candidates.merits[queries, columns]
    items = origins.items[rows]
    order = np.lexsort((queries, rows, items, -merits))
    _, first = np.unique(items[order], return_index=True)
    chosen = order[np.sort(first)]
    return Pairs(items[chosen], queries[chosen], rows[chosen], merits[chosen])
