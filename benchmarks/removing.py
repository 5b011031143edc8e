"""
Removing a large bank: how long the request takes, and what others who write meanwhile wait.

    python benchmarks/removing.py --rows 250000

A bank of synthetic pictures of one frame each is removed, and then purged as the service does it, a second of work at
a time; a writer in another thread banks one item after the other in another bank all the while.
"""

import argparse
import itertools
import os
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported

import numpy as np
from index_views import SPACE, pictures, rows_of
from report import print_heading, print_table, quantile

from index.catalog import Catalog
from index.records.banks import Purpose
from index.records.rows import Embeddings

DIM = 256
CHUNK = 500
WORK_S, PAUSE_S = 1.0, 2.0
"""As the service's ticker does."""
USUAL_S = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--catalog", default="", help="the URL of an empty database; a SQLite file by default")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Removing a large bank", options)
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog.open(options.catalog or f"sqlite:///{Path(folder) / 'catalog.db'}")
        try:
            _measure(catalog, options.rows, np.random.default_rng(options.seed))
        finally:
            catalog.close()


def _measure(catalog: Catalog, rows: int, source: np.random.Generator) -> None:
    catalog.register_space(SPACE, DIM)
    centres = _unit(source.standard_normal((1000, DIM)))
    for bank in ("large", "other"):
        catalog.put_bank(bank, Purpose.HARMFUL)
    for start in range(0, rows, CHUNK):
        catalog.add_items("large", pictures(source, rows_of(source, centres, min(CHUNK, rows - start))))
    writer = _Writer(catalog, source, centres)
    writer.start()
    time.sleep(USUAL_S)
    marks = [time.perf_counter()]
    catalog.delete_bank("large")
    marks.append(time.perf_counter())
    at_work = 0.0
    while True:
        began = time.perf_counter()
        done = catalog.purge_removed(lambda until=began + WORK_S: time.perf_counter() > until)  # type: ignore[misc]
        at_work += time.perf_counter() - began
        if done:
            break
        time.sleep(PAUSE_S)
    marks.append(time.perf_counter())
    writer.stop()
    print(
        f"{rows:,} items: removed, for everybody, after {1e3 * (marks[1] - marks[0]):.0f} ms; purged "
        f"{marks[2] - marks[1]:.0f} s later, {at_work:.0f} s of it at work.\n"
    )
    before = [took for at, took in writer.times if at < marks[0]]
    during = [took for at, took in writer.times if marks[0] <= at < marks[2]]
    table = [
        (name, str(len(times)), *(f"{1e3 * figure:.1f}" for figure in (*_quantiles(times), max(times))))
        for name, times in (("before", before), ("while it is removed and purged", during))
    ]
    print_table(("another who banks one by one", "items", "p50 ms", "p99 ms", "worst ms"), table)


class _Writer(threading.Thread):
    """Banks one item after the other, until it is stopped."""

    def __init__(self, catalog: Catalog, source: np.random.Generator, centres: Embeddings) -> None:
        super().__init__(daemon=True)
        self._catalog = catalog
        self._items = pictures(source, rows_of(source, centres, 1000))
        self._stopped = threading.Event()
        self.times: list[tuple[float, float]] = []

    def run(self) -> None:
        for new in itertools.cycle(self._items):
            if self._stopped.wait(0.005):
                return
            began = time.perf_counter()
            self._catalog.add_item("other", new)
            self.times.append((began, time.perf_counter() - began))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _quantiles(times: list[float]) -> tuple[float, float]:
    return quantile(times, 0.5), quantile(times, 0.99)


def _unit(rows: np.ndarray) -> Embeddings:
    normal: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return normal


if __name__ == "__main__":
    main()
