"""
Linking new sightings to the nearest of many earlier ones, in batches as the duty does it: exactly, and sieved.

The earlier sightings are random rows whose directions differ in weight, as those of embeddings do; some have noisy
copies among the new ones, which must be found.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when FAISS is imported: one search, one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from report import print_heading, print_table

from index.records.rows import Embeddings
from index.records.sightings import SightedHashes, SightedRows
from index.records.spaces import SpaceId
from index.sightings.view import SightingView
from service.sightings.linking import edges_of

SPACE, DIM = SpaceId("benchmark-1"), 256
BOUNDS = (0.66, 0.53)
BATCH, VIEWS, BLOCK, ROUNDS = 32, 6, 50_000, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sightings", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Linking sightings", options)
    headings = ("sightings", "exact: sightings/s", "sieved: sightings/s", "copies found", "built in s")
    print_table(headings, [_measured(count, np.random.default_rng(options.seed)) for count in options.sightings])


def _measured(count: int, dice: np.random.Generator) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder:
        view = SightingView(Path(folder))
        for start in range(1, count + 1, BLOCK):
            _add(view, np.arange(start, min(start + BLOCK, count + 1)), dice)
        exact, _ = _rate(view, count, np.random.default_rng(2))
        began = time.perf_counter()
        wholes = view.spaces[SPACE].wholes
        while wholes.tend(view.sieve_rows):
            wholes.settle()
        built_s = time.perf_counter() - began
        sieved, found = _rate(view, count, np.random.default_rng(2))
        view.clear()
    several = count >= view.sieve_rows
    return (
        f"{count:,}", f"{exact:.0f}", f"{sieved:.0f}" if several else "", found, f"{built_s:.0f}" if several else "",
    )  # fmt: skip


def _rate(view: SightingView, count: int, dice: np.random.Generator) -> tuple[float, str]:
    best, found = 0.0, 0
    for _ in range(ROUNDS):
        keys = np.arange(count + 1, count + 1 + BATCH)
        several = np.repeat(keys, VIEWS)
        rows = _unit(dice, len(several))
        originals = dice.integers(1, count + 1, BATCH)
        held = np.concatenate([view.spaces[SPACE].wholes.of(int(key)) for key in originals])
        rows[::VIEWS] = _noisy(held, dice)
        hashes = SightedHashes(keys, keys * 0, dice.integers(0, 256, (BATCH, 32), np.uint8), np.full(BATCH, 90, "i2"))
        sighted = SightedRows(several, several * 0, np.arange(len(several)) % VIEWS == 0, rows)
        began = time.perf_counter()
        edges = edges_of(view, SPACE, sighted, hashes, _bounds)
        best = max(best, BATCH / (time.perf_counter() - began))
        pairs = set(zip(edges.keys.tolist(), edges.earlier.tolist(), strict=True))
        found += sum((key, int(original)) in pairs for key, original in zip(keys.tolist(), originals, strict=True))
    return best, f"{found} of {ROUNDS * BATCH}"


def _add(view: SightingView, keys: np.ndarray[tuple[int], np.dtype[np.int64]], dice: np.random.Generator) -> None:
    view.add(SPACE, SightedRows(keys, keys * 0, np.ones(len(keys), np.bool_), _unit(dice, len(keys))))
    hashes = dice.integers(0, 256, (len(keys), 32), np.uint8)
    view.hashes.add(SightedHashes(keys, keys * 0, hashes, np.full(len(keys), 90, np.int16)))


def _noisy(rows: Embeddings, dice: np.random.Generator) -> Embeddings:
    """At a cosine of about 0.8."""
    noisy = rows + 0.75 * _unit(dice, len(rows))
    normal: Embeddings = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    return normal


def _bounds(space: SpaceId, rows: Embeddings) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    del space
    return np.repeat(np.array([BOUNDS], np.float32), len(rows), axis=0)


def _unit(dice: np.random.Generator, count: int) -> Embeddings:
    rows = dice.standard_normal((count, DIM), np.float32) * np.arange(1, DIM + 1, dtype=np.float32) ** -0.35
    normal: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normal


if __name__ == "__main__":
    main()
