"""
What every engine behind the VectorIndex seam must do.

A new engine adds a line to ENGINES and says how much it may miss.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from index.engines import description, ladder
from index.engines.flat import FlatIndex
from index.engines.gpu import GpuIndex, on_gpu
from index.engines.ivf import FEW_ROWS
from index.engines.scan import ScanIndex
from index.engines.tuning import RecallTarget, Setting, hold_out, measured
from index.engines.vectors import BuildIndex, Neighbours, VectorIndex
from index.records.rows import Embeddings, RowMask

ROUNDING = 2e-6
HALVES = 5e-4
"""What half precision can move a cosine by: a 2048th of each product."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Building would take all there are, and wait for them beside the rest of the suite."""
    faiss.omp_set_num_threads(1)


@dataclass(frozen=True, slots=True)
class Engine:
    build: BuildIndex
    recall: float = 1.0
    """Of the true neighbours, the share that must be found."""
    score_error: float = ROUNDING


def opened(name: description.Engine) -> BuildIndex:
    """Built into a folder and opened from it, as a snapshot is."""
    target = RecallTarget(queries=30)

    def build(embeddings: Embeddings) -> VectorIndex:
        with TemporaryDirectory() as place:
            folder = Path(place)
            ladder.write_rows(folder, [embeddings], *embeddings.shape)
            described = ladder.build(name, folder, target)
            return ladder.open_index(folder, described, embeddings.shape[1])

    return build


def as_on_a_gpu(embeddings: Embeddings) -> VectorIndex:
    halves = embeddings.astype(np.float16)
    return GpuIndex(halves, torch.device("cpu"), ScanIndex(embeddings))


ENGINES = {
    "flat": Engine(FlatIndex),
    "scan": Engine(ScanIndex),
    "flat, mapped": Engine(opened(description.Engine.FLAT), score_error=HALVES),
    "ivf": Engine(opened(description.Engine.IVF), recall=0.5, score_error=HALVES),
    "gpu": Engine(as_on_a_gpu, score_error=HALVES),
    "pq": Engine(opened(description.Engine.PQ), recall=0.5, score_error=HALVES),
}
QUICK_TO_BUILD = 2
"""The first ones."""


@dataclass(frozen=True, slots=True)
class Asked:
    seed: int
    queries: int
    k: int
    allowed_share: float | None

    def allowed(self, count: int) -> RowMask | None:
        if self.allowed_share is None:
            return None
        return np.random.default_rng(self.seed).random(count) < self.allowed_share


ASKED = st.builds(
    Asked,
    seed=st.integers(0, 2**16),
    queries=st.integers(1, 20),
    k=st.integers(1, 30),
    allowed_share=st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]),
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def unit_rows(seed: int, count: int, dim: int) -> Embeddings:
    values = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    normal: Embeddings = values / np.linalg.norm(values, axis=1, keepdims=True)
    return normal


def true_neighbours(embeddings: Embeddings, queries: Embeddings, k: int, allowed: RowMask | None) -> Neighbours:
    """By the definition: every score, sorted."""
    scores = (queries.astype(np.float64) @ embeddings.astype(np.float64).T).astype(np.float32)
    rows = np.broadcast_to(np.arange(len(embeddings)), scores.shape)
    if allowed is not None:
        scores, rows = scores[:, allowed], rows[:, allowed]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    missing = ((0, 0), (0, k - order.shape[1]))
    return Neighbours(
        np.pad(np.take_along_axis(rows, order, 1), missing, constant_values=-1),
        np.pad(np.take_along_axis(scores, order, 1), missing, constant_values=-np.inf),
    )


def recall_of(found: Neighbours, true: Neighbours, score_error: float) -> float:
    """A row that scores as the last true one does counts for it: which of equals is found is open."""
    hits = total = 0
    for line in range(len(true.rows)):
        wanted = true.rows[line] >= 0
        total += int(wanted.sum())
        bar = true.scores[line][wanted].min(initial=np.inf) - score_error
        hits += int(np.sum(found.scores[line] >= bar))
    return 1.0 if total == 0 else hits / total


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    count=st.one_of(st.integers(0, 40), st.integers(900, 2500)),
    dim=st.sampled_from([1, 3, 16, 40]),
    asked=ASKED,
)
@pytest.mark.parametrize("name", list(ENGINES)[:QUICK_TO_BUILD])
def test_the_neighbours_are_those_of_the_definition(
    *, name: str, seed: int, count: int, dim: int, asked: Asked
) -> None:
    embeddings = unit_rows(seed, count, dim)
    check_against_the_definition(ENGINES[name], ENGINES[name].build(embeddings), embeddings, asked)


@settings(max_examples=60, deadline=None)
@given(size=st.sampled_from([(0, 16), (30, 16), (700, 3), (2500, 40), (6000, 16)]), asked=ASKED)
@pytest.mark.parametrize("name", list(ENGINES)[QUICK_TO_BUILD:])
def test_the_neighbours_in_opened_files_are_those_of_the_definition(
    *, name: str, size: tuple[int, int], asked: Asked
) -> None:
    embeddings, built = built_once(name, size)
    check_against_the_definition(ENGINES[name], built, embeddings, asked)


@cache
def built_once(name: str, size: tuple[int, int]) -> tuple[Embeddings, VectorIndex]:
    embeddings = unit_rows(7, *size)
    return embeddings, ENGINES[name].build(embeddings)


def check_against_the_definition(engine: Engine, built: VectorIndex, embeddings: Embeddings, asked: Asked) -> None:
    count, dim = embeddings.shape
    queries = unit_rows(asked.seed + 1, asked.queries, dim)
    allowed = asked.allowed(count)
    found = built.search(queries, asked.k, allowed)
    true = true_neighbours(embeddings, queries, asked.k, allowed)
    assert found.rows.shape == found.scores.shape == (asked.queries, asked.k)
    assert recall_of(found, true, engine.score_error) >= engine.recall
    present = found.rows >= 0
    assert np.array_equal(present, true.rows >= 0)
    assert np.all(np.isneginf(found.scores[~present]))
    assert np.all(found.scores[:, :-1] >= found.scores[:, 1:])
    lines, _ = np.nonzero(present)
    exact = np.einsum("nd,nd->n", queries[lines], embeddings[found.rows[present]])
    np.testing.assert_allclose(found.scores[present], exact, atol=engine.score_error)
    if allowed is not None:
        assert np.all(allowed[found.rows[present]])
    for line in found.rows:
        assert len(set(line[line >= 0])) == np.sum(line >= 0)


@pytest.mark.parametrize("queries", [1, 16])
def test_of_equal_scores_the_lower_row_comes_first(engine: Engine, queries: int) -> None:
    embeddings = np.repeat(unit_rows(1, 5, 16), 3, axis=0)
    found = engine.build(embeddings).search(unit_rows(2, queries, 16), 15)
    equal = found.scores[:, :-1] == found.scores[:, 1:]
    assert equal.any()
    assert np.all(found.rows[:, :-1][equal] < found.rows[:, 1:][equal])


def test_an_index_of_nothing_finds_nothing(engine: Engine) -> None:
    index = engine.build(np.empty((0, 16), np.float32))
    found = index.search(unit_rows(1, 2, 16), 3)
    assert len(index) == 0
    assert np.all(found.rows == -1)


@pytest.mark.parametrize("count", [1, 3000])
def test_no_queries_are_answered_with_no_rows(engine: Engine, count: int) -> None:
    found = engine.build(unit_rows(1, count, 16)).search(np.empty((0, 16), np.float32), 3)
    assert found.rows.shape == (0, 3)


def test_it_gives_back_what_it_was_built_from(engine: Engine) -> None:
    embeddings = unit_rows(3, 50, 16)
    rows = np.array([49, 0, 7])
    np.testing.assert_allclose(engine.build(embeddings).vectors(rows), embeddings[rows], atol=engine.score_error)


def test_many_threads_get_the_answers_that_one_gets(engine: Engine) -> None:
    index: VectorIndex = engine.build(unit_rows(4, 4000, 16))
    asked = [unit_rows(seed, 1 + seed % 5, 16) for seed in range(40)]
    allowed = np.random.default_rng(0).random(4000) < 0.5
    alone = [index.search(queries, 5, allowed).rows for queries in asked]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda queries: index.search(queries, 5, allowed).rows, asked * 3))
    for place, rows in enumerate(together):
        assert np.array_equal(rows, alone[place % len(asked)])


@pytest.mark.parametrize("name", [description.Engine.IVF, description.Engine.PQ])
def test_an_engine_keeps_its_promise_on_queries_it_was_not_tuned_on(name: description.Engine, tmp_path: Path) -> None:
    rows = pictures(1, 12_000, 32)
    ladder.write_rows(tmp_path, [rows], *rows.shape)
    target = RecallTarget(planted=0.98, overlap=0.8, queries=150)
    described = ladder.build(name, tmp_path, target)
    built = ladder.open_index(tmp_path, described, 32)
    assert described.engine is name
    others, _ = hold_out(ladder.read_rows(tmp_path), RecallTarget(queries=300, seed=99))
    point = measured(built.search, Setting(1), others)
    assert point.planted >= target.planted - 0.02
    assert point.overlap >= target.overlap - 0.03


def test_a_small_bank_within_a_large_one_gets_its_answers(tmp_path: Path) -> None:
    rows = pictures(2, 12_000, 32)
    ladder.write_rows(tmp_path, [rows], *rows.shape)
    built = ladder.open_index(tmp_path, ladder.build(description.Engine.PQ, tmp_path, RecallTarget(queries=60)), 32)
    asked = rows[[int(np.argmax(rows[:, 0]))]]
    elsewhere = rows[:, 0] < 0
    assert FEW_ROWS < elsewhere.sum() < len(rows)
    found = built.search(asked, 10, elsewhere)
    assert recall_of(found, true_neighbours(rows, asked, 10, elsewhere), HALVES) >= 0.9


def test_an_engine_that_cannot_find_what_it_must_gives_way_to_the_exact_one(tmp_path: Path) -> None:
    rows = unit_rows(3, 3000, 64)
    ladder.write_rows(tmp_path, [rows], *rows.shape)
    described = ladder.build(description.Engine.IVF, tmp_path, RecallTarget(overlap=1.0, queries=40))
    assert described.engine is description.Engine.FLAT
    assert {path.name for path in tmp_path.iterdir()} == {ladder.ROWS_FILE, *described.files}


def pictures(seed: int, count: int, dim: int) -> Embeddings:
    """Rows that vary much in a few directions and little in others, as embeddings of pictures do."""
    rows = unit_rows(seed, count, dim) * np.linspace(2.0, 0.2, dim, dtype=np.float32)
    normal: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normal


def test_a_gpu_that_fails_is_not_asked_again() -> None:
    rows = unit_rows(4, 100, 16)
    of_another_length = unit_rows(4, 100, 8).astype(np.float16)  # multiplying by them fails as a lost device does
    built = GpuIndex(of_another_length, torch.device("cpu"), ScanIndex(rows))
    assert np.array_equal(built.search(rows[:3], 2).rows[:, 0], [0, 1, 2])
    assert np.array_equal(built.search(rows[3:4], 2).rows[:, 0], [3])


def test_a_process_that_does_not_compute_on_a_gpu_keeps_its_rows_off_it() -> None:
    rows = unit_rows(5, 100, 16)
    behind = ScanIndex(rows)
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        assert on_gpu(rows.astype(np.float16), behind) is behind


def test_a_gpu_that_is_lost_before_it_is_used_leaves_the_rows_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise RuntimeError("CUDA error: device lost")

    rows = unit_rows(5, 100, 16)
    behind = ScanIndex(rows)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lost)
    assert on_gpu(rows.astype(np.float16), behind) is behind
