"""Micro-batching: whoever waits gets an answer or an error, and one caller's trouble stays theirs."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from models.batching import Batcher, BatchStats
from models.embedder import EmbedderId, Embeddings, Prepared, Space
from models.errors import DeadlinePassed, EmbedderClosed, EmbeddingFailed, QueueFull
from models.media.types import Frame

WAIT_S = 20.0
"""Longer than anything here takes when it works."""
POISON = 66
DEADLY = 99


def shade(level: int) -> Frame:
    return np.full((4, 4, 3), level, np.uint8)


def row_of(level: int) -> Embeddings:
    angle = level / 100
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


class FakeEmbedder:
    """Embeds the brightness of a frame; fails on poison; can be held back."""

    def __init__(self) -> None:
        self.space = Space(EmbedderId("fake-0"), "fake", 2, 4, None)
        self.device = "cpu"
        self.degraded = False
        self.batches: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.started = threading.Event()

    def reference_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def query_views(self, frame: Frame) -> list[Frame]:
        return [frame, frame // 2]

    def prepare(self, view: Frame) -> Prepared:
        return int(view[0, 0, 0])

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        self.batches.append(list(batch))
        self.started.set()
        assert self.may_go_on.wait(WAIT_S)
        if DEADLY in batch:
            raise SystemExit
        if POISON in batch:
            raise ValueError("poison")
        return np.stack([row_of(level) for level in batch])

    def close(self) -> None:
        pass


@pytest.fixture
def model() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def held(model: FakeEmbedder, batcher: Batcher, callers: ThreadPoolExecutor) -> "Future[list[Embeddings]]":
    """A first caller whose batch the model is busy with until it may go on."""
    model.may_go_on.clear()
    first = callers.submit(batcher.embed_references, [shade(1)])
    assert model.started.wait(WAIT_S)
    return first


def until_waiting(batcher: Batcher, views: int) -> None:
    give_up = time.monotonic() + WAIT_S
    while batcher.depth != views:
        assert time.monotonic() < give_up
        threading.Event().wait(0.0005)


def test_each_frame_gets_the_rows_of_its_views_in_order(model: FakeEmbedder) -> None:
    batcher = Batcher(model)
    first, second = batcher.embed_queries([shade(10), shade(40)])
    assert np.array_equal(first, [row_of(10), row_of(5)])
    assert np.array_equal(second, [row_of(40), row_of(20)])
    (reference,) = batcher.embed_references([shade(7)])
    assert np.array_equal(reference, [row_of(7)])
    assert batcher.embed_queries([]) == []
    batcher.close()


def test_parts_follow_the_views_of_their_frame_and_leave_room_in_the_queue(model: FakeEmbedder) -> None:
    batcher = Batcher(model, queue_frames=6)
    parts = [[shade(20 + level), shade(30 + level)][: level % 3] for level in range(5)]
    rows = batcher.embed_references([shade(level) for level in range(5)], parts=parts)
    wanted = [[0], [1, 21], [2, 22, 32], [3], [4, 24]]
    assert len(rows) == 5
    for found, levels in zip(rows, wanted, strict=True):
        assert np.array_equal(found, [row_of(level) for level in levels])
    assert max(len(batch) for batch in model.batches) <= 3
    assert batcher.embed_references([], parts=[]) == []
    batcher.close()


def test_more_views_than_fit_in_a_batch_come_back_whole(model: FakeEmbedder) -> None:
    batcher = Batcher(model, max_batch=4)
    rows = batcher.embed_references([shade(level) for level in range(11)])
    assert np.array_equal(np.concatenate(rows), [row_of(level) for level in range(11)])
    assert max(len(batch) for batch in model.batches) == 4
    batcher.close()


def test_what_waits_while_the_model_is_busy_becomes_one_batch(model: FakeEmbedder, callers: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, max_batch=16)
    first = held(model, batcher, callers)
    others = [callers.submit(batcher.embed_references, [shade(level)]) for level in range(2, 10)]
    until_waiting(batcher, 8)
    model.may_go_on.set()
    assert [other.result(WAIT_S)[0].tolist() for other in others] == [[row_of(n).tolist()] for n in range(2, 10)]
    assert first.result(WAIT_S)
    assert sorted(model.batches[1]) == list(range(2, 10))
    batcher.close()


def test_a_batch_does_not_wait_for_more_unless_told_to(model: FakeEmbedder) -> None:
    batcher = Batcher(model, max_wait_ms=0)
    batcher.embed_references([shade(3)])
    assert model.batches == [[3]]
    batcher.close()


def test_told_to_wait_a_batch_fills_up_before_it_goes(model: FakeEmbedder, callers: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, max_batch=3, max_wait_ms=1000 * WAIT_S)
    answers = [callers.submit(batcher.embed_references, [shade(level)]) for level in (1, 2, 3)]
    for answer in answers:
        answer.result(WAIT_S)
    assert [sorted(batch) for batch in model.batches] == [[1, 2, 3]]
    batcher.close()


def test_an_incomplete_batch_goes_when_it_has_waited_long_enough(model: FakeEmbedder) -> None:
    batcher = Batcher(model, max_batch=3, max_wait_ms=1)
    batcher.embed_references([shade(5)])
    assert model.batches == [[5]]
    batcher.close()


def test_a_poison_picture_fails_alone(model: FakeEmbedder, callers: ThreadPoolExecutor) -> None:
    batcher = Batcher(model)
    first = held(model, batcher, callers)
    levels = (2, POISON, 3, 4)
    others = [callers.submit(batcher.embed_references, [shade(level)]) for level in levels]
    until_waiting(batcher, 4)
    model.may_go_on.set()
    first.result(WAIT_S)
    for level, other in zip(levels, others, strict=True):
        if level == POISON:
            with pytest.raises(EmbeddingFailed):
                other.result(WAIT_S)
        else:
            assert np.array_equal(other.result(WAIT_S)[0], [row_of(level)])
    assert batcher.embed_references([shade(8)])
    batcher.close()


def test_a_model_that_forgets_a_picture_is_an_error(model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "embed", lambda batch: np.zeros((len(batch) - 1, 2), np.float32))
    batcher = Batcher(model)
    with pytest.raises(EmbeddingFailed):
        batcher.embed_references([shade(1), shade(2)])
    batcher.close()


def test_a_full_queue_refuses_at_once_and_lets_in_again_when_it_has_room(
    model: FakeEmbedder, callers: ThreadPoolExecutor
) -> None:
    batcher = Batcher(model, queue_frames=2)
    first = held(model, batcher, callers)
    waiting = callers.submit(batcher.embed_references, [shade(2), shade(3)])
    until_waiting(batcher, 2)
    with pytest.raises(QueueFull):
        batcher.embed_references([shade(4)])
    model.may_go_on.set()
    first.result(WAIT_S)
    waiting.result(WAIT_S)
    assert batcher.embed_references([shade(4)])
    batcher.close()


def test_one_caller_with_more_frames_than_the_queue_holds_is_let_in_when_nobody_waits(model: FakeEmbedder) -> None:
    batcher = Batcher(model, queue_frames=2)
    assert len(batcher.embed_queries([shade(level) for level in range(8)])) == 8
    batcher.close()


def test_a_caller_whose_time_is_out_leaves_unembedded(model: FakeEmbedder, callers: ThreadPoolExecutor) -> None:
    batcher = Batcher(model)
    first = held(model, batcher, callers)
    with pytest.raises(DeadlinePassed):
        batcher.embed_references([shade(50)], deadline=time.monotonic() + 0.005)
    assert batcher.depth == 0
    model.may_go_on.set()
    first.result(WAIT_S)
    assert batcher.embed_references([shade(6)])
    assert [50] not in model.batches
    batcher.close()


def test_a_deadline_that_has_passed_already_costs_nothing(model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    batcher = Batcher(model)
    with monkeypatch.context() as patched:
        patched.setattr(model, "reference_views", lambda _: pytest.fail("views were cut for nobody"))
        with pytest.raises(DeadlinePassed):
            batcher.embed_references([shade(50)], deadline=time.monotonic() - 1)
    assert batcher.embed_references([shade(6)], deadline=time.monotonic() + WAIT_S)
    assert model.batches == [[6]]
    batcher.close()


def test_closing_finishes_what_waits_and_refuses_what_comes(model: FakeEmbedder, callers: ThreadPoolExecutor) -> None:
    batcher = Batcher(model)
    first = held(model, batcher, callers)
    waiting = [callers.submit(batcher.embed_references, [shade(level)]) for level in (2, 3)]
    until_waiting(batcher, 2)
    closing = callers.submit(batcher.close)
    while not batcher._closed:  # noqa: SLF001
        threading.Event().wait(0.0005)
    with pytest.raises(EmbedderClosed):
        batcher.embed_references([shade(9)])
    model.may_go_on.set()
    closing.result(WAIT_S)
    assert first.result(WAIT_S)
    assert all(answer.result(WAIT_S) for answer in waiting)
    batcher.close()


def test_closing_what_was_never_used_does_nothing(model: FakeEmbedder) -> None:
    Batcher(model).close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_thread_dies_all_who_wait_are_told_and_the_next_caller_is_served(
    model: FakeEmbedder, callers: ThreadPoolExecutor
) -> None:
    batcher = Batcher(model, max_batch=1)
    first = held(model, batcher, callers)
    thread = batcher._thread  # noqa: SLF001
    assert thread is not None
    doomed = callers.submit(batcher.embed_references, [shade(DEADLY)])
    until_waiting(batcher, 1)
    behind = callers.submit(batcher.embed_references, [shade(3)])
    until_waiting(batcher, 2)
    model.may_go_on.set()
    assert first.result(WAIT_S)
    for answer in (doomed, behind):
        with pytest.raises(EmbeddingFailed):
            answer.result(WAIT_S)
    thread.join(WAIT_S)
    assert np.array_equal(batcher.embed_references([shade(4)])[0], [row_of(4)])
    batcher.close()


def test_when_no_thread_can_be_started_the_caller_is_told_and_the_next_one_is_served(
    model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    batcher = Batcher(model)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="start"):
            batcher.embed_references([shade(3)])
    assert batcher.depth == 0
    (row,) = batcher.embed_references([shade(4)], deadline=time.monotonic() + WAIT_S)
    assert np.array_equal(row, [row_of(4)])
    batcher.close()


def test_batches_are_observed_and_a_broken_observer_harms_nobody(model: FakeEmbedder) -> None:
    seen: list[BatchStats] = []

    def observe(stats: BatchStats) -> None:
        seen.append(stats)
        raise OSError("the metrics are down")

    batcher = Batcher(model, observe=observe)
    batcher.embed_queries([shade(1), shade(2)])
    with pytest.raises(EmbeddingFailed):
        batcher.embed_references([shade(POISON), shade(7)])
    batcher.close()
    assert [(stats.size, stats.failed) for stats in seen] == [(4, 0), (2, 1)]
    assert all(stats.embed_s >= 0 and stats.oldest_wait_s >= 0 for stats in seen)


def test_many_callers_all_get_their_own_rows(model: FakeEmbedder, callers: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, queue_frames=1000, max_batch=5)

    def ask(level: int) -> bool:
        return np.array_equal(batcher.embed_queries([shade(level)])[0], [row_of(level), row_of(level // 2)])

    levels = [level for level in range(60) if POISON not in (level, level // 2)]
    assert all(callers.map(ask, levels * 5))
    batcher.close()
