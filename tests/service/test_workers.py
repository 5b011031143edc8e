"""How workers come and go, without starting any."""

import json
import signal
from typing import Any

import pytest

from service.server import _Arbiter, _Gate


class Worker:
    def __init__(self, age: int, *, ready: bool) -> None:
        self.pid = 1000 + age
        self.age = age
        self.ready = bytes([ready])
        self.told_to_stop = False


class Arbiter(_Arbiter):
    """The part of it that decides, with processes that are none."""

    def __init__(self, wanted: int, *workers: Worker) -> None:
        self._num_workers = wanted
        self.WORKERS = {worker.pid: worker for worker in workers}
        self.told: list[tuple[int, int]] = []
        self.spawned = 0

    def kill_worker(self, pid: int, sig: int) -> None:
        self.told.append((pid, sig))

    def spawn_worker(self) -> None:
        self.spawned += 1

    def spawn_workers(self) -> None:
        self.spawned += self.num_workers - len(self.WORKERS)


def test_old_workers_go_on_until_the_new_ones_are_ready() -> None:
    arbiter = Arbiter(1, Worker(1, ready=True), Worker(2, ready=False))
    arbiter.manage_workers()
    assert arbiter.told == []


def test_old_workers_are_told_to_stop_once() -> None:
    arbiter = Arbiter(2, *(Worker(age, ready=True) for age in (1, 2, 3, 4)))
    arbiter.manage_workers()
    arbiter.manage_workers()
    assert sorted(arbiter.told) == [(1001, signal.SIGTERM), (1002, signal.SIGTERM)]


def test_a_worker_that_is_gone_is_replaced() -> None:
    arbiter = Arbiter(2, Worker(1, ready=True))
    arbiter.manage_workers()
    assert (arbiter.spawned, arbiter.told) == (1, [])


def test_a_reload_starts_as_many_beside_those_that_work() -> None:
    arbiter = Arbiter(2, Worker(1, ready=True), Worker(2, ready=True))
    arbiter.reload()
    assert (arbiter.spawned, arbiter.told) == (2, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", "200 OK"), ("/readyz", "503 Service Unavailable"), ("/v1/match", "503 Service Unavailable")],
)
def test_a_starting_worker_lives_and_is_not_ready(path: str, status: str) -> None:
    said: list[Any] = []
    body = b"".join(_Gate()({"PATH_INFO": path}, lambda *given: said.append(given)))
    ((told, headers),) = said
    assert told == status
    if told.startswith("503"):
        assert json.loads(body)["type"] == "/problems/not-ready"
        assert ("Retry-After", "1") in headers


def test_an_open_worker_answers_with_its_application() -> None:
    gate = _Gate()
    gate.application = lambda _environ, _start: [b"open"]
    assert list(gate({"PATH_INFO": "/healthz"}, lambda *_: None)) == [b"open"]
