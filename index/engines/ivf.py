"""Search in the cells nearest a query."""

from typing import Any, Final

import faiss
import numpy as np

from index.engines.halves import Halves, whole
from index.engines.scan import scan, scan_chosen
from index.engines.tuning import NEIGHBOURS, Setting
from index.engines.vectors import Neighbours
from index.records.rows import Embeddings, RowMask, Rows

FEW_ROWS: Final = 4096
"""So many are compared one and all sooner than they are looked for."""
_MODEST_K = 1024


class IvfIndex:
    """
    A VectorIndex that looks at the rows of the cells nearest a query, from files that processes share.

    What the cells hold may be the rows in half precision, or short codes of them: then the best by their codes are
    measured again by the rows themselves. Rows that may not be found are passed over while looking, and the fewer
    may be found the more cells are looked at; so a small bank within a large one is answered as well as any.

    Args:
        index: of FAISS, a turn and then inverted lists, over the same rows; never changed.
        rows: shape (n, dim), float16.
        setting: how far to look.
    """

    def __init__(self, index: faiss.IndexPreTransform, rows: Halves, setting: Setting) -> None:
        self._index = index  # owns what follows
        self._cells: Any = faiss.downcast_index(index.index)
        turn = faiss.downcast_VectorTransform(index.chain.at(0))
        self._turn: Embeddings = faiss.vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
        self._rows = np.asarray(rows)
        self._setting = setting

    def __len__(self) -> int:
        return len(self._rows)

    def search(self, queries: Embeddings, k: int, allowed: RowMask | None = None) -> Neighbours:
        findable = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if allowed is not None and findable <= FEW_ROWS:
            return scan_chosen(self._rows, np.flatnonzero(allowed), queries, k)
        if k > _MODEST_K or len(queries) == 0:
            return scan(self._rows, queries, k, allowed)
        found = self._look(queries, k, allowed, findable)
        short = np.flatnonzero(found.rows[:, min(k, findable) - 1] < 0)
        if len(short):
            exact = scan(self._rows, queries[short], k, allowed)
            found.rows[short], found.scores[short] = exact.rows, exact.scores
        return found

    def vectors(self, rows: Rows) -> Embeddings:
        return whole(self._rows[rows])

    def _look(self, queries: Embeddings, k: int, allowed: RowMask | None, findable: int) -> Neighbours:
        cells = min(self._cells.nlist, -(-self._setting.cells * len(self) // findable))
        parameters = faiss.SearchParametersIVF(nprobe=cells)
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
            parameters.sel = selector
        candidates = self._setting.candidates * -(-k // NEIGHBOURS) if self._setting.candidates else k
        rows = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        turned = queries @ self._turn.T
        for line, query in enumerate(turned):  # FAISS would start a thread for each query of a call
            by_code, near = self._cells.search(query[None], candidates, params=parameters)
            if self._setting.candidates:
                found = scan_chosen(self._rows, np.sort(near[0][near[0] >= 0]), queries[line : line + 1], k)
                rows[line], scores[line] = found.rows[0], found.scores[0]
            else:
                best = np.where(near[0] < 0, np.float32(-np.inf), by_code[0])
                order = np.lexsort((near[0], -best))
                rows[line], scores[line] = near[0][order], best[order]
        return Neighbours(rows, scores)
