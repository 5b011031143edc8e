"""
A PDQ search among all hashes, with and without removed ones, beside FAISS's binary index, in turns.

Among random hashes, copies with a tenth of their bits changed are asked for; every answer is held to FAISS's.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when FAISS is imported: one search, one core

import faiss
import numpy as np
from report import print_heading, print_table, quantile

from index.engines.perceptual import PdqIndex

K = 10
CHANGED = 0.1
MS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Searching hashes", options)
    dice = np.random.default_rng(options.seed)
    print_table(
        (
            *("hashes", "times raw FAISS", "equal answers", "p50 ms", "p99 ms"),
            *("a tenth removed: p50 ms", "p99 ms", "raw FAISS p50 ms", "p99 ms"),
        ),
        [_measured(count, options.queries, dice) for count in options.rows],
    )


def _measured(count: int, queries: int, dice: np.random.Generator) -> tuple[str, ...]:
    hashes = dice.integers(0, 256, (count, 32), dtype=np.uint8)
    changes = np.packbits(dice.random((queries, 256)) < CHANGED, axis=1)
    asked = hashes[dice.integers(0, count, queries)] ^ changes
    ours = PdqIndex(hashes, np.zeros(count, np.int16))
    raw: Any = faiss.IndexBinaryFlat(256)
    raw.add(hashes)
    some = dice.random(count) >= CHANGED
    spent: tuple[list[float], ...] = ([], [], [])
    same = 0
    for place in range(queries):
        query = asked[place : place + 1]
        found = _timed(partial(ours.search, query, K), spent[0])
        _timed(partial(ours.search, query, K, some), spent[1])
        distances, _ = _timed(partial(raw.search, query, K), spent[2])
        same += int(np.array_equal(found.distances, distances))
    ratio = quantile(spent[2], 0.5) / quantile(spent[0], 0.5)
    figures = (f"{MS * quantile(times, share):.2f}" for times in spent for share in (0.5, 0.99))
    return f"{count:,}", f"{ratio:.2f}", f"{same / queries:.4f}", *figures


def _timed(call: Callable[[], Any], spent: list[float]) -> Any:  # noqa: ANN401 - whatever the call answers
    began = time.perf_counter()
    answer = call()
    spent.append(time.perf_counter() - began)
    return answer


if __name__ == "__main__":
    main()
