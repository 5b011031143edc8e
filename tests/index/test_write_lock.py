"""On SQLite: whoever writes or checkpoints holds the lock, and everyone gets a turn."""

import fcntl
import os
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.catalog.storage.writelock import WriteLock
from index.records.banks import Purpose

WRITE_BYTE, CHECKPOINT_BYTE = 120, 121
"""Of SQLite's shared memory file: whoever has them locked is writing, or checkpointing."""

BUSY = """
import sys, threading, time
from index.catalog.storage import sqlite
from index.catalog import Catalog
sqlite._LONG_LOG_BYTES, sqlite._SHORTEN_EVERY_S = 0, 0.0
catalog = Catalog.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
worst, done, until = 0.0, 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    began = time.monotonic()
    catalog.check_writable()
    worst, done = max(worst, time.monotonic() - began), done + 1
    catalog.bank("known")
catalog.close()
print(done, worst, flush=True)
"""


class Busy:
    """Three processes that write, checkpoint and read as fast as they can, for a while."""

    def __init__(self, url: str, seconds: float) -> None:
        command = [sys.executable, "-c", BUSY, url, str(seconds)]
        self._running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        for process in self._running:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in self._running:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()

    @property
    def running(self) -> bool:
        return any(process.poll() is None for process in self._running)

    def results(self) -> list[tuple[int, float]]:
        """Of each: how often it wrote, and how long the slowest took."""
        said = [process.communicate(timeout=60)[0].split() for process in self._running]
        return [(int(done), float(worst)) for done, worst in said]


@dataclass
class Seen:
    """What was seen of three busy processes."""

    results: list[tuple[int, float]]
    locked: dict[int, int]
    """How often a byte was seen locked."""
    unlawful: list[list[bytes]]
    """Locks of whoever did not hold the lock file."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("busy")
    url = f"sqlite:///{folder / 'catalog.db'}"
    with closing(Catalog.open(url)) as catalog:
        catalog.put_bank("known", Purpose.HARMFUL)
        catalog.version()  # our connection keeps the files where they are
        lock, shared = ((folder / name).stat().st_ino for name in ("catalog.db.lock", "catalog.db-shm"))
        busy = Busy(url, 1.0)
        found = Seen([], {WRITE_BYTE: 0, CHECKPOINT_BYTE: 0}, [])
        while busy.running:
            locks = _locks()
            holders = {line[4] for line in locks if line[1] == b"FLOCK" and _inode(line) == lock}
            for line in locks:
                if line[1] == b"POSIX" and line[3] == b"WRITE" and _inode(line) == shared:
                    bytes_locked = [byte for byte in found.locked if int(line[6]) <= byte <= int(line[7])]
                    for byte in bytes_locked:
                        found.locked[byte] += 1
                    if bytes_locked and line[4] not in holders:
                        found.unlawful.append(line)
        found.results = busy.results()
    return found


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="other platforms do not list their locks")
def test_nobody_writes_or_checkpoints_without_the_lock(seen: Seen) -> None:
    assert seen.unlawful == []
    assert all(seen.locked.values())


def test_none_of_three_busy_processes_waits_long(seen: Seen) -> None:
    assert max(worst for _, worst in seen.results) < 1.0
    assert min(done for done, _ in seen.results) * 4 > max(done for done, _ in seen.results) > 5


def test_whoever_waits_comes_before_the_one_who_had_it(tmp_path: Path) -> None:
    first, second = (WriteLock(tmp_path / "lock", timeout_s=30) for _ in range(2))
    turns: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with second.held():
            turns.append("second")

    with first.held():
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert waiting.wait(30)
        while not _is_locked(tmp_path / "lock-door"):
            pass
    with first.held():  # at once, and yet after the one who waited
        turns.append("first")
    waiter.join()
    assert turns == ["second", "first"]
    first.close()
    second.close()


def _inode(line: list[bytes]) -> int:
    return int(line[5].rpartition(b":")[2])


def _locks() -> list[list[bytes]]:
    """One read is one instant: the kernel lets nobody lock or unlock meanwhile."""
    if not Path("/proc/locks").exists():
        return []
    file = os.open("/proc/locks", os.O_RDONLY)
    try:
        return [line.split() for line in os.read(file, 1 << 20).splitlines()]
    finally:
        os.close(file)


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
