"""
The catalog in a SQLite file.

Whoever writes, checkpoints or closes holds the lock of writelock.py. Readers could do none of it: their connections
are opened read-only. So no two connections ever write or checkpoint at the same time.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, text
from sqlalchemy.engine import URL

from index.catalog.storage.faults import in_our_words
from index.catalog.storage.information import DatabaseFacts, hazard_of
from index.catalog.storage.writelock import WriteLock
from index.errors import CatalogUnavailable

_BUSY_TIMEOUT_S = 10.0
_LONG_LOG_BYTES = 64 * 1024 * 1024
_SHORTEN_EVERY_S = 10.0
_PATIENCE_MS = 200
"""How long readers are waited for, to start the log anew."""
_SYNCHRONOUS = {0: "off", 1: "normal", 2: "full", 3: "extra"}


class SqliteStore:
    """
    Safe from any thread. Open it after forking.

    Args:
        url: names a file.
        timeout_s: how long a writer waits for its turn.
    """

    def __init__(self, url: URL, timeout_s: float) -> None:
        if not url.database or url.database == ":memory:":
            raise CatalogUnavailable("The catalog is a file: name one, as in sqlite:////data/catalog.db.")
        self.path = Path(url.database).absolute()
        with in_our_words():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = WriteLock(self.path.with_name(self.path.name + ".lock"), timeout_s)
        self._writer = _writer(self.path)
        self._readers = _readers(self.path)
        self._pulse = _Pulse(self.path)
        self._identity: tuple[int, int] | None = None
        self._shortened = 0.0
        parts = (self._lock, self._pulse, self._readers, self._writer)
        # Also when it was forgotten, and at the end of the process: before the interpreter closes what is left.
        self._forgotten = weakref.finalize(self, _forget, os.getpid(), *parts)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._readers.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._lock.held():
            with self._writer.connect() as connection, connection.begin():
                self._refuse_when_moved()
                yield connection
                _refuse_when_undone(connection)
            self._shorten_log()

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        return self._pulse.scalar(statement)

    def facts(self) -> DatabaseFacts:
        with self._lock.held(), self._writer.connect() as connection:
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
            journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
            synchronous = _SYNCHRONOUS[connection.execute(text("PRAGMA synchronous")).scalar_one()]
        log = self._log()
        return DatabaseFacts(
            place=str(self.path),
            database=f"SQLite {version}",
            durability=f"journal {journal}, synchronous {synchronous}",
            size_bytes=sum(file.stat().st_size for file in (self.path, log) if file.exists()),
            hazard=hazard_of(),
        )

    def close(self) -> None:
        """
        Closing the last connection checkpoints, hence the lock. Where it cannot be had in time, its holder has a
        connection of its own, so that ours is not the last.
        """
        if self._forgotten.detach() is not None:
            with suppress(CatalogUnavailable), self._lock.held():
                _let_go(self._pulse, self._readers, self._writer)
            _let_go(self._pulse, self._readers, self._writer)
            self._lock.close()

    def _log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _refuse_when_moved(self) -> None:
        """What is written to a file that has been deleted or replaced beneath us would be acknowledged and lost."""
        found = self.path.stat() if self.path.exists() else None
        identity = None if found is None else (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise CatalogUnavailable("The catalog's file was moved, replaced or deleted while it was open; restart.")

    def _shorten_log(self) -> None:
        """
        SQLite starts the log anew when no reader needs it, which never happens where readers follow each other
        closely; then we wait for them, a little. No request depends on it, so no fault of it is anybody's.
        """
        if time.monotonic() < self._shortened + _SHORTEN_EVERY_S:
            return
        with suppress(sqlite3.Error, OSError):
            if self._log().stat().st_size < _LONG_LOG_BYTES:
                return
            self._shortened = time.monotonic()
            with closing(self._writer.raw_connection()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT_S * 1000)}")


class _Pulse:
    """One connection for the question that every search asks, by the shortest way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        with self._mutex:
            if self._connection is None:
                self._connection = _read_only(self._path)
            row = self._connection.execute(statement).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _forget(owner: int, lock: WriteLock, pulse: _Pulse, *engines: Engine) -> None:
    """As `close`, and without waiting: it may run anywhere, also within a write through another catalog."""
    if os.getpid() == owner:
        with lock.held_if_free():
            _let_go(pulse, *engines)
        lock.close()


def _let_go(pulse: _Pulse, *engines: Engine) -> None:
    pulse.close()
    for engine in engines:
        engine.dispose()


def _writer(path: Path) -> Engine:
    """Of one connection, which checkpoints the log when a commit has made it long: within the write."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _BUSY_TIMEOUT_S},
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,  # no embedding, hash or label in an error
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA wal_autocheckpoint = 1000")
        cursor.execute(f"PRAGMA journal_size_limit = {_LONG_LOG_BYTES}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _readers(path: Path) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=lambda: _read_only(path),
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=-1,
        hide_parameters=True,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _refuse_when_undone(connection: Connection) -> None:
    """After some failures, as of a full disk, SQLite has undone everything; a commit would pass over it in silence."""
    driver = connection.connection.driver_connection
    if driver is None or not driver.in_transaction:
        raise CatalogUnavailable("What was to be written was undone by a failure on the way.")


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
