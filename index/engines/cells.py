"""Sorting rows into cells, and the two forms in which the cells hold them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from index.engines.description import Engine, IndexDescription
from index.engines.files import map_index, write_index
from index.engines.halves import Halves, whole
from index.engines.ivf import IvfIndex
from index.engines.tuning import HeldOut, RecallTarget, Setting, hold_out, steps, tune
from index.errors import UnusableIndex
from index.records.rows import Embeddings

FEWEST_ROWS: Final = 512
"""Fewer are not worth sorting."""
CANDIDATES: Final = (64, 128, 192, 256, 512)
"""Rows measured again, of those whose codes are nearest."""
FILES: Final = {Engine.IVF: "ivf.faiss", Engine.PQ: "pq.faiss"}

_LEAST_CELLS, _MOST_CELLS = 8, 1 << 14
_ROWS_A_CELL = 64
"""To find the centre of each from."""
_ROUNDS = 10
_SAMPLE = 65_536
"""Rows to learn the main directions and the codes from."""
_CODE_BITS = 4
"""Codes of 16 values are looked up in a register of the processor, 64 at once."""
_CODE_DIMENSIONS = 2
_BLOCK = 65_536

Report = Callable[[str], None]
"""Told in a sentence what a long build is at."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How the cells hold the rows."""

    engine: Engine
    dim: int
    """Of what is held: the rows as they are, or as many of their main directions."""
    candidates: tuple[int, ...]


def build_cells(
    engine: Engine, rows: Halves, folder: Path, target: RecallTarget, report: Report
) -> IndexDescription | None:
    """
    Builds, tunes and writes an engine; None when it cannot find what it must.

    Raises:
        OSError: the file cannot be written.
    """
    count, dim = rows.shape
    if count < FEWEST_ROWS:
        return None
    held_out = hold_out(rows, target)
    for form in _forms(engine, dim):
        report(f"sorting {count:,} rows into cells")
        index = _sorted_into_cells(rows, form, target.seed, report)
        report("finding out how far it must look")
        description = _tuned(index, rows, form, held_out, target)
        if description is not None:
            (name,) = description.files
            write_index(index, folder / name)
            return description
        report(f"{form.engine.value} with {form.dim} dimensions does not find enough")
    return None


def open_cells(description: IndexDescription, rows: Halves, folder: Path) -> IvfIndex:
    """
    Raises:
        UnusableIndex: the file is missing, damaged, or of other rows.
    """
    index = map_index(folder / FILES[description.engine])
    if not isinstance(index, faiss.IndexPreTransform) or (index.ntotal, index.d) != rows.shape:
        raise UnusableIndex("The cells are not those of these rows.")
    try:
        setting = Setting(description.parameters["cells"], description.parameters["candidates"])
    except KeyError as error:
        raise UnusableIndex("The description of an index lacks a parameter.") from error
    return IvfIndex(index, rows, setting)


def _forms(engine: Engine, dim: int) -> Iterator[_Form]:
    """What is tried, the smallest first: pictures leave a quarter of their directions nearly empty, others may not."""
    if engine is Engine.IVF:
        yield _Form(engine, dim, (0,))
        return
    for held in (dim * 3 // 4, dim):
        if held and held % _CODE_DIMENSIONS == 0:
            yield _Form(engine, held, CANDIDATES)


def _sorted_into_cells(rows: Halves, form: _Form, seed: int, report: Report) -> faiss.IndexPreTransform:
    count = len(rows)
    sample = _sample(rows, max(_SAMPLE, _ROWS_A_CELL * _cells_for(count)), seed)
    turn = _turn(sample, form)
    turned = turn.apply(sample)
    means = faiss.Kmeans(
        form.dim,
        _cells_for(count),
        niter=_ROUNDS,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=_ROWS_A_CELL,
    )
    means.train(turned)
    centres = faiss.IndexFlatIP(form.dim)
    centres.add(np.asarray(means.centroids))
    cells = _empty(form, centres)
    cells.train(turned[:_SAMPLE])
    index = faiss.IndexPreTransform(turn, cells)
    for start in range(0, count, _BLOCK):
        index.add(whole(rows[start : start + _BLOCK]))
        report(f"{min(count, start + _BLOCK):,} of {count:,} rows are in their cells")
    return index


def _tuned(
    index: faiss.IndexPreTransform,
    rows: Halves,
    form: _Form,
    held_out: tuple[HeldOut, HeldOut],
    target: RecallTarget,
) -> IndexDescription | None:
    cells: Any = faiss.downcast_index(index.index)
    # Half precision that looks into more than half of the cells is slower than looking at all rows.
    most = cells.nlist if form.engine is Engine.PQ else cells.nlist // 2
    grid = [[Setting(some, candidates) for some in steps(most)] for candidates in form.candidates]
    tuned = tune(lambda setting: IvfIndex(index, rows, setting).search, grid, held_out, target)
    if tuned is None:
        return None
    number = 8
    parameters = {"all_cells": cells.nlist, "held_dimensions": form.dim, **tuned.setting.parameters()}
    return IndexDescription(
        engine=form.engine,
        rows=rows.shape[0],
        dim=rows.shape[1],
        files=(FILES[form.engine],),
        bytes_per_vector=cells.code_size + number,
        parameters=parameters,
        curve=tuned.curve,
    )


def _cells_for(rows: int) -> int:
    """A power of two, half as many as would make them as large as they are many: opening one costs as 500 rows do."""
    return min(_MOST_CELLS, max(_LEAST_CELLS, 1 << round(math.log2(rows) / 2 - 1)))


def _sample(rows: Halves, most: int, seed: int) -> Embeddings:
    if len(rows) <= most:
        return whole(np.asarray(rows))
    dice = np.random.default_rng(seed)
    return dice.permutation(whole(rows[np.sort(dice.choice(len(rows), most, replace=False))]))


def _turn(sample: Embeddings, form: _Form) -> faiss.LinearTransform:
    """
    To the main directions of the rows, the strong ones each beside a weak one.

    A code stands for neighbouring numbers, and its values serve best what varies alike.
    """
    dim = sample.shape[1]
    turn = faiss.LinearTransform(dim, form.dim, False)
    directions = np.eye(dim, dtype=np.float32)
    if form.engine is Engine.PQ:
        _, ascending = np.linalg.eigh(sample.T @ sample)
        main = ascending.T[::-1][: form.dim]
        half = form.dim // 2
        directions = np.stack([main[:half], main[half:][::-1]], axis=1).reshape(form.dim, dim)
    faiss.copy_array_to_vector(np.ascontiguousarray(directions, np.float32).ravel(), turn.A)
    turn.is_trained = True
    return turn


def _empty(form: _Form, centres: faiss.IndexFlatIP) -> faiss.IndexIVF:
    product = faiss.METRIC_INNER_PRODUCT
    if form.engine is Engine.PQ:
        codes = form.dim // _CODE_DIMENSIONS
        return faiss.IndexIVFPQFastScan(centres, form.dim, centres.ntotal, codes, _CODE_BITS, product)
    halves = faiss.ScalarQuantizer.QT_fp16
    return faiss.IndexIVFScalarQuantizer(centres, form.dim, centres.ntotal, halves, product, False)
