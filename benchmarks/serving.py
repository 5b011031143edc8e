"""The real server, started for a benchmark and stopped after it."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

READY_WITHIN_S = 120
PROGRAM = (sys.executable, "-c", "from service.cli import main; main()")


@dataclass(frozen=True)
class Serving:
    """A server that is ready, and how long it took: to listen and to be ready, in seconds."""

    host: str
    port: int
    pid: int
    listening_s: float
    ready_s: float


@contextmanager
def serving(data_dir: Path, *flags: str) -> Iterator[Serving]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AFTERIMAGE_")}
    command = [*PROGRAM, "serve", "--port", "0", "--data-dir", str(data_dir), "--log-level", "error", *flags]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        host, port = _address(process)
        listening_s = time.perf_counter() - started
        _until_ready(host, port)
        yield Serving(host, port, process.pid, listening_s, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _address(process: "subprocess.Popen[str]") -> tuple[str, int]:
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"http://[^\s/]+", line)
        if found:
            Thread(target=process.stderr.read, daemon=True).start()  # or the pipe fills up
            parts = urlsplit(found[0])
            return str(parts.hostname), int(parts.port or 80)
    raise SystemExit("The server ended before it listened.")


def _until_ready(host: str, port: int) -> None:
    until = time.perf_counter() + READY_WITHIN_S
    while time.perf_counter() < until:
        connection = http.client.HTTPConnection(host, port, timeout=READY_WITHIN_S)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)
    raise SystemExit("The server did not become ready.")
