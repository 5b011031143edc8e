"""
What keeps one connection from holding up the others: a limit on its time, a goodbye off the accepting thread, and a
refusal that repeats nothing of what was sent.
"""

import contextlib
import http
import json
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from gunicorn.http import errors
from structlog.typing import FilteringBoundLogger

CONNECTION = "afterimage.connection"
"""Where a request's environment has its `OpenConnection`."""
_TICK_S = 0.25
_SENDING_S = 10.0
"""How long a piece of an answer without end may take to be taken by the other side."""
_GOODBYE_BYTES = 4 * 1024 * 1024
"""What is taken of an unread body, so that its sender gets to the answer instead of a broken pipe."""
_STATUSES = (
    (errors.LimitRequestLine, http.HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.ExpectationFailed, http.HTTPStatus.EXPECTATION_FAILED),
    (errors.UnsupportedTransferCoding, http.HTTPStatus.NOT_IMPLEMENTED),
    (errors.ParseException, http.HTTPStatus.BAD_REQUEST),
)


@dataclass(eq=False, slots=True)
class _Watched:
    connection: socket.socket
    since: float
    reads: bool = True
    lasts: bool = False
    """Its answer may take for ever; then only the sending of a piece is timed."""
    sending: bool = False


class Patience:
    """
    Ends the reading of a request that does not arrive in time, head and body together, and later its writing: a
    socket's own timeout begins anew with every byte. Safe from any thread.

    Args:
        arrival_s: how long a request may take to arrive.
        whole_s: how long it may take until its answer is sent.
    """

    def __init__(self, arrival_s: float, whole_s: float) -> None:
        self._arrival_s = arrival_s
        self._whole_s = whole_s
        self._watched: dict[int, _Watched] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="patience", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watch(self, connection: socket.socket) -> Iterator[None]:
        """From here to the end of the block is one request."""
        watched = _Watched(connection, time.monotonic())
        self._watched[id(watched)] = watched
        try:
            yield
        finally:
            del self._watched[id(watched)]

    def let_last(self, connection: socket.socket) -> _Watched:
        """From now on this request has time, but for the sending of each piece."""
        watched = next((one for one in list(self._watched.values()) if one.connection is connection), None)
        if watched is None:  # of a server that does not watch
            return _Watched(connection, time.monotonic(), lasts=True)
        watched.lasts = True
        return watched

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(_TICK_S):
            now = time.monotonic()
            for watched in list(self._watched.values()):
                with contextlib.suppress(OSError):  # it is gone already
                    self._look_at(watched, now - watched.since)

    def _look_at(self, watched: _Watched, age_s: float) -> None:
        if watched.lasts:
            if watched.sending and age_s > _SENDING_S:
                watched.connection.shutdown(socket.SHUT_RDWR)
        elif age_s > self._whole_s:
            watched.connection.shutdown(socket.SHUT_RDWR)
        elif age_s > self._arrival_s and watched.reads:
            watched.reads = False
            watched.connection.shutdown(socket.SHUT_RD)


class OpenConnection:
    """
    The connection of a request whose answer has no end: found in the environment under `CONNECTION`.

    Each piece must be taken within some seconds, and a side that is gone is noticed although nothing is read of it.
    """

    def __init__(self, connection: socket.socket, patience: Patience) -> None:
        self._connection = connection
        self._patience = patience
        self._watched: _Watched | None = None

    def let_last(self) -> None:
        self._watched = self._patience.let_last(self._connection)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a machine that vanished says nothing
            with contextlib.suppress(OSError):
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(3000 * _SENDING_S))

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """From here to the end of the block a piece is sent."""
        if self._watched is None:
            raise RuntimeError("an answer without end on a connection that was not told to last")
        self._watched.since, self._watched.sending = time.monotonic(), True
        try:
            yield
        finally:
            self._watched.sending = False

    def gone(self) -> bool:
        """Whether the other side has hung up."""
        look = select.poll()
        try:
            look.register(self._connection, select.POLLIN)
            seen = look.poll(0)
            if not seen:
                return False
            if seen[0][1] & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                return True
            return not self._connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True


def say_goodbye(connection: socket.socket, patience_s: float = 2.0) -> None:
    """
    Waits for the other side to have the answer, in a thread that has nothing else to do.

    gunicorn waits in the thread that accepts, where one visitor who does not hang up keeps all others at the door;
    afterwards there is nothing left for it to wait for.
    """
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        deadline, taken = time.monotonic() + patience_s, 0
        while taken < _GOODBYE_BYTES and (left_s := deadline - time.monotonic()) > 0:
            connection.settimeout(left_s)
            piece = connection.recv(65536)
            if not piece:
                break
            taken += len(piece)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


def refuse(connection: socket.socket, error: BaseException, log: FilteringBoundLogger) -> None:
    """Answers what is no HTTP request, or what failed outside the application; names the kind of error alone."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), http.HTTPStatus(500))
    request_id = secrets.token_hex(12)
    log.warning("request refused", status=int(status), error=type(error).__name__, request_id=request_id)
    body = problem(status, request_id)
    head = [
        f"HTTP/1.1 {int(status)} {status.phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {request_id}",
    ]
    with contextlib.suppress(OSError):
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)


def problem(status: http.HTTPStatus, request_id: str, slug: str = "", detail: str = "") -> bytes:
    """A problem of RFC 9457, for where there is no application to describe it."""
    slug = slug or {400: "bad-request", 500: "internal-error"}.get(status, "")
    told = {
        "type": f"/problems/{slug}" if slug else "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail or status.description or status.phrase,
        "instance": request_id,
        "errors": [],
    }
    return json.dumps(told).encode()
