"""
The catalog in a PostgreSQL database, for several machines.

Writers wait for each other at an advisory lock, in the order in which they came, until the one before has committed:
so changes become visible in the order of their numbers, as on SQLite, and work may look before it writes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL

from index.catalog.storage.faults import in_our_words, translated
from index.catalog.storage.information import DatabaseFacts
from index.errors import CatalogUnavailable

_LOCK = 0x41667465
"""Any number will do, if every Afterimage takes the same; advisory locks are a database's own."""
_POOL = 8
_CONNECT = {
    "connect_timeout": 5,
    "application_name": "afterimage",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_SESSION = """
    SELECT set_config('lock_timeout', '{wait_ms}ms', false),
           set_config('statement_timeout', '120s', false),
           set_config('idle_in_transaction_session_timeout', '60s', false),
           set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                      WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""
_BEGIN_WRITING = text(
    f"SELECT set_config('idle_in_transaction_session_timeout', :standstill, true), pg_advisory_xact_lock({_LOCK})"
)
_BEHIND_S = 5.0
"""How long one waits behind another's question: a server that is lost answers none, and says so late."""
_STANDSTILL = "10s"
"""A writer that does nothing for so long is cut off: others wait for it."""


class PostgresStore:
    """
    Safe from any thread. Open it after forking.

    Args:
        url: of any PostgreSQL from version 15 on.
        timeout_s: how long a writer waits for its turn.
    """

    def __init__(self, url: URL, timeout_s: float) -> None:
        if find_spec("psycopg") is None:
            raise CatalogUnavailable("A catalog on PostgreSQL needs psycopg: install afterimage[postgres].")
        self._url = url.set(drivername="postgresql+psycopg")
        self._engine = _engine(self._url, timeout_s)
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._pulse = _Pulse(self._engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._snapshots.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            connection.execute(_BEGIN_WRITING, {"standstill": _STANDSTILL})
            yield connection
            _refuse_when_failed(connection)

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        return self._pulse.scalar(statement)

    def facts(self) -> DatabaseFacts:
        with self.reading() as connection:
            row = connection.execute(
                text(
                    "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync, "
                    "current_setting('synchronous_commit') AS synced, pg_database_size(current_database()) AS size"
                )
            ).one()
        return DatabaseFacts(
            place=self._url.render_as_string(hide_password=True),
            database=f"PostgreSQL {row.version}",
            durability=f"fsync {row.fsync}, synchronous_commit {row.synced}",
            size_bytes=row.size,
            hazard=None
            if row.fsync == "on"
            else "The server does not sync to the disk: what was acknowledged may be lost when the power fails.",
        )

    def close(self) -> None:
        self._pulse.close()
        self._engine.dispose()


class _Pulse:
    """One connection for the question that every search asks, by the shortest way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._connection: Any = None

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        if not self._mutex.acquire(timeout=_BEHIND_S):
            raise CatalogUnavailable("The catalog does not answer.")
        try:
            return self._answer(statement)
        finally:
            self._mutex.release()

    def close(self) -> None:
        with self._mutex:
            self._drop()

    def _answer(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        if self._connection is not None:
            try:
                return self._ask(statement)
            except CatalogUnavailable:  # it may only have been restarted: once more, on a new connection
                self._drop()
        try:
            return self._ask(statement)
        except CatalogUnavailable:
            self._drop()
            raise

    def _ask(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        import psycopg  # noqa: PLC0415 - who keeps the catalog in SQLite need not have it

        try:
            if self._connection is None:
                with in_our_words():
                    borrowed = self._engine.raw_connection()
                self._connection = borrowed.driver_connection
                borrowed.detach()  # from the pool: it is this pulse's for good
                self._connection.autocommit = True
            row = self._connection.execute(statement).fetchone()
        except psycopg.Error as error:
            raise translated(error) from error
        return None if row is None else row[0]

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _refuse_when_failed(connection: Connection) -> None:
    """To a COMMIT after a statement that failed, the server answers by undoing everything, and calls it no error."""
    driver = connection.connection.driver_connection
    if driver is None or driver.info.transaction_status.name != "INTRANS":
        raise CatalogUnavailable("What was to be written was undone by a failure on the way.")


def _engine(url: URL, timeout_s: float) -> Engine:
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",  # whatever the server's default: who waited sees what came before
        connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_timeout=timeout_s,
        pool_pre_ping=True,  # a restarted server is noticed before anything is asked of it
        hide_parameters=True,  # no embedding, hash or label in an error
    )
    session = _SESSION.format(wait_ms=int(timeout_s * 1000))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - psycopg's
        connection.autocommit = True
        connection.execute(session)
        connection.autocommit = False

    return engine
