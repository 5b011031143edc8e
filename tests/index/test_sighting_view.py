"""The view of sightings against the plain arrays that it holds."""

import errno
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.records.rows import Embeddings
from index.records.sightings import SightedHashes, SightedRows
from index.records.spaces import SpaceId
from index.sightings.hash_store import HashStore
from index.sightings.row_store import RowStore
from index.sightings.view import SightingView

UnitRows = Callable[[int], Embeddings]


@pytest.fixture(params=["memory", "files"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "files" else None


def filled(unit_rows: UnitRows, folder: Path | None) -> tuple[RowStore, Embeddings, NDArray[np.int64]]:
    rows, keys = unit_rows(100), np.repeat(np.arange(1, 51), 2)
    store = RowStore(rows.shape[1], folder, chunk_rows=16)
    for start in range(0, 100, 7):
        store.add(keys[start : start + 7], rows[start : start + 7])
    return store, rows, keys


def over(store: RowStore, queries: Embeddings, least: float) -> list[int]:
    """Whose rows are near; each row and score must be what it is said to be."""
    found: list[int] = []
    for some in store.over(queries, least):
        scores = (queries[some.queries] * some.rows[some.places].astype(np.float32)).sum(axis=1)
        assert np.allclose(scores, some.scores, atol=1e-3)
        found += some.keys.tolist()
    return found


def test_the_nearest_rows_are_found_over_all_chunks(unit_rows: UnitRows, folder: Path | None) -> None:
    store, rows, keys = filled(unit_rows, folder)
    queries = unit_rows(5)
    found = store.near(queries, 7)
    scores = queries @ rows.astype(np.float16).astype(np.float32).T
    wanted = np.argsort(-scores, axis=1)[:, :7]
    assert found.keys.tolist() == keys[wanted].tolist()
    assert np.allclose(found.scores, np.take_along_axis(scores, wanted, 1), atol=1e-5)


def test_everything_over_a_score_is_found_and_nothing_that_is_too_old(unit_rows: UnitRows, folder: Path | None) -> None:
    store, rows, keys = filled(unit_rows, folder)
    query = unit_rows(1)
    for floor in (0, 3, 20, 51):
        store.drop_before(floor)
        scores = (query @ rows.astype(np.float16).astype(np.float32).T)[0]
        wanted = (scores >= 0.1) & (keys >= floor)
        assert over(store, query, 0.1) == keys[wanted].tolist()
        assert set(store.near(query, 200).keys[0].tolist()) - {-1} == set(keys[keys >= floor].tolist())


def test_the_oldest_files_are_deleted_as_soon_as_nothing_in_them_is_kept(unit_rows: UnitRows, tmp_path: Path) -> None:
    store, _, _ = filled(unit_rows, tmp_path)
    assert len(list(tmp_path.iterdir())) == 6
    store.drop_before(17)
    assert len(list(tmp_path.iterdir())) == 4
    assert len(store) == 100 - 32
    store.clear()
    assert list(tmp_path.iterdir()) == []


def test_the_rows_of_one_sighting_are_given(unit_rows: UnitRows, folder: Path | None) -> None:
    store, rows, _ = filled(unit_rows, folder)
    assert np.allclose(store.of(30), rows[58:60], atol=1e-3)
    assert store.of(1000).shape == (0, rows.shape[1])


def test_what_is_many_is_put_together_and_sieved_beside_and_nothing_is_lost(
    unit_rows: UnitRows, tmp_path: Path
) -> None:
    store, rows, keys = filled(unit_rows, tmp_path)
    assert store.tend(64)
    assert store.near(rows[:1], 1).keys.tolist() == [[1]], "searching goes on"
    store.drop_before(9)
    store.settle()
    assert not store.tend(64)
    assert [path.name for path in tmp_path.iterdir()] == ["rows-sieved-7"], "what it was made of is deleted"
    query = unit_rows(1)
    scores = (query @ rows.astype(np.float16).astype(np.float32).T)[0]
    scores[keys < 9] = -2.0
    assert store.near(query, 3).keys.tolist() == [keys[np.argsort(-scores)[:3]].tolist()]
    assert over(store, query, 0.1) == keys[scores >= 0.1].tolist()
    store.drop_before(50)
    assert len(over(store, query, -1.0)) == 2
    store.drop_before(51)
    store.add(np.arange(60, 76), unit_rows(16))
    assert store.near(query, 1).keys[0, 0] >= 60
    store.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_fails_costs_no_row(
    unit_rows: UnitRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    store, rows, _ = filled(unit_rows, tmp_path)
    assert store.tend(64)
    store.settle()
    assert not store.tend(64), "not again with the same rows"
    assert "compared one by one" in caplog.text
    assert store.near(rows[:1], 1).keys.tolist() == [[1]]
    assert not list(tmp_path.glob("*sieved*"))


def test_a_build_that_has_no_room_is_given_up_and_searching_goes_on(
    unit_rows: UnitRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("index.engines.ladder.write_rows", full)
    store, rows, _ = filled(unit_rows, tmp_path)
    assert not store.tend(64)
    assert not store.tend(64), "not again with the same rows"
    assert caplog.text.count("compared one by one") == 1
    assert store.near(rows[:1], 1).keys.tolist() == [[1]]
    assert not list(tmp_path.glob("*sieved*"))


def test_hashes_grow_are_dropped_and_are_found_by_distance() -> None:
    source = np.random.default_rng(3)
    hashes = source.integers(0, 256, (5_000, 32), np.uint8)
    qualities = np.where(np.arange(5_000) % 10 == 0, 20, 80).astype(np.int16)
    store = HashStore()
    for start in range(0, 5_000, 900):
        some = slice(start, min(start + 900, 5_000))
        keys = np.arange(some.start, some.stop)
        store.add(SightedHashes(keys, keys * 0, hashes[some], qualities[some]))
        store.drop_before(some.start - 500)
    near = hashes[[4_700, 4_801]].copy()
    near[0, 0] ^= 0xFF
    assert len(store) == 1_000
    lines, keys, far = store.within(near, 31)
    assert (lines.tolist(), keys.tolist(), far.tolist()) == ([1], [4_801], [0]), "the other's hash is not trusted"
    assert store.near(near, 4, 31)[1].tolist() == [4_801]
    assert store.of(4_700).tolist() == [hashes[4_700].tolist()]
    assert store.of(10).shape == (0, 32)


def test_what_floods_is_searched_in_memory_that_does_not_grow_with_it(unit_rows: UnitRows) -> None:
    """Held at once, the pairs would take twice as much here; with a million sightings it was gigabytes."""
    row, count = unit_rows(1), 10_000
    keys = np.arange(1, count + 1)
    store, hashes = RowStore(row.shape[1]), HashStore()
    store.add(keys, np.repeat(row, count, axis=0))
    hashes.add(SightedHashes(keys, keys * 0, np.zeros((count, 32), np.uint8), np.full(count, 90, np.int16)))
    queries = np.repeat(row, 64, axis=0)
    tracemalloc.start()
    pairs = sum(len(some.keys) for some in store.over(queries, 0.5))
    lines, _, _ = hashes.within(np.full((300, 32), 0xFF, np.uint8), 31)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pairs == 64 * count
    assert len(lines) == 0
    assert most < 20_000_000


def test_spaces_that_are_gone_are_let_go(unit_rows: UnitRows) -> None:
    view = SightingView()
    keys = np.array([1, 1, 2])
    rows = SightedRows(keys, keys * 0, np.array([True, False, True]), unit_rows(3))
    view.add(SpaceId("old"), rows)
    view.add(SpaceId("new"), rows)
    assert (len(view.spaces[SpaceId("old")].wholes), len(view.spaces[SpaceId("old")].parts)) == (2, 1)
    view.keep_spaces([SpaceId("new")])
    assert list(view.spaces) == ["new"]
