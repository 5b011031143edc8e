"""The connection to the catalog's database: transactions, and errors in our own words."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from index.catalog.storage.faults import in_our_words
from index.catalog.storage.groups import GroupCommit
from index.catalog.storage.information import DatabaseFacts
from index.catalog.storage.postgres import PostgresStore
from index.catalog.storage.sqlite import SqliteStore
from index.errors import CatalogUnavailable

_WRITE_TIMEOUT_S = 15.0
T = TypeVar("T")
V = TypeVar("V")


class Store(Protocol):
    """A kind of database. It raises whatever its driver raises."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state from its first query to its last, and can change nothing."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that is alone among all processes, and durable once it was left without an error."""

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        """One value, outside any transaction."""

    def facts(self) -> DatabaseFacts: ...

    def close(self) -> None:
        """Closing twice is harmless."""


class Database:
    """
    Safe from any thread. Open it after forking.

    Raises:
        CatalogUnavailable: the URL is not one we can open, or the database does not answer.
    """

    def __init__(self, url: str) -> None:
        self._store = _store_of(url)
        self._closed = False
        self._group = GroupCommit(self.writing, _WRITE_TIMEOUT_S)

    def write(self, work: Callable[[Connection], T]) -> T:
        """
        What the work returns, once what it wrote is on the disk. What it raises is undone.

        Work of several threads that write at once is made durable together, so this is the way to write. It runs
        alone on the whole catalog, in a thread that may be another caller's, perhaps a second time after a failure:
        it changes nothing but through the connection it is given, takes no long, and never writes in another way.
        """
        self._refuse_when_closed()
        return self._group.write(work)

    def write_alike(
        self, alike: Callable[[Connection, Sequence[V]], Sequence[T]], value: V, patience_s: float | None = None
    ) -> T:
        """
        As `write`; values that wait for the same function are given to it together, for one answer each.

        Args:
            alike: the function.
            value: for it.
            patience_s: how long the other writers of this process are waited for; None is as long as anyone waits.
        """
        self._refuse_when_closed()
        return self._group.write_alike(alike, value, patience_s)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the catalog from its first query to its last."""
        self._refuse_when_closed()
        with in_our_words(), self._store.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction of one's own; once it has ended without an error it is on the disk. `write` is cheaper."""
        self._refuse_when_closed()
        with in_our_words(), self._store.writing() as connection:
            self._refuse_when_closed()  # it may have been, while one waited
            yield connection

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever the column holds
        """One value, outside any transaction, by the shortest way: it is asked for on every search."""
        self._refuse_when_closed()
        with in_our_words():
            return self._store.scalar(statement)

    def facts(self) -> DatabaseFacts:
        self._refuse_when_closed()
        with in_our_words():
            return self._store.facts()

    def close(self) -> None:
        self._closed = True
        self._store.close()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise CatalogUnavailable("The catalog is closed.")


def _store_of(url: str) -> Store:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise CatalogUnavailable("The catalog's URL must look like sqlite:////data/catalog.db.") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return SqliteStore(parsed, _WRITE_TIMEOUT_S)
    if kind in {"postgresql", "postgres"}:
        return PostgresStore(parsed, _WRITE_TIMEOUT_S)
    raise CatalogUnavailable(f"A catalog on {kind} is not supported; use sqlite:///FILE or postgresql+psycopg://….")
