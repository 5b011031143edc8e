"""Batches in order, prepared in between on a GPU, by processes beside the training on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from models.training.edits.pairs import Pairs
from models.training.errors import BatchesLost
from models.training.options import TrainingOptions
from models.training.photographs import read_photographs
from models.training.pool import Batches

AHEAD = 4
"""Batches that a worker prepares before they are asked for."""
LOOK_S = 2.0
"""How often a worker that gives nothing is checked to be alive, and by a worker whether anyone is left to take."""


class Feed(Protocol):
    """Batches from one step on; close it to end what prepares them."""

    def next(self) -> Pairs: ...

    def close(self) -> None: ...


class InlineFeed:
    """Makes each batch when it is asked for, on the device."""

    def __init__(self, options: TrainingOptions, photographs: torch.Tensor, device: torch.device, start: int) -> None:
        self._batches = Batches(options, photographs, 0, device)
        self._step = start

    def next(self) -> Pairs:
        pairs = self._batches.batch(self._step)
        self._step += 1
        return pairs

    def close(self) -> None:
        pass


class WorkerFeed:
    """Has worker w of n make the batches of steps w, w + n, w + 2 n, …"""

    def __init__(self, options: TrainingOptions, start: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = options.workers
        self._step = start
        self._queues = [context.Queue(AHEAD) for _ in range(self._count)]
        self._processes: list[SpawnProcess] = [
            context.Process(target=_work, args=(options, worker, start, self._queues[worker]), daemon=True)
            for worker in range(self._count)
        ]
        for process in self._processes:
            process.start()

    def next(self) -> Pairs:
        """
        Raises:
            BatchesLost: the worker whose turn it is has died.
        """
        worker = self._step % self._count
        while True:
            try:
                near, hard, origins = self._queues[worker].get(timeout=LOOK_S)
                break
            except queue.Empty:
                if not self._processes[worker].is_alive():
                    raise BatchesLost(f"worker {worker} died at step {self._step}; take the run up again") from None
        self._step += 1
        return Pairs(torch.from_numpy(near), torch.from_numpy(hard), torch.from_numpy(origins))

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for waiting in self._queues:
            waiting.cancel_join_thread()
            waiting.close()


def open_feed(options: TrainingOptions, photographs: torch.Tensor, device: torch.device, start: int) -> Feed:
    """Workers where the options want some and the device is the CPU."""
    if options.workers and device.type == "cpu":
        return WorkerFeed(options, start)
    return InlineFeed(options, photographs, device, start)


def _work(
    options: TrainingOptions, worker: int, start: int, into: multiprocessing.Queue[tuple[np.ndarray, ...]]
) -> None:
    torch.set_num_threads(1)
    parent = os.getppid()
    # Nobody may be left to read what is still in the queue: leaving must not wait for that.
    into.cancel_join_thread()
    photographs = _photographs(options.photos)
    batches = Batches(options, photographs, worker, torch.device("cpu"))
    for step in _turns(start, worker, options):
        pairs = batches.batch(step)
        made = (pairs.near.numpy(), pairs.hard.numpy(), pairs.origins.numpy())
        while os.getppid() == parent:
            try:
                into.put(made, timeout=LOOK_S)
                break
            except queue.Full:
                continue
        else:
            return
    # What was put last may still be on its way: stay until the training ends this process, or is gone itself.
    while os.getppid() == parent:
        time.sleep(LOOK_S)


def _turns(start: int, worker: int, options: TrainingOptions) -> Iterator[int]:
    first = start + (worker - start) % options.workers
    yield from range(first, options.steps, options.workers)


def _photographs(folder: Path | None) -> torch.Tensor:
    return torch.zeros(0, 3, 1, 1, dtype=torch.uint8) if folder is None else read_photographs(folder).training
