"""
What every rung of the ladder finds and costs, beside raw FAISS flat and hnswlib, in turns.

Rows are embeddings of pictures and queries are embeddings of edited copies of them, as `embedded_edits.py` writes
them; the rest of the rows are made up around those, with their mean, their covariance and their nearest neighbours'
cosines. Without such a file everything is made up. Recall is against the exact answer.

Engines that are tuned are tuned twice: as by default, and for the nearest row alone. hnswlib (`pip install hnswlib`) is
asked twice too: to look as far as it takes to find as many of the ten nearest as the first setting of the rung above
the exact one, and to find the nearest as often as the second was tuned for. It is no dependency of ours.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported: one search, one core
os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import numpy as np
from report import print_heading, print_table, quantile

from index.engines import ladder
from index.engines.cells import CANDIDATES
from index.engines.description import Engine
from index.engines.halves import whole
from index.engines.ivf import IvfIndex
from index.engines.scan import scan
from index.engines.tuning import RecallTarget, Setting, hold_out, steps, tune
from index.engines.vectors import VectorIndex
from index.records.rows import Embeddings

K = 10
NEAR_A_ROW = 0.4
"""How near a made-up row is to a real one: so that an innocent query is as near to something as among real rows."""
BLOCK = 50_000
TURN = 20
CLIENTS = 8
CLIENT_SECONDS = 4.0
AS_GOOD = 1e-3
EF = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
MS = 1000

Find = Callable[[Embeddings], tuple[np.ndarray, np.ndarray]]
"""Rows and scores of the K nearest one query."""


@dataclass
class Contender:
    name: str
    find: Find
    build_s: float
    bytes_per_row: float
    inner: Find | None = None
    """The FAISS call within."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--embeddings", type=Path, help="what embedded_edits.py wrote")
    parser.add_argument("--engines", nargs="+", choices=[engine.value for engine in Engine], default=list(Engine))
    parser.add_argument("--raw-flat-rows", type=int, default=2_000_000, help="the most that raw FAISS is given")
    parser.add_argument("--hnsw-rows", type=int, default=1_000_000, help="the most that hnswlib is given")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("The ladder", options)
    for count in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            _measure(count, Path(folder), options)


def _measure(count: int, folder: Path, options: argparse.Namespace) -> None:
    source = _Rows(options.embeddings, options.seed)
    ladder.write_rows(folder, source.blocks(count), count, source.dim)
    rows = ladder.read_rows(folder)
    queries = source.queries(count, options.queries)
    exact = scan(rows, queries, K, None)
    contenders = [each for name in options.engines for each in _contenders(Engine(name), folder, source.dim)]
    if count <= options.hnsw_rows:
        ours = [each for each in contenders if each.name.startswith(Engine.PQ)] or contenders[-1:]
        contenders.extend(_hnsw(rows, queries, exact.scores, ours))
    if count <= options.raw_flat_rows:
        contenders.insert(0, _raw_flat(rows))
    print(f"## {count:,} rows of {source.dim}, {source.real(count):,} of them embeddings of pictures\n")
    times, inner, scores = _in_turns(contenders, queries)
    first = quantile(times[0], 0.5)
    table: list[tuple[str, ...]] = []
    for place, each in enumerate(contenders):
        p50, p99 = (MS * quantile(times[place], share) for share in (0.5, 0.99))
        beyond = f"{p50 - MS * quantile(inner[place], 0.5):.3f}" if inner[place] else ""
        table.append(
            (
                each.name,
                f"{first / quantile(times[place], 0.5):.1f}",
                f"{_planted(scores[place], exact.scores):.4f}",
                f"{_overlap(scores[place], exact.scores):.4f}",
                f"{p50:.3f}",
                f"{p99:.3f}",
                f"{_clients(each.find, queries):,.0f}",
                f"{each.build_s:.1f}",
                f"{each.bytes_per_row:.0f}",
                beyond,
            )
        )
    headings = ("engine", f"times {contenders[0].name}", "recall@1", "overlap@10", "p50 ms", "p99 ms")
    print_table(
        (*headings, f"q/s, {CLIENTS} clients", "build s", "bytes a row", "p50 beyond its FAISS call, ms"), table
    )


class _Rows:
    """Real embeddings first, then as many like them as it takes."""

    def __init__(self, file: Path | None, seed: int) -> None:
        self._seed = seed
        if file is None:
            dice = np.random.default_rng(seed)
            self._bank = _unit(dice.standard_normal((5000, 256)) * np.linspace(2, 0.2, 256))
            self._asked = _unit(self._bank[:1000] + 0.05 * dice.standard_normal((1000, 256)))
            self._owners = np.arange(1000)
            self._pictures = 0
        else:
            held = np.load(file)
            self._bank, self._asked, self._owners = held["bank"], held["queries"], held["owners"]
            self._pictures = len(self._bank)
        self.dim = self._bank.shape[1]

    def real(self, count: int) -> int:
        return min(count, self._pictures)

    def queries(self, count: int, most: int) -> Embeddings:
        there = np.flatnonzero(self._owners < count)
        chosen = np.random.default_rng(self._seed).permutation(there)[:most]
        return np.ascontiguousarray(self._asked[chosen], np.float32)

    def blocks(self, count: int) -> Iterator[Embeddings]:
        dice = np.random.default_rng(self._seed)
        yield self._bank[:count]
        strengths, directions = np.linalg.eigh(np.cov(self._bank.T))
        spread = (directions * np.sqrt(np.maximum(strengths, 0))).T.astype(np.float32)
        middle = self._bank.mean(axis=0)
        for start in range(len(self._bank), count, BLOCK):
            some = min(BLOCK, count - start)
            elsewhere = _unit(middle + dice.standard_normal((some, self.dim), dtype=np.float32) @ spread)
            near = self._bank[dice.integers(0, len(self._bank), some)]
            yield _unit(NEAR_A_ROW * near + np.sqrt(1 - NEAR_A_ROW**2) * elsewhere)


def _contenders(engine: Engine, folder: Path, dim: int) -> Iterator[Contender]:
    """As it is tuned by default; and, if it is tuned, for the nearest row alone."""
    began = time.perf_counter()
    description = ladder.build(engine, folder)
    took = time.perf_counter() - began
    built = ladder.open_index(folder, description, dim)
    name = engine.value if description.engine is engine else f"{engine.value} (became {description.engine.value})"
    settings = ", ".join(f"{key} {value}" for key, value in description.parameters.items())
    print(f"- {name}: {settings or 'no parameters'}", flush=True)
    yield _contender(name, built, took, description.bytes_per_vector)
    if isinstance(built, IvfIndex) and description.engine is Engine.PQ:
        alone = _for_the_nearest_alone(built)
        print(f"- {name}, the nearest alone: {alone._setting.parameters()}", flush=True)  # noqa: SLF001 - what was tuned
        yield _contender(f"{name}, the nearest alone", alone, took, description.bytes_per_vector)


def _for_the_nearest_alone(built: IvfIndex) -> IvfIndex:
    """The same cells as if they had been built for this share of the nearest, whatever becomes of the other nine."""
    index, rows, cells = built._index, built._rows, built._cells  # noqa: SLF001 - another setting of what is inside
    target = RecallTarget(overlap=0.0)
    grid = [[Setting(some, candidates) for some in steps(cells.nlist)] for candidates in CANDIDATES]
    tuned = tune(lambda setting: IvfIndex(index, rows, setting).search, grid, hold_out(rows, target), target)
    if tuned is None:
        raise SystemExit("No setting finds the nearest often enough.")
    return IvfIndex(index, rows, tuned.setting)


def _contender(name: str, built: VectorIndex, build_s: float, bytes_per_row: float) -> Contender:
    def find(query: Embeddings) -> tuple[np.ndarray, np.ndarray]:
        found = built.search(query, K)
        return found.rows[0], found.scores[0]

    return Contender(name, find, build_s, bytes_per_row, _call_within(built))


def _call_within(built: VectorIndex) -> Find:
    """The same search without what we do around it."""
    if not isinstance(built, IvfIndex):
        flat = built._index  # type: ignore[attr-defined]  # noqa: SLF001 - what is measured is what is inside
        return lambda query: flat.search(query, K)
    cells, turn, setting = built._cells, built._turn, built._setting  # noqa: SLF001
    parameters = faiss.SearchParametersIVF(nprobe=setting.cells)
    return lambda query: cells.search(query @ turn.T, setting.candidates or K, params=parameters)


def _raw_flat(rows: np.ndarray) -> Contender:
    began = time.perf_counter()
    flat = faiss.IndexFlatIP(rows.shape[1])
    for start in range(0, len(rows), BLOCK):
        flat.add(whole(rows[start : start + BLOCK]))
    took = time.perf_counter() - began

    def find(query: Embeddings) -> tuple[np.ndarray, np.ndarray]:
        scores, found = flat.search(query, K)
        return found[0], scores[0]

    return Contender("raw FAISS flat", find, took, 4 * rows.shape[1])


def _hnsw(rows: np.ndarray, queries: Embeddings, exact: np.ndarray, ours: list[Contender]) -> Iterator[Contender]:
    """One graph, looking as far as it takes to find what each of ours does."""
    import hnswlib  # type: ignore[import-untyped]  # noqa: PLC0415 - only installed where it is compared with

    began = time.perf_counter()
    graph = hnswlib.Index(space="ip", dim=rows.shape[1])
    graph.init_index(max_elements=len(rows), ef_construction=100, M=16)
    for start in range(0, len(rows), BLOCK):
        graph.add_items(whole(rows[start : start + BLOCK]), num_threads=os.cpu_count() or 1)
    took = time.perf_counter() - began
    links = 2 * 16 * 4 + 4

    def looking(ef: int) -> Find:
        def find(query: Embeddings) -> tuple[np.ndarray, np.ndarray]:
            graph.set_ef(ef)
            found, distances = graph.knn_query(query, K, num_threads=1)
            return found[0], 1 - distances[0]

        return find

    for each, found_share, enough in zip(ours, (_overlap, _planted), (1.0, RecallTarget().planted), strict=False):
        wanted = min(enough, found_share([each.find(query[None])[1] for query in queries], exact))
        for ef in EF:
            reached = found_share([looking(ef)(query[None])[1] for query in queries], exact)
            if reached >= wanted:
                break
        yield Contender(f"hnswlib M16 ef{ef}", looking(ef), took, 4 * rows.shape[1] + links)


def _in_turns(contenders: list[Contender], queries: Embeddings) -> tuple[list[list[float]], list[list[float]], Any]:
    """
    Some queries each, so that whatever else the machine does meets all alike.

    Not one each: raw flat would put everybody else's rows out of the processor's memory every time.
    """
    times: list[list[float]] = [[] for _ in contenders]
    inner: list[list[float]] = [[] for _ in contenders]
    scores: list[list[np.ndarray]] = [[] for _ in contenders]
    for turn, start in enumerate(range(0, len(queries), TURN)):
        asked = queries[start : start + TURN]
        for place, each in enumerate(contenders):
            for query in asked:
                began = time.perf_counter()
                found = each.find(query[None])
                times[place].append(time.perf_counter() - began)
                scores[place].append(found[1])
            within = each.inner
            if within is None:
                continue
            for query in asked[:: 1 if turn % 2 else -1]:
                began = time.perf_counter()
                within(query[None])
                inner[place].append(time.perf_counter() - began)
    return times, inner, scores


def _clients(find: Find, queries: Embeddings) -> float:
    """Queries a second of several threads that each ask one after another."""
    until = time.perf_counter() + CLIENT_SECONDS
    asked = [0] * CLIENTS

    def ask(client: int) -> None:
        place = client
        while time.perf_counter() < until:
            find(queries[place % len(queries)][None])
            asked[client] += 1
            place += 1

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(asked) / (time.perf_counter() - began)


def _planted(scores: list[np.ndarray], exact: np.ndarray) -> float:
    return float(np.mean([found[0] >= true[0] - AS_GOOD for found, true in zip(scores, exact, strict=True)]))


def _overlap(scores: list[np.ndarray], exact: np.ndarray) -> float:
    return float(np.mean([found >= true[-1] - AS_GOOD for found, true in zip(scores, exact, strict=True)]))


def _unit(rows: np.ndarray) -> Embeddings:
    normal: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return normal


if __name__ == "__main__":
    main()
