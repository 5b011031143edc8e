"""
Micro-batching: many threads ask, one owns the model.

A batch is whatever waits when the model becomes free. On the CPU nothing is gained by waiting for more; on a GPU a few
milliseconds are. Whoever waits for an answer gets one or an error: also when its time runs out, when a neighbour in the
batch is poison, when the thread dies and when the service shuts down.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.embedder import Embedder, Embeddings, Prepared, Space
from models.errors import DeadlinePassed, EmbedderClosed, EmbeddingError, EmbeddingFailed, QueueFull
from models.media.types import Frame


@dataclass(frozen=True, slots=True)
class BatchStats:
    """What one batch was like."""

    size: int
    """Views in it."""
    failed: int
    """Views the model could not embed."""
    embed_s: float
    oldest_wait_s: float
    """How long the first of them had waited."""


@dataclass(slots=True, eq=False)
class _Job:
    """The views of one caller, and what has become of them."""

    views: list[Prepared]
    deadline: float | None
    queued_at: float
    rows: dict[int, Embeddings] = field(default_factory=dict)
    error: EmbeddingError | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def answer(self, position: int, row: Embeddings) -> None:
        self.rows[position] = row
        if len(self.rows) == len(self.views):
            self.done.set()

    def fail(self, error: EmbeddingError) -> None:
        if self.error is None:
            self.error = error
        self.done.set()


_Waiting = tuple[_Job, int]
"""A view in the queue: whose it is, and which of theirs."""


class Batcher:
    """
    Embeds frames for many threads with one model.

    The callers' threads cut and prepare their views themselves; only the model is waited for.

    Args:
        embedder: stays the caller's to close, after this is closed.
        queue_frames: how many views may wait; one caller with more is let in when nobody waits.
        max_batch: how many views the model takes at once.
        max_wait_ms: how long an incomplete batch waits for more; 0 on a CPU.
        observe: called after each batch, from the model's thread; what it raises is ignored.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        queue_frames: int = 64,
        max_batch: int = 16,
        max_wait_ms: float = 0.0,
        observe: Callable[[BatchStats], None] | None = None,
    ) -> None:
        self._embedder = embedder
        self._queue_frames = queue_frames
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000
        self._observe = observe
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def space(self) -> Space:
        return self._embedder.space

    @property
    def device(self) -> str:
        return self._embedder.device

    @property
    def degraded(self) -> bool:
        return self._embedder.degraded

    @property
    def depth(self) -> int:
        """How many views wait."""
        return len(self._queue)

    def embed_queries(self, frames: Sequence[Frame], deadline: float | None = None) -> list[Embeddings]:
        """
        The rows of each frame's query views.

        Args:
            frames: any number.
            deadline: the `time.monotonic()` instant after which nobody wants the answer.

        Returns:
            for each frame an array of shape (views, dim).

        Raises:
            QueueFull: at once, when too many views wait.
            DeadlinePassed: its turn did not come in time.
            EmbeddingFailed: the model fails on one of these frames.
            EmbedderClosed: `close` was called.
        """
        self._admit(len(frames), deadline)
        return self._embed([self._embedder.query_views(frame) for frame in frames], deadline)

    def embed_references(
        self,
        frames: Sequence[Frame],
        deadline: float | None = None,
        parts: Sequence[Sequence[Frame]] | None = None,
    ) -> list[Embeddings]:
        """
        The rows of each frame's reference views; otherwise as `embed_queries`.

        Args:
            frames: any number.
            deadline: as there.
            parts: of each frame, what else is to be embedded as it comes; its rows follow those of the views. Asked
                for in pieces that leave room for others in the queue.
        """
        self._admit(len(frames), deadline)
        if parts is None:
            return self._embed([self._embedder.reference_views(frame) for frame in frames], deadline)
        views = [[*self._embedder.reference_views(frame), *beside] for frame, beside in zip(frames, parts, strict=True)]
        return [rows for some in _pieces(views, self._queue_frames // 2) for rows in self._embed(some, deadline)]

    def close(self) -> None:
        """Finish what is queued, refuse what comes, end the thread. Calling it again does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _admit(self, frames: int, deadline: float | None) -> None:
        """Refuse before any work is done for a caller that would be refused after it."""
        if deadline is not None and deadline <= time.monotonic():
            raise _too_late()
        with self._changed:
            self._refuse(frames)

    def _refuse(self, views: int) -> None:
        if self._closed:
            raise EmbedderClosed("The service is shutting down.")
        if self._queue and len(self._queue) + views > self._queue_frames:
            raise QueueFull("Too many pictures are waiting to be embedded.")

    def _embed(self, views: list[list[Frame]], deadline: float | None) -> list[Embeddings]:
        if not views:
            return []
        prepared = [self._embedder.prepare(view) for of_frame in views for view in of_frame]
        job = _Job(prepared, deadline, time.monotonic())
        self._submit(job)
        self._await(job)
        rows = np.stack([job.rows[position] for position in range(len(prepared))])
        ends = np.cumsum([len(of_frame) for of_frame in views])
        return np.split(rows, ends[:-1])

    def _submit(self, job: _Job) -> None:
        with self._changed:
            self._refuse(len(job.views))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="embedder", daemon=True)
                thread.start()  # may fail when there are too many; then nothing must seem to be under way
                self._thread = thread
            self._queue.extend((job, position) for position in range(len(job.views)))
            self._changed.notify_all()

    def _await(self, job: _Job) -> None:
        patience_s = None if job.deadline is None else max(0.0, job.deadline - time.monotonic())
        if not job.done.wait(patience_s):
            # The thread may finish it this very instant, which is no harm: nobody looks at its rows any more.
            job.fail(_too_late())
            with self._changed:
                self._queue = deque(waiting for waiting in self._queue if waiting[0] is not job)
        if job.error is not None:
            raise job.error

    def _run(self) -> None:
        """The thread. If it dies, of whatever, everybody who waits is told, and the next caller starts another."""
        batch: list[_Waiting] = []
        try:
            while batch := self._next():
                self._embed_batch(batch)
        finally:
            with self._changed:
                self._thread = None
                abandoned = [*batch, *self._queue]
                self._queue.clear()
            for job, _ in abandoned:
                if not job.done.is_set():
                    job.fail(EmbeddingFailed("The model stopped while this picture waited for it; try again."))

    def _next(self) -> list[_Waiting]:
        """The next batch; empty when closed and drained."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._queue and self._max_wait_s:
                    patience_s = self._queue[0][0].queued_at + self._max_wait_s - time.monotonic()
                    self._changed.wait_for(lambda: len(self._queue) >= self._max_batch or self._closed, patience_s)
                batch = self._taken()
                if batch or (self._closed and not self._queue):
                    return batch

    def _taken(self) -> list[_Waiting]:
        """Up to a batch of views that somebody still wants."""
        batch: list[_Waiting] = []
        now = time.monotonic()
        while self._queue and len(batch) < self._max_batch:
            job, position = self._queue.popleft()
            if job.deadline is not None and job.deadline <= now:
                job.fail(_too_late())
            if job.error is None:
                batch.append((job, position))
        return batch

    def _embed_batch(self, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        failed = 0
        try:
            rows = self._rows(batch)
        except Exception as error:  # noqa: BLE001 whatever the model raises must reach the caller, not end the thread
            failed = self._retry_alone(batch, error)
        else:
            for (job, position), row in zip(batch, rows, strict=True):
                job.answer(position, row)
        if self._observe is not None:
            oldest_wait_s = started - min(job.queued_at for job, _ in batch)
            with contextlib.suppress(Exception):
                self._observe(BatchStats(len(batch), failed, time.monotonic() - started, oldest_wait_s))

    def _retry_alone(self, batch: list[_Waiting], cause: Exception) -> int:
        """Embed each view by itself, so that poison fails alone; how many failed."""
        if len(batch) == 1:
            batch[0][0].fail(_failure(cause))
            return 1
        failed = 0
        for job, position in batch:
            if job.error is not None:
                continue  # another of its views has failed already, or its time ran out
            try:
                job.answer(position, self._rows([(job, position)])[0])
            except Exception as error:  # noqa: BLE001 as above
                failed += 1
                job.fail(_failure(error))
        return failed

    def _rows(self, batch: list[_Waiting]) -> Embeddings:
        rows = self._embedder.embed([job.views[position] for job, position in batch])
        if len(rows) != len(batch):
            raise EmbeddingFailed("The model did not answer every picture.")
        return rows


def _pieces(views: Iterable[list[Frame]], most: int) -> Iterator[list[list[Frame]]]:
    """One frame's views stay together; so do those of as many frames as have no more than that."""
    piece: list[list[Frame]] = []
    for of_frame in views:
        if piece and sum(map(len, piece)) + len(of_frame) > most:
            yield piece
            piece = []
        piece.append(of_frame)
    if piece:
        yield piece


def _too_late() -> DeadlinePassed:
    return DeadlinePassed("The time for this request ran out.")


def _failure(error: Exception) -> EmbeddingFailed:
    if isinstance(error, EmbeddingFailed):
        return error
    failure = EmbeddingFailed("The model failed on this picture.")
    failure.__cause__ = error
    return failure
