"""
What the views and the catalog cost, beside FAISS alone.

For each size: a search through the views against `faiss.IndexFlatIP` over the same rows in the same round, one query
and a batch, with and without a bank filter; a PDQ search; a durable addition; following it; rebuilding everything.
Rows are random and of norm 1: exact search takes the same time whatever they are.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported: one search, one core
os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import numpy as np
from report import print_heading, print_table, quantile

from index.catalog import Catalog
from index.records.banks import Purpose
from index.records.changes import Version
from index.records.items import ItemId, ItemKind, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.views import Views

SPACE = SpaceId("benchmark-000000000000")
BATCH = 64
K = 5
CHUNK = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Searching and keeping", options)
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            catalog = Catalog.open(f"sqlite:///{folder}/catalog.db")
            _measure(catalog, _Items(options.seed, options.dim), rows, options)
            catalog.close()


class _Items:
    """Random pictures, seeded."""

    def __init__(self, seed: int, dim: int) -> None:
        self._source = np.random.default_rng(seed)
        self._dim = dim

    def embeddings(self, count: int) -> Embeddings:
        rows = self._source.standard_normal((count, self._dim)).astype(np.float32)
        normal: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return normal

    def pictures(self, count: int) -> list[NewItem]:
        rows = self.embeddings(count)
        return [
            NewItem(ItemKind.IMAGE, [NewFrame(0, self._source.bytes(32), 90, {SPACE: rows[no : no + 1]})])
            for no in range(count)
        ]


def _measure(catalog: Catalog, items: _Items, rows: int, options: argparse.Namespace) -> None:
    catalog.register_space(SPACE, options.dim)
    ids: list[ItemId] = []
    loading = 0.0
    for bank in ("even", "odd"):
        catalog.put_bank(bank, Purpose.HARMFUL)
    for chunk in range(0, rows, CHUNK):
        pictures = items.pictures(min(CHUNK, rows - chunk))
        began = time.perf_counter()
        added = catalog.add_items("odd" if chunk // CHUNK % 2 else "even", pictures)
        loading += time.perf_counter() - began
        ids += [outcome.item.item_id for outcome in added]
    began = time.perf_counter()
    views = Views(catalog, {SPACE: options.dim})
    views.follow()
    rebuilding = time.perf_counter() - began
    alone = faiss.IndexFlatIP(options.dim)
    alone.add(catalog.changes(Version(0), [SPACE]).semantic[SPACE].embeddings)
    print(f"## {rows:,} rows of {options.dim}\n")
    _searches(views, alone, items, options.repeats)
    _keeping(catalog, views, items, ids, options.repeats)
    size = catalog.info().facts.size_bytes / 2**20
    print(f"- loading in transactions of {CHUNK}: {rows / loading:,.0f} items/s; {size:.0f} MB on the disk")
    print(f"- rebuilding the views: {rebuilding:.2f} s\n", flush=True)
    views.close()


def _searches(views: Views, alone: faiss.IndexFlatIP, items: _Items, repeats: int) -> None:
    queries = items.embeddings(BATCH)
    table: list[tuple[str, ...]] = []
    for name, count, banks in (
        ("one query", 1, None),
        ("one query, one bank of two", 1, ["even"]),
        (f"{BATCH} queries of one upload", BATCH, None),
        (f"{BATCH} queries, one bank of two", BATCH, ["even"]),
    ):
        asked = queries[:count]
        ours, theirs = _side_by_side(
            partial(views.search, SPACE, asked, K, banks), partial(alone.search, asked, K), repeats
        )
        ratio = quantile(ours, 0.5) / quantile(theirs, 0.5)
        table.append((name, f"{ratio:.2f}", *_figures(ours), *_figures(theirs)))
    print_table(("semantic search", "ratio", "p50 ms", "p99 ms", "FAISS alone p50 ms", "p99 ms"), table)


def _keeping(catalog: Catalog, views: Views, items: _Items, ids: list[ItemId], repeats: int) -> None:
    hashes = np.random.default_rng(0).integers(0, 256, (1, 32), dtype=np.uint8)
    queries = items.embeddings(1)
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("PDQ search, one hash", lambda: views.search_pdq(hashes, K)),
        ("scores of 5 items", lambda: views.scores_of(SPACE, queries, ids[:K])),
        ("rows of 5 items from the catalog", lambda: catalog.items_by_id(ids[:K])),
        ("asking for the version", catalog.version),
        ("following when nothing is new", views.follow),
    )
    table: list[tuple[str, ...]] = [(name, *_figures(_seconds(step, repeats))) for name, step in steps]
    adding, following = [], []
    for picture in items.pictures(repeats):
        adding += _seconds(partial(catalog.add_item, "even", picture), 1)
        following += _seconds(views.follow, 1)
    table += [("adding an item, durably", *_figures(adding)), ("following it", *_figures(following))]
    print_table(("step", "p50 ms", "p99 ms"), table)


def _side_by_side(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[list[float], ...]:
    """By turns, so that whatever else the machine does meets both alike."""
    pairs = [(_seconds(ours, 1)[0], _seconds(theirs, 1)[0]) for _ in range(repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _seconds(step: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return times


def _figures(seconds: list[float]) -> tuple[str, str]:
    return f"{1e3 * quantile(seconds, 0.5):.3f}", f"{1e3 * quantile(seconds, 0.99):.3f}"


if __name__ == "__main__":
    main()
