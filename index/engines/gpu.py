"""Exact search on a GPU, which has the memory's speed for it. The only file here that knows torch."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final

import numpy as np

from index.engines.halves import Halves
from index.engines.scan import keep_best
from index.engines.vectors import Neighbours, VectorIndex
from index.records.rows import Embeddings, RowMask, Rows

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)

_BLOCK: Final = 1 << 18
_QUERIES: Final = 256
_SPARE: Final = 16
"""More than asked for, as products in half precision may put neighbours in a wrong order."""
_MODEST_K: Final = 1024
"""The rows of more would not fit beside the others."""
_ROOM: Final = 2
"""The rows may take one part of so many of the free memory: the model and its batches need the rest."""


class GpuIndex:
    """
    A VectorIndex that compares with every row, on the device the rows were copied to.

    If the device fails, the index behind answers from then on: slower, and as it would have without one.

    Args:
        rows: shape (n, dim), float16.
        device: where to keep them.
        behind: over the same rows.
    """

    def __init__(self, rows: Halves, device: torch.device, behind: VectorIndex) -> None:
        import torch  # noqa: PLC0415 - seconds to load, and not needed without a GPU

        self._torch = torch
        self._rows = torch.from_numpy(np.array(rows)).to(device)
        self._behind = behind
        self._failed = False

    def __len__(self) -> int:
        return len(self._behind)

    def search(self, queries: Embeddings, k: int, allowed: RowMask | None = None) -> Neighbours:
        if self._failed or k > _MODEST_K or len(queries) == 0 or len(self) == 0:
            return self._behind.search(queries, k, allowed)
        try:
            parts = [
                self._search(queries[start : start + _QUERIES], k, allowed)
                for start in range(0, len(queries), _QUERIES)
            ]
        except RuntimeError:  # of CUDA: out of memory, or the device is lost
            self._failed = True
            _LOG.exception("the GPU cannot search any more, so the processor does")
            return self._behind.search(queries, k, allowed)
        return Neighbours(
            np.concatenate([part.rows for part in parts]), np.concatenate([part.scores for part in parts])
        )

    def vectors(self, rows: Rows) -> Embeddings:
        return self._behind.vectors(rows)

    def _search(self, queries: Embeddings, k: int, allowed: RowMask | None) -> Neighbours:
        pt, device = self._torch, self._rows.device
        asked = pt.from_numpy(np.ascontiguousarray(queries)).to(device)
        blocked = None if allowed is None else ~pt.from_numpy(np.ascontiguousarray(allowed)).to(device)
        halves = asked.to(pt.float16)
        best_rows: list[torch.Tensor] = []
        best_scores: list[torch.Tensor] = []
        for start in range(0, len(self), _BLOCK):
            scores = halves @ self._rows[start : start + _BLOCK].T
            if blocked is not None:
                scores.masked_fill_(blocked[start : start + _BLOCK], -pt.inf)
            top = scores.topk(min(k + _SPARE, scores.shape[1]), dim=1)
            best_rows.append(top.indices + start)
            best_scores.append(top.values)
        scores, rows = pt.cat(best_scores, dim=1), pt.cat(best_rows, dim=1)
        top = scores.topk(min(k + _SPARE, scores.shape[1]), dim=1)
        rows = rows.gather(1, top.indices).sort(dim=1).values
        exact = (self._rows[rows].to(pt.float32) @ asked[:, :, None])[:, :, 0]
        if blocked is not None:
            exact.masked_fill_(blocked[rows], -pt.inf)
        return _padded(rows.cpu().numpy(), exact.cpu().numpy(), k)


def on_gpu(rows: Halves, behind: VectorIndex) -> VectorIndex:
    """
    The same rows on the GPU where this process computes on one already and they fit; else the index behind.

    A process that has not touched CUDA (a command line, or a service that was told to use the processor) has no
    business there.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return behind
    try:
        free, _ = torch.cuda.mem_get_info()
        if rows.nbytes * _ROOM > free:
            _LOG.info("the rows do not fit the GPU", extra={"bytes": rows.nbytes, "free": free})
            return behind
        return GpuIndex(rows, torch.device("cuda"), behind)
    except RuntimeError:
        _LOG.exception("the rows could not be copied to the GPU")
        return behind


def _padded(rows: np.ndarray, scores: np.ndarray, k: int) -> Neighbours:
    """The k best; rows are ascending, so that of equals the lower one comes first."""
    best_rows, best_scores = keep_best(rows, scores, k)
    lacking = ((0, 0), (0, k - best_rows.shape[1]))
    best_rows = np.pad(best_rows, lacking, constant_values=-1)
    best_scores = np.pad(best_scores, lacking, constant_values=-np.inf)
    return Neighbours(np.where(np.isneginf(best_scores), -1, best_rows), best_scores)
