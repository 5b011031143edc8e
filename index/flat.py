"""Exact search with FAISS."""

import faiss
import numpy as np
from numpy.typing import NDArray

from index.records import Embeddings, RowMask, Rows
from index.scan import scan
from index.vectors import Neighbours

_FEW_QUERIES = 2
_MODEST_K = 1024


class FlatIndex:
    """
    A VectorIndex that compares with every row: it misses nothing, and one query is as fast as memory can be read.

    A query or two go through FAISS, which reads all rows for each. It would do the same for a batch, as it
    multiplies matrices only from some hundred queries on and never with a filter; so a batch is multiplied by us,
    over the memory that FAISS holds. No search takes more than the thread it runs in, as far as FAISS goes: it
    starts one for each query of a call, and gets one.

    Args:
        embeddings: shape (n, dim), float32, each row of norm 1; copied.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self._index = faiss.IndexFlatIP(embeddings.shape[1])
        self._index.add(np.ascontiguousarray(embeddings))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Embeddings, k: int, allowed: RowMask | None = None) -> Neighbours:
        if len(queries) > _FEW_QUERIES or k > _MODEST_K:
            return scan(self._stored(), queries, k, allowed)
        if len(queries) == 0 or len(self) == 0:
            return Neighbours(np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32))
        parameters = faiss.SearchParameters()
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
            parameters.sel = selector
        found = [self._index.search(np.ascontiguousarray(query[None]), k, params=parameters) for query in queries]
        return _in_order(np.concatenate([rows for _, rows in found]), np.concatenate([scores for scores, _ in found]))

    def vectors(self, rows: Rows) -> Embeddings:
        return self._stored()[rows]

    def _stored(self) -> Embeddings:
        """What FAISS holds, not copied."""
        shape = len(self), self._index.d
        if shape[0] == 0:
            return np.empty(shape, np.float32)
        stored: Embeddings = faiss.rev_swig_ptr(self._index.get_xb(), shape[0] * shape[1]).reshape(shape)
        return stored


def _in_order(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Neighbours:
    """FAISS pads with the lowest float and leaves the order of equal scores open."""
    scores = np.where(rows < 0, np.float32(-np.inf), scores)
    order = np.lexsort((rows, -scores), axis=1)
    return Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))
