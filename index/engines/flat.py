"""Exact search with FAISS."""

from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from index.engines.description import Engine, IndexDescription
from index.engines.files import map_index, write_index
from index.engines.halves import Halves, whole
from index.engines.scan import scan
from index.engines.vectors import Neighbours
from index.errors import UnusableIndex
from index.records.rows import Embeddings, RowMask, Rows

FLAT_FILE: Final = "flat.faiss"

_FEW_QUERIES = 2
_MODEST_K = 1024
_FEW_QUERIES_IN_HALVES = 16
_BLOCK = 65_536


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
        return search_each(self._index, queries, k, allowed)

    def vectors(self, rows: Rows) -> Embeddings:
        return self._stored()[rows]

    def _stored(self) -> Embeddings:
        """What FAISS holds, not copied."""
        shape = len(self), self._index.d
        if shape[0] == 0:
            return np.empty(shape, np.float32)
        stored: Embeddings = faiss.rev_swig_ptr(self._index.get_xb(), shape[0] * shape[1]).reshape(shape)
        return stored


class MappedFlatIndex:
    """
    A VectorIndex that compares with every row, in half precision, from files that processes share.

    Half the bytes are half the time. A cosine is then right to a few hundred thousandths, which is what the catalog
    keeps of an embedding anyway.

    Args:
        index: of FAISS, over the same rows; never changed.
        rows: shape (n, dim), float16.
    """

    def __init__(self, index: faiss.IndexScalarQuantizer, rows: Halves) -> None:
        self._index = index
        self._rows = rows

    @staticmethod
    def build(rows: Halves, folder: Path) -> IndexDescription:
        """
        Raises:
            OSError: the file cannot be written.
        """
        count, dim = rows.shape
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, count, _BLOCK):
            index.add(whole(rows[start : start + _BLOCK]))
        write_index(index, folder / FLAT_FILE)
        return IndexDescription(Engine.FLAT, count, dim, (FLAT_FILE,), bytes_per_vector=2 * dim)

    @staticmethod
    def open(rows: Halves, folder: Path) -> "MappedFlatIndex":
        """
        Raises:
            UnusableIndex: the file is missing, damaged, or of other rows.
        """
        index = map_index(folder / FLAT_FILE)
        if (index.ntotal, index.d) != rows.shape:
            raise UnusableIndex("The exact index is not one of these rows.")
        return MappedFlatIndex(index, rows)

    def __len__(self) -> int:
        return len(self._rows)

    def search(self, queries: Embeddings, k: int, allowed: RowMask | None = None) -> Neighbours:
        if len(queries) > _FEW_QUERIES_IN_HALVES or k > _MODEST_K:
            return scan(self._rows, queries, k, allowed)
        return search_each(self._index, queries, k, allowed)

    def vectors(self, rows: Rows) -> Embeddings:
        return whole(self._rows[rows])


def search_each(index: faiss.Index, queries: Embeddings, k: int, allowed: RowMask | None) -> Neighbours:
    """Query by query, as FAISS starts a thread for each query of a call; and with quantizers a team for one."""
    if len(queries) == 0 or index.ntotal == 0:
        return Neighbours(np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32))
    parameters = faiss.SearchParameters()
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        parameters.sel = selector
    faiss.omp_set_num_threads(1)  # of this thread
    found = [index.search(np.ascontiguousarray(query[None]), k, params=parameters) for query in queries]
    return _in_order(np.concatenate([rows for _, rows in found]), np.concatenate([scores for scores, _ in found]))


def _in_order(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Neighbours:
    """FAISS pads with the lowest float and leaves the order of equal scores open."""
    scores = np.where(rows < 0, np.float32(-np.inf), scores)
    order = np.lexsort((rows, -scores), axis=1)
    return Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))
