"""One writer at a time, over all threads and processes that have the catalog open."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import CatalogUnavailable

_POLL_S = 0.001
_IMPATIENT_S = 0.0002
_IMPATIENT_AFTER_S = 0.05


class WriteLock:
    """
    A lock file beside the database, held for the length of a write; and a second one, the door, that whoever is next
    holds while waiting.

    SQLite would queue writers by itself, but unfairly (a waiting process backs off while others rush past) and,
    up to 3.51.2, with a defect when two processes write and checkpoint at once:
    docs/decisions/0001-sqlite-one-writer.md. The door makes it fair: a writer that is done and wants to write again
    cannot pass the one who waits in it.

    Not re-entrant. Open it after forking: a forked child would share the lock instead of waiting for it.

    Args:
        path: of the lock file; the door lies beside it.
        timeout_s: how long `held` waits.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads = threading.Lock()
        self._lock = _opened(path)
        try:
            self._door = _opened(path.with_name(path.name + "-door"))
        except OSError:
            os.close(self._lock)
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Raises:
            CatalogUnavailable: another writer kept the lock for longer than the time-out, or it was closed meanwhile.
        """
        deadline = time.monotonic() + self._timeout_s
        if not self._threads.acquire(timeout=self._timeout_s):
            raise CatalogUnavailable(self._sentence())
        try:
            if self._lock < 0:
                raise CatalogUnavailable("The catalog is closed.")
            with _locked(self._door, lambda: self._wait(deadline)):
                _lock(self._lock, lambda: self._wait(deadline))
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """Whether nobody else holds it at this moment; without waiting."""
        alone = self._threads.acquire(blocking=False)
        locked = alone and _tried(self._lock)
        try:
            yield locked
        finally:
            if locked:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            if alone:
                self._threads.release()

    def close(self) -> None:
        with self._threads:
            if self._lock >= 0:
                os.close(self._lock)
                os.close(self._door)
                self._lock = -1

    def _wait(self, deadline: float) -> None:
        """A moment; a shorter one for those who have waited long, who so come before those who have not."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise CatalogUnavailable(self._sentence())
        time.sleep(_POLL_S if self._timeout_s - left < _IMPATIENT_AFTER_S else _IMPATIENT_S)

    def _sentence(self) -> str:
        return f"The catalog is busy: another process has been writing for more than {self._timeout_s:g} s."


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


@contextmanager
def _locked(file: int, wait: Callable[[], None]) -> Iterator[None]:
    _lock(file, wait)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _lock(file: int, wait: Callable[[], None]) -> None:
    while not _tried(file):
        wait()


def _tried(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
