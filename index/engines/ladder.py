"""
The ladder: which engine holds the large part of a view, by how many rows it has.

An engine is built into a folder and opened from it, so that many processes share one copy of it in memory. Whatever
the engine, the folder holds the rows themselves, in half precision: they are what a small selection is searched in
exactly, what candidates are measured again with, and what the next folder is built from.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from index.engines.cells import Report, build_cells, open_cells
from index.engines.description import Engine, IndexDescription
from index.engines.flat import MappedFlatIndex
from index.engines.gpu import on_gpu
from index.engines.halves import Halves
from index.engines.tuning import RecallTarget
from index.engines.vectors import VectorIndex
from index.errors import UnusableIndex
from index.records.rows import Embeddings

ROWS_FILE: Final = "embeddings.npy"
"""Shape (n, dim), float16, little-endian."""

FEW_ROWS: Final = 50_000
"""Up to here comparing with every row is fast enough."""
_HELD_ROWS: Final = 35_000
"""Down to here a view that has outgrown it is not brought back to it."""
_BETTER: Final = {Engine.PQ: (Engine.PQ, Engine.IVF), Engine.IVF: (Engine.IVF,), Engine.FLAT: ()}
"""What is tried before the exact engine."""


def choose(rows: int, current: Engine | None = None, forced: Engine | None = None) -> Engine:
    """
    The engine for so many rows.

    Growing and shrinking have thresholds of their own, so that a view whose size hovers is not rebuilt as another
    engine each time.

    Args:
        rows: how many the next large part will hold.
        current: what holds them now.
        forced: what the operator wants, whatever the size.
    """
    if forced is not None:
        return forced
    few = _HELD_ROWS if current not in (None, Engine.FLAT) else FEW_ROWS
    return Engine.FLAT if rows < few else Engine.PQ


def write_rows(folder: Path, blocks: Iterable[Embeddings], rows: int, dim: int) -> None:
    """
    Writes the rows that an engine is then built from.

    Not through a memory map: a full disk must be an error and not the death of the process.

    Raises:
        OSError: they cannot be written.
        ValueError: the blocks hold another number of rows.
    """
    written = 0
    header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
    with (folder / ROWS_FILE).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            written += len(block)
            file.write(np.ascontiguousarray(block, "<f2").data if len(block) else b"")
    if written != rows:
        raise ValueError(f"{written} rows were given where {rows} were announced.")


def read_rows(folder: Path) -> Halves:
    """
    The rows, mapped.

    Raises:
        UnusableIndex: there are none.
    """
    try:
        rows: Halves = np.load(folder / ROWS_FILE, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnusableIndex("The rows of an index cannot be read.") from error
    if rows.dtype != np.dtype("<f2") or rows.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise UnusableIndex("The rows of an index are not in half precision.")
    return rows


def build(
    engine: Engine, folder: Path, target: RecallTarget | None = None, report: Report | None = None
) -> IndexDescription:
    """
    Builds an engine over the rows that `write_rows` has put into the folder, and writes its files beside them.

    An engine that does not reach the recall that is asked of it is not left there: the next better one is, at last
    the exact one. The description says which it became.

    Raises:
        OSError: the files cannot be written.
        UnusableIndex: the rows cannot be read.
    """
    rows = read_rows(folder)
    for better in _BETTER[engine]:
        description = build_cells(better, rows, folder, target or RecallTarget(), report or _tell_nobody)
        if description is not None:
            return description
    return MappedFlatIndex.build(rows, folder)


def open_index(folder: Path, description: IndexDescription, dim: int) -> VectorIndex:
    """
    What `build` left there; mapped, never changed, safe from any thread. On the GPU, where this process uses one.

    Raises:
        UnusableIndex: files are missing, damaged, or of another shape than described.
    """
    rows = read_rows(folder)
    if rows.shape != (description.rows, dim):
        raise UnusableIndex(f"The index holds {rows.shape}, where {(description.rows, dim)} was described.")
    if description.engine is Engine.FLAT:
        opened: VectorIndex = MappedFlatIndex.open(rows, folder)
    else:
        opened = open_cells(description, rows, folder)
    return opened if len(rows) < FEW_ROWS else on_gpu(rows, opened)


def _tell_nobody(_: str) -> None:
    pass
