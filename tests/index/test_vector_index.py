"""
What every engine behind the VectorIndex seam must do.

A new engine adds a line to ENGINES and says how much it may miss.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.flat import FlatIndex
from index.records import Embeddings, RowMask
from index.scan import ScanIndex
from index.vectors import BuildIndex, Neighbours, VectorIndex

ROUNDING = 2e-6


@dataclass(frozen=True, slots=True)
class Engine:
    build: BuildIndex
    recall: float = 1.0
    """Of the true neighbours, the share that must be found."""
    score_error: float = ROUNDING


ENGINES = {"flat": Engine(FlatIndex), "scan": Engine(ScanIndex)}


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


def recall_of(found: Neighbours, true: Neighbours) -> float:
    """A row that scores as the last true one does counts for it: which of equals is found is open."""
    hits = total = 0
    for line in range(len(true.rows)):
        wanted = true.rows[line] >= 0
        total += int(wanted.sum())
        bar = true.scores[line][wanted].min(initial=np.inf) - ROUNDING
        hits += int(np.sum(found.scores[line] >= bar))
    return 1.0 if total == 0 else hits / total


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    count=st.one_of(st.integers(0, 40), st.integers(900, 2500)),
    dim=st.sampled_from([1, 3, 16, 40]),
    queries=st.integers(1, 9),
    k=st.integers(1, 30),
    allowed_share=st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]),
)
@pytest.mark.parametrize("name", ENGINES)
def test_the_neighbours_are_those_of_the_definition(
    *, name: str, seed: int, count: int, dim: int, queries: int, k: int, allowed_share: float | None
) -> None:
    engine = ENGINES[name]
    embeddings, asked = unit_rows(seed, count, dim), unit_rows(seed + 1, queries, dim)
    allowed = None if allowed_share is None else np.random.default_rng(seed).random(count) < allowed_share
    found = engine.build(embeddings).search(asked, k, allowed)
    true = true_neighbours(embeddings, asked, k, allowed)
    assert found.rows.shape == found.scores.shape == (queries, k)
    assert recall_of(found, true) >= engine.recall
    present = found.rows >= 0
    assert np.array_equal(present, true.rows >= 0)
    assert np.all(np.isneginf(found.scores[~present]))
    assert np.all(found.scores[:, :-1] >= found.scores[:, 1:])
    lines, _ = np.nonzero(present)
    exact = np.einsum("nd,nd->n", asked[lines], embeddings[found.rows[present]])
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
