"""Group commit: what several threads want to write at the same time is made durable by one commit."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from index.catalog.storage.faults import in_our_words
from index.errors import CatalogUnavailable

T = TypeVar("T")
V = TypeVar("V")
Work = Callable[[Connection], T]
Alike = Callable[[Connection, Sequence[V]], Sequence[T]]
Transaction = Callable[[], AbstractContextManager[Connection]]

_PIECES = 256
_GROUP_S = 0.05
"""After this a group takes nobody else in: other processes wait for their turn as well."""


@dataclass(slots=True, eq=False)
class _Piece:
    """One caller's work, and what became of it."""

    work: Work[Any]
    alike: Alike[Any, Any] | None = None
    """What does the work of several such pieces at once, given their values."""
    value: Any = None
    context: Context = field(default_factory=copy_context)
    """The caller's, in which its work runs whoever leads."""
    turn: threading.Event = field(default_factory=threading.Event)
    """Set when it has ended, or when its thread shall lead."""
    leads: bool = False
    ended: bool = False
    left: bool = False
    """Its caller is gone, perhaps interrupted: nobody would lead in its place, or hear of it."""
    answer: Any = None
    error: BaseException | None = None

    def end(self) -> None:
        self.ended = True
        self.turn.set()


class _Lost(Exception):
    """The whole transaction is gone, not the failing piece alone; None where it is not known which failed."""

    def __init__(self, piece: _Piece | None) -> None:
        self.piece = piece


class GroupCommit:
    """
    One thread at a time leads: it opens a transaction, runs the work of everyone who waits, each in a savepoint of
    its own, and commits once. Whoever comes meanwhile is in the next group. There is no thread for it.

    A piece that raises is undone alone. Where it took the whole transaction with it, the others are run once more
    without it: so work must change nothing but through its connection.

    Args:
        transaction: opens a transaction that is alone; leaving it makes it durable, or raises.
        timeout_s: how long a caller waits for its work to begin.
    """

    def __init__(self, transaction: Transaction, timeout_s: float) -> None:
        self._transaction = transaction
        self._timeout_s = timeout_s
        self._mutex = threading.Lock()
        self._waiting: deque[_Piece] = deque()
        self._led = False
        self._leader: int | None = None

    def write(self, work: Work[T]) -> T:
        """What the work returned, once it is durable; what it raised, once it is undone."""
        return cast("T", self._write(_Piece(work)))

    def write_alike(self, alike: Alike[V, T], value: V, patience_s: float | None = None) -> T:
        """
        As `write`; values that wait for the same function are given to it together, in the leader's context.

        Args:
            alike: the function.
            value: for it.
            patience_s: how long others are waited for, where that is less than anyone waits.
        """
        piece = _Piece(lambda connection: alike(connection, [value])[0], alike, value)
        return cast("T", self._write(piece, patience_s))

    def _write(self, piece: _Piece, patience_s: float | None = None) -> object:
        if self._leader == threading.get_ident():
            raise RuntimeError("work writes through the connection it is given, and through nothing else")
        try:
            with self._mutex:
                self._waiting.append(piece)
                if not self._led:
                    self._led = piece.leads = True
            if not piece.leads:
                self._wait_for_turn(piece, self._timeout_s if patience_s is None else patience_s)
            if piece.leads:
                self._lead(piece)
        finally:
            self._leave(piece)
        if piece.error is not None:
            raise piece.error
        return piece.answer

    def _wait_for_turn(self, piece: _Piece, timeout_s: float) -> None:
        if piece.turn.wait(timeout_s):
            return
        with self._mutex:
            if not piece.turn.is_set() and piece in self._waiting:
                self._waiting.remove(piece)
                raise CatalogUnavailable(f"The catalog is busy: others have been writing for {timeout_s:g} s.")
        piece.turn.wait()  # it is being written now, and what becomes of it must be said

    def _lead(self, own: _Piece) -> None:
        self._leader = threading.get_ident()
        while not own.ended:
            self._commit()

    def _commit(self) -> None:
        """Writes whoever waits. They have ended then, unless one of them took the transaction with it."""
        group: list[_Piece] = []
        try:
            with self._transaction() as connection:
                for pieces in self._taken(group):
                    _run(connection, pieces, first=len(group) == len(pieces))
        except _Lost as lost:
            if lost.piece is not None:
                group.remove(lost.piece)
                lost.piece.end()
            self._put_back(group)
            return
        except Exception as error:  # noqa: BLE001 - it is for those who wait to hear of it
            _fail(group or self._all_waiting(), error)
        except BaseException as error:
            _fail(group, error)
            raise
        for piece in group:
            piece.end()

    def _taken(self, group: list[_Piece]) -> Iterator[list[_Piece]]:
        """One after the other, each with those behind it that are alike, as they are put into the group."""
        until = time.monotonic() + _GROUP_S
        while len(group) < _PIECES and time.monotonic() < until:
            with self._mutex:
                if not self._waiting:
                    return
                pieces = [self._waiting.popleft()]
                if pieces[0].alike is not None:
                    pieces += [piece for piece in self._waiting if piece.alike == pieces[0].alike]
                    for piece in pieces[1:]:
                        self._waiting.remove(piece)
            group += pieces
            yield pieces

    def _put_back(self, group: list[_Piece]) -> None:
        with self._mutex:
            self._waiting.extendleft(piece for piece in reversed(group) if not piece.left)

    def _all_waiting(self) -> list[_Piece]:
        with self._mutex:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _leave(self, piece: _Piece) -> None:
        """However its thread goes: nothing of it waits any more, and where it led, the next one does."""
        with self._mutex:
            piece.left = True
            if not piece.ended and piece in self._waiting:  # it was interrupted
                self._waiting.remove(piece)
            if piece.leads:
                self._leader = None
                self._led = bool(self._waiting)
                if self._led:
                    self._waiting[0].leads = True
                    self._waiting[0].turn.set()


def _run(connection: Connection, pieces: list[_Piece], *, first: bool) -> None:
    """
    Args:
        connection: in the group's transaction.
        pieces: one, or several that are alike.
        first: nothing has been written before them.

    Raises:
        _Lost: what was written before them in this transaction is gone as well.
    """
    if len(pieces) == 1:
        _run_alone(connection, pieces[0], first=first)
        return
    alike, values = pieces[0].alike, [piece.value for piece in pieces]
    assert alike is not None  # noqa: S101 - that is how they were chosen
    try:
        with _savepoint(connection, None, needed=not first), in_our_words():
            answers = alike(connection, values)
    except Exception as error:  # one of them; which, is found by doing each alone
        for piece in pieces:
            piece.alike = None
        if isinstance(error, _Lost):
            raise
        for piece in pieces:
            _run_alone(connection, piece, first=False)
    else:
        for piece, answer in zip(pieces, answers, strict=True):
            piece.answer = answer


def _run_alone(connection: Connection, piece: _Piece, *, first: bool) -> None:
    piece.error = None
    try:
        with _savepoint(connection, piece, needed=not first), in_our_words():
            piece.answer = piece.context.run(piece.work, connection)
    except _Lost as lost:
        piece.error = lost.__cause__
        raise
    except Exception as error:  # noqa: BLE001 - its caller raises it
        piece.error = error


@contextmanager
def _savepoint(connection: Connection, piece: _Piece | None, *, needed: bool) -> Iterator[None]:
    """Undoes what fails within; where it is the first that was written, by giving the transaction up."""
    if needed:
        connection.exec_driver_sql("SAVEPOINT piece")
    try:
        yield
    except Exception as error:
        if not needed:
            raise _Lost(piece) from error
        try:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT piece")
        except SQLAlchemyError:
            raise _Lost(piece) from error
        connection.exec_driver_sql("RELEASE SAVEPOINT piece")
        raise
    if needed:
        connection.exec_driver_sql("RELEASE SAVEPOINT piece")


def _fail(group: list[_Piece], error: BaseException) -> None:
    """An exception of its own for each: several threads will raise it."""
    for piece in group:
        told = type(error)(*error.args) if isinstance(error, CatalogUnavailable) else _interrupted(error)
        told.__cause__ = error
        piece.error = told
        piece.end()


def _interrupted(error: BaseException) -> CatalogUnavailable:
    return CatalogUnavailable(f"Writing the catalog was interrupted ({type(error).__name__}).")
