"""One service over HTTP: its address and key, a connection a thread, and asking again where it is busy."""

import http.client
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from service.client.errors import BadKey, NotAfterimage, ServiceProblem, ServiceUnreachable

Json = dict[str, Any]

_UNSENT = (OSError, http.client.HTTPException, UnicodeError)
"""What keeps a request from being answered; the last is a host or a path that cannot be written on the wire."""
_SENDABLE = re.compile(r"[!-~]+")
_RETRIED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return self.path + (f"?{urlencode(self.query, doseq=True)}" if self.query else "")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """
        Raises:
            NotAfterimage: it is none of our answers.
        """
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise NotAfterimage("The answer is not in the words of this service. Is the URL right?")
        return value

    def header(self, name: str) -> str | None:
        return {key.lower(): value for key, value in self.headers.items()}.get(name.lower())


class Transport:
    """
    Safe from any thread; every thread keeps a connection of its own.

    Args:
        url: where the service is.
        key: what to show it, where it asks for one.
        timeout_s: how long an answer may take.
        patience_s: how long to ask again, in all, where the service is busy.
        sleep: for tests.

    Raises:
        ServiceUnreachable: this is not the address of a service.
        BadKey: this is no key.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout_s: float,
        patience_s: float,
        sleep: Callable[[float], None],
    ) -> None:
        parts, self._host, self._port = _address(url)
        self._path = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._secure = parts.scheme == "https"
        self._timeout_s, self._patience_s, self._sleep = timeout_s, patience_s, sleep
        self._headers = {"Accept": "application/json"}
        if key is not None:
            if not _SENDABLE.fullmatch(key):  # else the sentence of whoever finds out later shows the key
                raise BadKey("What was given for a key (AFTERIMAGE_KEY) is none: a key has no blanks.")
            self._headers["Authorization"] = f"Bearer {key}"
        self._local = threading.local()

    def request(self, request: Request) -> Reply:
        """
        Raises:
            ServiceProblem, ServiceUnreachable, NotAfterimage
        """
        waited = 0.0
        while True:
            reply = self._sent(request)
            if reply.status not in _RETRIED or waited >= self._patience_s:
                return _accepted(reply)
            pause = min(_retry_after_s(reply), max(self._patience_s - waited, 0.1))
            self._sleep(pause)
            waited += pause

    def once(self, request: Request) -> Reply:
        """As `request`, for who wants to know that the service is busy."""
        return _accepted(self._sent(request))

    @contextmanager
    def streaming(self, request: Request, *, silence_s: float) -> Iterator[Iterator[bytes]]:
        """
        The lines of an answer as they come, on a connection of its own.

        Raises:
            ServiceProblem, ServiceUnreachable: at once; later it is the lines that raise, also after so long a silence.
        """
        target = self._path + request.target
        connection = self._new_connection(silence_s)
        try:
            try:
                connection.request(request.method, target, request.body, {**self._headers, **request.headers})
                response = connection.getresponse()
                if response.status >= http.client.BAD_REQUEST:
                    _accepted(Reply(response.status, dict(response.headers.items()), response.read()))
            except _UNSENT as error:
                raise self._unreachable(error) from error
            yield iter(response.readline, b"")
        finally:
            connection.close()

    def close(self) -> None:
        """Closes the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _sent(self, request: Request) -> Reply:
        target = self._path + request.target
        reused = getattr(self._local, "connection", None) is not None
        try:
            return self._exchange(request, target)
        except _UNSENT as error:
            # The other side may have closed a kept connection meanwhile; every call here may be made twice.
            if not reused or isinstance(error, TimeoutError):
                raise self._unreachable(error) from error
        try:
            return self._exchange(request, target)
        except _UNSENT as error:
            raise self._unreachable(error) from error

    def _exchange(self, request: Request, target: str) -> Reply:
        connection = self._connection()
        try:
            connection.request(request.method, target, request.body, {**self._headers, **request.headers})
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers.items()), response.read())
        except BaseException:
            self.close()
            raise

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._new_connection(self._timeout_s)
        return connection

    def _new_connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)

    def _unreachable(self, error: Exception) -> ServiceUnreachable:
        if isinstance(error, TimeoutError):
            return ServiceUnreachable(f"{self.url} did not answer within {self._timeout_s:g} s.")
        if isinstance(error, ConnectionRefusedError):
            return ServiceUnreachable(f"Nothing listens at {self.url}. Start a service with: afterimage serve")
        return ServiceUnreachable(f"{self.url} cannot be reached: {error}")


def _address(url: str) -> tuple[SplitResult, str, int | None]:
    """A URL in its parts, with host and port."""
    refused = f"{url} is not the address of a service: it looks like http://127.0.0.1:8080"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise ServiceUnreachable(refused) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServiceUnreachable(refused)
    return parts, parts.hostname, port


def _accepted(reply: Reply) -> Reply:
    if reply.status < http.client.BAD_REQUEST:
        return reply
    try:
        problem = json.loads(reply.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "type" not in problem:
        raise NotAfterimage(f"The answer was {reply.status}, and not in the words of this service. Is the URL right?")
    raise ServiceProblem(reply.status, problem)


def _retry_after_s(reply: Reply) -> float:
    named = reply.header("Retry-After") or "1"
    return max(float(named), 0.1) if named.replace(".", "", 1).isdigit() else 1.0
