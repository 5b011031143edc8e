"""
How long it takes until a subscriber hears of an event, from the commit that made it.

    python benchmarks/events.py                       # a real server of one worker, a subscriber on each of 8 streams
    python benchmarks/events.py --streams 16 --slow 4 # four of them take nothing

Events are written into the server's catalog by this process, as another worker would, each in a transaction of its own;
the clock starts when the transaction has returned. Beside it, in the same run: the same with a burst of events in one
transaction, and how long `/healthz` takes while all streams are open, which is what streams must not touch.
"""

import argparse
import http.client
import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from report import print_heading, print_table, quantile
from serving import Serving, serving

from index.catalog import Catalog, events
from index.records.events import EventKind, NewEvent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--slow", type=int, default=0, help="of these, that take nothing at all")
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--per-second", type=float, default=20.0)
    parser.add_argument("--burst", type=int, default=1000)
    options = parser.parse_args()
    print_heading("From an event to its subscribers", options)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as server,
        closing(Catalog.open(f"sqlite:///{Path(folder) / 'catalog.db'}")) as catalog,
    ):
        quiet = _health(server, 200)
        with _listening(server, options.streams - options.slow) as heard, _deaf(server, options.slow):
            single = _each(catalog, heard, options.events, 1 / options.per_second)
            burst = _burst(catalog, heard, options.burst)
            busy = _health(server, 200)
    rows = [
        (f"one event, {options.per_second:g} a second", *_ms(single)),
        (f"each of {options.burst:,} in one transaction", *_ms(burst)),
    ]
    print_table((f"ms until heard, {options.streams - options.slow} subscribers", "median", "p99", "most"), rows)
    rows = [("no stream open", *_ms(quiet)), (f"{options.streams} streams open", *_ms(busy))]
    print_table(("`/healthz`, ms", "median", "p99", "most"), rows)


class Heard:
    """When each subscriber heard of each event."""

    def __init__(self, subscribers: int) -> None:
        self.at: list[dict[int, float]] = [{} for _ in range(subscribers)]

    def wait(self, seq: int, timeout_s: float = 30.0) -> None:
        until = time.perf_counter() + timeout_s
        while any(seq not in each for each in self.at):
            if time.perf_counter() > until:
                raise SystemExit(f"Event {seq} was not heard by everyone.")
            time.sleep(0.005)


@contextmanager
def _listening(server: Serving, count: int) -> Iterator[Heard]:
    heard = Heard(count)
    connections = [http.client.HTTPConnection(server.host, server.port, timeout=60) for _ in range(count)]
    threads = []
    for connection, at in zip(connections, heard.at, strict=True):
        connection.request("GET", "/v1/events")
        response = connection.getresponse()
        assert response.status == http.client.OK, response.status
        response.readline()  # the stream is there
        threads.append(threading.Thread(target=_hear, args=(response, at), daemon=True))
        threads[-1].start()
    yield heard
    for connection in connections:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)


def _hear(response: http.client.HTTPResponse, at: dict[int, float]) -> None:
    try:
        for line in iter(response.readline, b""):
            if line.startswith(b"data: "):
                at[json.loads(line[6:])["seq"]] = time.perf_counter()
    except (OSError, ValueError, http.client.HTTPException):
        return


@contextmanager
def _deaf(server: Serving, count: int) -> Iterator[None]:
    """Subscribers that ask, and then take nothing: what is sent to them fills the smallest of buffers."""
    sockets = []
    for _ in range(count):
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect((server.host, server.port))
        deaf.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        sockets.append(deaf)
    yield
    for deaf in sockets:
        deaf.close()


def _each(catalog: Catalog, heard: Heard, count: int, pause_s: float) -> list[float]:
    took = []
    for turn in range(count):
        seq = _tell(catalog, 1, turn)
        told = time.perf_counter()
        heard.wait(seq)
        took += [each[seq] - told for each in heard.at]
        time.sleep(pause_s)
    return took


def _burst(catalog: Catalog, heard: Heard, count: int) -> list[float]:
    seq = _tell(catalog, count, 0)
    told = time.perf_counter()
    heard.wait(seq)
    return [each[number] - told for each in heard.at for number in range(seq - count + 1, seq + 1)]


def _tell(catalog: Catalog, count: int, turn: int) -> int:
    facts = {
        "sighting_id": f"{turn:028x}",
        "item_id": f"{turn:028x}",
        "bank": "footage",
        "band": "variant",
        "score": 0.8,
    }
    new = [NewEvent(EventKind.MATCH, None, "vid.example", facts)] * count
    return catalog.database.write(lambda connection: events.append_all(connection, datetime.now(UTC), new))


def _health(server: Serving, count: int) -> list[float]:
    took = []
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=30)) as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            took.append(time.perf_counter() - began)
    return took


def _ms(took: list[float]) -> tuple[str, str, str]:
    return tuple(f"{1000 * value:.1f}" for value in (quantile(took, 0.5), quantile(took, 0.99), max(took)))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
