"""
The connection to the catalog's database: transactions, and errors in our own words.

All that is particular to SQLite is here and in writelock.py.
"""

import errno
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from index.catalog.writelock import WriteLock
from index.errors import CatalogUnavailable, StorageFull

_BUSY_TIMEOUT_S = 10.0
_WRITE_TIMEOUT_S = 15.0
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Database:
    """
    Safe from any thread. Open it after forking.

    Raises:
        CatalogUnavailable: the URL is not one we can open, or the database does not answer.
    """

    def __init__(self, url: str) -> None:
        self.path = _path_of(url)
        with _in_our_words():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = WriteLock(self.path.with_name(self.path.name + ".lock"), _WRITE_TIMEOUT_S)
        self._engine = _engine(self.path)
        self._pulse: sqlite3.Connection | None = None
        self._pulse_lock = threading.Lock()
        self._closed = False
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the catalog from its first query to its last."""
        self._refuse_when_closed()
        with _in_our_words(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is alone; once it has ended without an error it is on the disk."""
        with (
            _in_our_words(),
            self._held(),
            self._engine.connect().execution_options(afterimage_writes=True) as connection,
            connection.begin(),
        ):
            self._refuse_when_moved()
            yield connection

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        """One value, outside any transaction, by the shortest way: it is asked for on every search."""
        with _in_our_words(), self._pulse_lock:
            self._refuse_when_closed()
            if self._pulse is None:
                self._pulse = sqlite3.connect(
                    self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
                )
            row = self._pulse.execute(statement).fetchone()
            return None if row is None else row[0]

    def size_bytes(self) -> int:
        """On the disk, the write-ahead log included."""
        log = self.path.with_name(self.path.name + "-wal")
        return sum(file.stat().st_size for file in (self.path, log) if file.exists())

    def close(self) -> None:
        """Closing the last connection checkpoints, hence the lock. Closing twice is once too often, but harmless."""
        if self._closed:
            return
        self._closed = True
        with _in_our_words(), self._lock.held():
            with self._pulse_lock:
                if self._pulse is not None:
                    self._pulse.close()
                    self._pulse = None
            self._engine.dispose()
        self._lock.close()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The lock of writers, for as long as the catalog is open: it may be closed while one waits."""
        self._refuse_when_closed()
        with self._lock.held():
            self._refuse_when_closed()
            yield

    def _refuse_when_moved(self) -> None:
        """What is written to a file that has been deleted or replaced beneath us would be acknowledged and lost."""
        found = self.path.stat() if self.path.exists() else None
        identity = None if found is None else (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise CatalogUnavailable("The catalog's file was moved, replaced or deleted while it was open; restart.")

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise CatalogUnavailable("The catalog is closed.")


def _path_of(url: str) -> Path:
    try:
        parsed: URL = make_url(url)
    except ArgumentError:
        raise CatalogUnavailable("The catalog's URL must look like sqlite:////data/catalog.db.") from None
    if parsed.get_backend_name() != "sqlite":
        raise CatalogUnavailable(
            f"A catalog on {parsed.get_backend_name()} is not supported by this release; use a sqlite:/// URL."
        )
    if not parsed.database or parsed.database == ":memory:":
        raise CatalogUnavailable("The catalog is a file: name one, as in sqlite:////data/catalog.db.")
    return Path(parsed.database).absolute()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _BUSY_TIMEOUT_S},
        pool_size=8,
        max_overflow=-1,
        hide_parameters=True,  # no embedding, hash or label in an error
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("afterimage_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _in_our_words() -> Iterator[None]:
    """
    Raises:
        StorageFull: no room to write.
        CatalogUnavailable: any other way in which the database fails us.
    """
    try:
        yield
    except DBAPIError as error:
        raise _translated(error.orig or error) from error
    except SQLAlchemyError as error:
        raise CatalogUnavailable(f"The catalog cannot be used ({type(error).__name__}).") from error
    except sqlite3.Error as error:
        raise _translated(error) from error
    except OSError as error:
        raise _translated(error) from error


def _translated(error: BaseException) -> CatalogUnavailable:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    full = name == "SQLITE_FULL" or (isinstance(error, OSError) and error.errno in _NO_ROOM)
    if full:
        return StorageFull("There is no room left to write the catalog.")
    return CatalogUnavailable(f"The catalog cannot be read or written ({name}).")
