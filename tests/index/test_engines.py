"""Which engine is chosen, what is written, and what is refused."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from index.engines import ladder
from index.engines.description import CurvePoint, Engine, IndexDescription
from index.engines.files import write_index
from index.engines.halves import whole
from index.engines.tuning import HeldOut, RecallTarget, Setting, hold_out, steps, tune
from index.engines.vectors import Neighbours
from index.errors import UnusableIndex
from index.records.rows import Embeddings


def unit_rows(seed: int, count: int, dim: int) -> Embeddings:
    values = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    normal: Embeddings = values / np.linalg.norm(values, axis=1, keepdims=True)
    return normal


def written(folder: Path, rows: Embeddings) -> Path:
    ladder.write_rows(folder, [rows[:7], rows[7:]], *rows.shape)
    return folder


@pytest.fixture(scope="module", params=Engine)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IndexDescription]:
    """Of 600 rows, once for each engine; to be copied before it is harmed."""
    faiss.omp_set_num_threads(1)
    folder = written(tmp_path_factory.mktemp("built"), unit_rows(2, 600, 16))
    return folder, ladder.build(request.param, folder, RecallTarget(queries=20))


def test_a_view_whose_size_hovers_is_not_rebuilt_as_another_engine_each_time() -> None:
    grown = ladder.FEW_ROWS
    assert ladder.choose(grown - 1) is Engine.FLAT
    assert ladder.choose(grown, Engine.FLAT) is Engine.PQ
    assert ladder.choose(grown - 1, Engine.PQ) is Engine.PQ
    assert ladder.choose(grown // 2, Engine.PQ) is Engine.FLAT


def test_the_operator_may_choose_any_engine() -> None:
    assert ladder.choose(10, None, Engine.IVF) is Engine.IVF
    assert ladder.choose(10_000_000, Engine.PQ, Engine.FLAT) is Engine.FLAT


def test_every_number_in_half_precision_becomes_the_same_in_single() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    assert np.array_equal(whole(finite).view(np.uint32), finite.astype(np.float32).view(np.uint32))


def test_rows_come_back_from_their_file_in_half_precision(tmp_path: Path) -> None:
    rows = unit_rows(1, 20, 6)
    assert np.array_equal(ladder.read_rows(written(tmp_path, rows)), rows.astype(np.float16))


def test_other_rows_than_announced_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="20 rows were given where 21"):
        ladder.write_rows(tmp_path, [unit_rows(1, 20, 6)], 21, 6)


def test_a_description_survives_the_manifest(built: tuple[Path, IndexDescription]) -> None:
    folder, description = built
    again = IndexDescription.from_json(json.loads(json.dumps(description.to_json())))
    assert again == description
    assert len(ladder.open_index(folder, again, 16)) == 600


def missing(folder: Path, description: IndexDescription) -> IndexDescription:
    (folder / description.files[0]).unlink()
    return description


def truncated(folder: Path, description: IndexDescription) -> IndexDescription:
    file = folder / description.files[0]
    file.write_bytes(file.read_bytes()[:100])
    return description


def of_other_rows(folder: Path, description: IndexDescription) -> IndexDescription:
    written(folder, unit_rows(3, 599, 16))
    return IndexDescription(description.engine, 599, 16, description.files, 1.0, description.parameters)


def of_another_shape(_: Path, description: IndexDescription) -> IndexDescription:
    return IndexDescription(description.engine, 601, 16, description.files, 1.0, description.parameters)


def without_rows(folder: Path, description: IndexDescription) -> IndexDescription:
    (folder / ladder.ROWS_FILE).unlink()
    return description


@pytest.mark.parametrize("harm", [missing, truncated, of_other_rows, of_another_shape, without_rows])
def test_files_that_are_not_what_they_are_said_to_be_are_refused(
    built: tuple[Path, IndexDescription],
    harm: Callable[[Path, IndexDescription], IndexDescription],
    tmp_path: Path,
) -> None:
    folder, description = built
    harmed = harm(Path(shutil.copytree(folder, tmp_path / "copy")), description)
    with pytest.raises(UnusableIndex):
        ladder.open_index(tmp_path / "copy", harmed, 16)


@pytest.mark.parametrize("harm", [{"engine": "another"}, {"rows": None}, {"parameters": [1]}, {"curve": [{}]}])
def test_a_description_that_is_not_ours_is_refused(harm: dict[str, object]) -> None:
    point = CurvePoint({"cells": 1}, 1.0, 1.0, 0.1)
    ours = IndexDescription(Engine.FLAT, 1, 1, (), 2.0, {}, (point,)).to_json()
    with pytest.raises(UnusableIndex):
        IndexDescription.from_json({**ours, **harm})


def test_held_out_queries_are_as_near_their_rows_as_edited_copies() -> None:
    rows = unit_rows(4, 2000, 64).astype(np.float16)
    tuning, proof = hold_out(rows, RecallTarget(queries=100))
    for part in (tuning, proof):
        np.testing.assert_allclose(np.linalg.norm(part.queries, axis=1), 1, atol=1e-5)
        assert np.all((part.nearest[:, 0] > 0.49) & (part.nearest[:, 0] < 0.96))
    assert not np.any((tuning.queries @ proof.queries.T) > 0.999)


def test_tuning_takes_the_least_that_suffices_and_proves_it_on_other_queries() -> None:
    queries = unit_rows(5, 30, 8)
    halves = HeldOut(queries[:15], np.ones((15, 10), np.float32)), HeldOut(queries[15:], np.ones((15, 10), np.float32))
    asked: dict[int, int] = {}

    def engine(setting: Setting) -> Callable[[Embeddings, int], Neighbours]:
        def search(query: Embeddings, k: int) -> Neighbours:
            asked[setting.cells] = asked.get(setting.cells, 0) + len(query)
            score = 1.0 if setting.cells >= 5 else 0.0
            return Neighbours(np.zeros((1, k), np.int64), np.full((1, k), score, np.float32))

        return search

    line = [Setting(cells) for cells in range(1, 9)]
    tuned = tune(engine, [line], halves, RecallTarget(queries=15))
    assert tuned is not None
    assert tuned.setting.cells >= 5
    assert {5, 4} <= asked.keys()
    assert asked[tuned.setting.cells] == 30
    last = tuned.curve[-1]
    assert (last.planted, last.overlap, last.parameters["cells"]) == (1.0, 1.0, tuned.setting.cells)


def test_tuning_takes_nothing_where_nothing_suffices() -> None:
    half = HeldOut(unit_rows(6, 4, 8), np.ones((4, 10), np.float32))

    def engine(_: Setting) -> Callable[[Embeddings, int], Neighbours]:
        return lambda _, k: Neighbours(np.zeros((1, k), np.int64), np.zeros((1, k), np.float32))

    assert tune(engine, [[Setting(1), Setting(2)]], (half, half), RecallTarget()) is None


def test_a_full_disk_is_an_error_and_not_a_short_file() -> None:
    index = faiss.IndexFlatIP(64)
    index.add(unit_rows(7, 2000, 64))
    with pytest.raises(OSError, match="No space left"):
        write_index(index, Path("/dev/full"))


def test_steps_reach_the_most() -> None:
    assert steps(1) == [1]
    assert steps(10) == [1, 2, 3, 4, 6, 8, 10]


def test_a_search_takes_no_more_than_the_thread_it_runs_in(built: tuple[Path, IndexDescription]) -> None:
    folder, described = built
    index = ladder.open_index(folder, described, 16)
    started: list[int] = []

    def search() -> None:
        faiss.omp_set_num_threads(4)  # what a thread begins with on a machine of so many cores
        before = threads_of_this_process()
        index.search(unit_rows(3, 2, 16), 5)
        started.append(threads_of_this_process() - before)

    searcher = threading.Thread(target=search)
    searcher.start()
    searcher.join()
    assert started[0] <= 0


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
