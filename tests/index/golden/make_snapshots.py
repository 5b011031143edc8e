"""
Writes a snapshot of each engine in the present format, for a test that future releases still read them.

    python tests/index/golden/make_snapshots.py

Run it once for a new number of the format, and never again for that number.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.engines.description import Engine
from index.engines.ladder import ROWS_FILE
from index.records.changes import Version
from index.records.rows import PDQ_BYTES
from index.views.building import Task, finish
from index.views.columns import ColumnWriter
from index.views.kinds import ORIGIN_COLUMNS, PDQ_VIEW
from index.views.snapshots import FORMAT, SnapshotStore

DIM = 16
FOLDER = Path(__file__).parent / f"snapshots-{FORMAT}"


def rows_of(count: int) -> NDArray[np.float32]:
    """In clusters of 25, and the same in every version of every library."""
    noise = (_noise(2 * count, DIM) >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5
    values = noise[:count] * 0.3 + noise[count + np.arange(count) // 25]
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


def hashes_of(count: int) -> NDArray[np.uint8]:
    return (_noise(count, PDQ_BYTES) >> np.uint64(56)).astype(np.uint8)


def _noise(count: int, width: int) -> NDArray[np.uint64]:
    """Whole numbers as good as random. Source: the finisher of splitmix64, Steele, Lea and Flood 2014."""
    place, number = np.meshgrid(np.arange(width, dtype=np.uint64), np.arange(1, count + 1, dtype=np.uint64))
    mixed = (number * np.uint64(width) + place) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def write(view: str, engine: Engine | None, count: int) -> None:
    """Items 1 to `count`, in bank 1; tags and positions are the item's number times 3 and 5."""
    items = np.arange(1, count + 1)
    columns = dict(zip(ORIGIN_COLUMNS, (items, items * 3, np.ones(count), items * 5), strict=True))
    payload = (
        {ROWS_FILE: rows_of(count)}
        if engine is not None
        else {"hashes.npy": hashes_of(count), "qualities.npy": np.full(count, 80)}
    )
    types = {**ORIGIN_COLUMNS, ROWS_FILE: "<f2", "hashes.npy": "|u1", "qualities.npy": "<i2"}
    store = SnapshotStore(FOLDER)
    with store.writing(view) as aside:
        for name, values in {**columns, **payload}.items():
            with ColumnWriter(aside / name, types[name], values.shape[1:]) as column:
                column.append(values)
        task = Task(
            view, Version(count), "a mark", 8 * PDQ_BYTES if engine is None else DIM, tuple(columns), None, engine
        )
        finish(aside, task, count, print)
        store.put(view, aside)


if __name__ == "__main__":
    for engine in Engine:
        write(f"golden-{engine.value}", engine, 40 if engine is Engine.FLAT else 700)
    write(PDQ_VIEW, None, 40)
