"""The real server: two workers, one log, started once."""

import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from index.errors import DataDirectoryInUse
from service.server import run
from service.settings import Settings

START_S = 90.0
BODY_TIMEOUT_MS = 1500
PROGRAM = """
from service.server import run
from service.settings import load_settings
run(load_settings(), on_listening=lambda url: print(url, flush=True), on_ready=lambda url: print("ready", flush=True))
"""

Ask = Callable[..., tuple[int, Any]]


class Server:
    """A running service, and what it says."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.workers: list[int] = []
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AFTERIMAGE_")},
            "AFTERIMAGE_DATA_DIR": str(data_dir),
            "AFTERIMAGE_PORT": "0",
            "AFTERIMAGE_TORCH_THREADS": "1",
            "AFTERIMAGE_DECODE_PROCESSES": "1",
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.logged: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=self._hear), threading.Thread(target=self._read_log)]
        for reader in self._readers:
            reader.start()

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "image/png") -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def listen(self) -> None:
        self.host = self.said.get(timeout=START_S).removeprefix("http://").strip()

    def wait_for(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """What was logged under this name, once it was logged so often."""
        seen: list[dict[str, Any]] = []
        while len(seen) < times:
            line = self.logged.get(timeout=START_S)
            if line["event"] == event:
                seen.append(line)
        return seen

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    def _hear(self) -> None:
        for line in self.process.stdout or ():
            self.said.put(line)

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self.logged.put(json.loads(line))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("data")
    server = Server(data_dir, AFTERIMAGE_WORKERS="2", AFTERIMAGE_BODY_TIMEOUT_MS=str(BODY_TIMEOUT_MS))
    try:
        server.listen()
        server.workers = [line["pid"] for line in server.wait_for("ready", times=2)]
        yield server
    finally:
        server.stop()


def request_counts(server: Server) -> dict[str, float]:
    """By route, of all workers."""
    connection = http.client.HTTPConnection(server.host, timeout=30)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    lines = answer.read().decode().splitlines()
    connection.close()
    assert answer.status == 200
    counted = [line for line in lines if line.startswith("afterimage_request_seconds_count")]
    return {line.split('route="')[1].split('"')[0]: float(line.split()[-1]) for line in counted}


def on_both(server: Server, ask: Callable[[], tuple[int, Any]]) -> list[tuple[int, Any]]:
    """The same question, again and again on connections of their own, until both workers have answered it."""
    answers: list[tuple[int, Any]] = []
    workers: set[int] = set()
    with ThreadPoolExecutor(6) as callers:
        for _ in range(20):
            fresh = [future.result() for future in [callers.submit(ask) for _ in range(6)]]
            answers += fresh
            workers |= {line["pid"] for line in server.wait_for("request", times=len(fresh))}
            if len(workers) == 2:
                return answers
    raise AssertionError("one worker answered everything")


def test_what_is_banked_is_found_by_both_workers_and_what_is_removed_by_neither(
    server: Server, picture: Callable[..., Image.Image], encoded: Callable[..., bytes]
) -> None:
    original = picture(7, (320, 240))
    copy = encoded(original.crop((8, 6, 312, 234)), "PNG")
    status, _ = server.ask("PUT", "/v1/banks/first", b'{"purpose": "harmful"}', "application/json")
    assert status == 201
    status, item = server.ask("POST", "/v1/banks/first/items", encoded(original, "PNG"))
    assert status == 201
    server.wait_for("request", times=2)
    path = f"/v1/match?min_band=none&min_index_version={item['index_version']}"
    for status, answer in on_both(server, lambda: server.ask("POST", path, copy)):
        assert status == 200
        assert [match["item_id"] for match in answer["matches"]] == [item["item_id"]]
        assert answer["matches"][0]["semantic"]["score"] > 0.5
    status, _ = server.ask("DELETE", f"/v1/banks/first/items/{item['item_id']}")
    assert status == 200
    server.wait_for("request")
    for status, answer in on_both(server, lambda: server.ask("POST", "/v1/match?min_band=none", copy)):
        assert (status, answer["matches"]) == (200, [])


def test_the_figures_of_all_workers_are_one(server: Server) -> None:
    answers = on_both(server, lambda: server.ask("GET", "/healthz"))
    assert request_counts(server)["/healthz"] == len(answers)


def test_visitors_who_do_not_finish_or_do_not_leave_hold_nobody_up(server: Server) -> None:
    with ExitStack() as stack:

        def visit(said: bytes) -> socket.socket:
            host, port = server.host.split(":")
            visitor = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            visitor.sendall(said)
            return visitor

        began = time.monotonic()
        unfinished = [visit(b"POST /v1/match HT") for _ in range(4)]
        for _ in range(8):  # each would have kept a worker from accepting for two seconds
            visit(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert server.ask("GET", "/healthz")[0] == 200
        assert time.monotonic() - began < 4.0
        assert [visitor.recv(100) for visitor in unfinished] == [b""] * len(unfinished)
    server.wait_for("request", times=9)


def test_what_is_no_http_is_answered_and_logged_without_what_was_sent(server: Server) -> None:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as visitor:
        visitor.sendall(b"GET /v1/banks/somebody nonsense\r\n\r\n")
        head, _, body = visitor.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["type"] == "/problems/bad-request"
    (line,) = server.wait_for("request refused")
    assert "somebody" not in json.dumps(line) + body.decode()


def test_a_worker_that_ends_is_replaced_and_leaves_what_is_shared_to_the_others(server: Server) -> None:
    os.kill(server.workers[0], signal.SIGTERM)
    server.wait_for("ready")
    assert request_counts(server)["/healthz"] > 0
    with pytest.raises(DataDirectoryInUse):
        run(Settings(data_dir=server.data_dir, port=0))


def test_it_stops_when_told_and_nothing_is_left(server: Server) -> None:
    assert server.stop() == 0
