"""
The exact view on a GPU beside the same rows on the processor: one query and a batch, in turns.

Needs CUDA; says so and ends where there is none. Rows are random: exact search takes the same time whatever they are.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from report import print_heading, print_table, quantile

from index.engines import ladder
from index.engines.description import Engine
from index.engines.gpu import GpuIndex
from index.records.rows import Embeddings

K = 10
BLOCK = 50_000
MS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 64])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here.")
    print_heading(f"The exact view on {torch.cuda.get_device_name()}", options)
    for count in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            _measure(count, Path(folder), options)


def _measure(count: int, folder: Path, options: argparse.Namespace) -> None:
    dice = np.random.default_rng(options.seed)
    blocks = (_unit(dice, min(BLOCK, count - start), options.dim) for start in range(0, count, BLOCK))
    ladder.write_rows(folder, blocks, count, options.dim)
    behind = ladder.open_index(folder, ladder.build(Engine.FLAT, folder), options.dim)
    rows = ladder.read_rows(folder)
    began = time.perf_counter()
    on_gpu = GpuIndex(rows, torch.device("cuda"), behind)
    print(f"## {count:,} rows of {options.dim}: copied in {time.perf_counter() - began:.2f} s\n")
    table = []
    for batch in options.batch:
        queries = _unit(dice, batch, options.dim)
        ours, theirs = on_gpu.search(queries, K), behind.search(queries, K)
        agree = float(np.mean(np.abs(ours.scores - theirs.scores) < 1e-3))
        calls = partial(on_gpu.search, queries, K), partial(behind.search, queries, K)
        gpu, cpu = ([_seconds(call) for _ in range(options.repeats)] for call in calls)
        table.append(
            (
                f"{batch}",
                f"{quantile(cpu, 0.5) / quantile(gpu, 0.5):.1f}",
                *(f"{MS * quantile(times, share):.3f}" for times in (gpu, cpu) for share in (0.5, 0.99)),
                f"{agree:.4f}",
            )
        )
    print_table(("queries", "times faster", "GPU p50 ms", "p99 ms", "processor p50 ms", "p99 ms", "agreement"), table)


def _unit(dice: np.random.Generator, count: int, dim: int) -> Embeddings:
    rows = dice.standard_normal((count, dim), dtype=np.float32)
    normal: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normal


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
