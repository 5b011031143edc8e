"""One writer at a time, over all threads and processes that have the catalog open."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import CatalogUnavailable

_POLL_S = 0.001


class WriteLock:
    """
    A lock file beside the database, locked for the length of a write.

    SQLite would queue writers by itself, but unfairly (a waiting process backs off while others rush past) and,
    up to 3.51.2, with a defect when two processes write and checkpoint at once:
    docs/decisions/0001-sqlite-one-writer.md.

    Not re-entrant. Open it after forking: a forked child would share the lock instead of waiting for it.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

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
            if self._file < 0:
                raise CatalogUnavailable("The catalog is closed.")
            self._lock_file(deadline)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        with self._threads:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _lock_file(self, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise CatalogUnavailable(self._sentence()) from None
                time.sleep(_POLL_S)
            else:
                return

    def _sentence(self) -> str:
        return f"The catalog is busy: another process has been writing for more than {self._timeout_s:g} s."
