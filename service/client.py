"""
Speaks to a running service.

    client = Client("http://127.0.0.1:8080")
    client.put_bank("first", "harmful")
    client.add_item("first", data)
    answer = client.match(data)

ClientError
├── ServiceUnreachable         nobody answers at this address
├── BadKey                     what was given for a key cannot be one
├── NotAfterimage              somebody answers, but not in our words
└── ServiceProblem             the service said no, and why
"""

import http.client
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

Json = dict[str, Any]

_UNSENT = (OSError, http.client.HTTPException, UnicodeError)
"""What keeps a request from being answered; the last is a host or a path that cannot be written on the wire."""
_SENDABLE = re.compile(r"[!-~]+")
_RETRIED = frozenset({429, 503})
_JSON = {"Content-Type": "application/json"}
_MEDIA = {"Content-Type": "application/octet-stream"}


class ClientError(Exception):
    """Anything that kept an answer from coming; the sentence is fit to print."""


class ServiceUnreachable(ClientError):
    pass


class BadKey(ClientError):
    pass


class NotAfterimage(ClientError):
    pass


class ServiceProblem(ClientError):
    """The service said no. Carries its problem object."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        detail = str(problem.get("detail") or problem.get("title") or "no reason given")
        super().__init__(detail)

    @property
    def kind(self) -> str:
        """The stable end of its type: `unknown-bank`, `corrupt-media`."""
        return str(self.problem.get("type", "")).rsplit("/", 1)[-1]

    @property
    def upload_at_fault(self) -> bool:
        """Whether it is this upload that cannot be used, and the next one may well be."""
        return self.kind in UPLOAD_PROBLEMS


UPLOAD_PROBLEMS = frozenset(
    {
        "empty-body",
        "body-too-large",
        "unsupported-media",
        "corrupt-media",
        "media-too-large",
        "too-many-pixels",
        "too-many-frames",
        "decoding-too-costly",
        "low-information",
        "embedding-failed",
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """
    One service. Safe from any thread; every thread keeps a connection of its own.

    A service that is busy (429, 503) is asked again after the seconds it names, `patience_s` in all.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 60.0,
        patience_s: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
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

    def put_bank(self, name: str, purpose: str, labels: Mapping[str, Any] | None = None) -> Json:
        body = json.dumps({"purpose": purpose, "labels": dict(labels or {})}).encode()
        return self._json("PUT", f"/v1/banks/{quote(name, safe='')}", body=body, headers=_JSON)

    def bank(self, name: str) -> Json:
        return self._json("GET", f"/v1/banks/{quote(name, safe='')}")

    def banks(self) -> Iterator[Json]:
        """All banks, page by page."""
        return self.listed("/v1/banks")

    def items(self, bank: str) -> Iterator[Json]:
        """All items of a bank, page by page."""
        return self.listed(f"/v1/banks/{quote(bank, safe='')}/items")

    def add_item(
        self, bank: str, data: bytes, labels: Mapping[str, Any] | None = None, *, force: bool = False
    ) -> tuple[Json, bool]:
        """Banks a picture; the second value is False when the bank already held these bytes."""
        body, headers = _multipart(data, labels) if labels else (data, _MEDIA)
        query = {"force": "true"} if force else {}
        reply = self._request("POST", f"/v1/banks/{quote(bank, safe='')}/items", query, body, headers)
        return _parsed(reply), reply.status == http.client.CREATED

    def match(self, data: bytes, query: Mapping[str, Any] | None = None) -> Json:
        """The service's answer about an upload; `query` takes what `POST /v1/match` takes."""
        return self._json("POST", "/v1/match", query=query or {}, body=data, headers=_MEDIA)

    def keys(self) -> Iterator[Json]:
        """Every key, oldest first; nothing of it can be used."""
        return self.listed("/v1/keys")

    def create_key(self, wanted: Mapping[str, Any]) -> Json:
        """A new key, in full: it is shown this once."""
        return self._json("POST", "/v1/keys", body=json.dumps(dict(wanted)).encode(), headers=_JSON)

    def rotate_key(self, key_id: str, grace_s: int) -> Json:
        body = json.dumps({"grace_s": grace_s}).encode()
        return self._json("POST", f"/v1/keys/{quote(key_id, safe='')}/rotation", body=body, headers=_JSON)

    def revoke_key(self, key_id: str) -> Json:
        return self._json("DELETE", f"/v1/keys/{quote(key_id, safe='')}")

    def audit(self, query: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """The audit log, oldest first; `query` takes what `GET /v1/audit` takes."""
        return self.listed("/v1/audit", {"limit": 1000, **(query or {})})

    def create_job(self, kind: str, options: Mapping[str, Any]) -> Json:
        """Asks for long work; watch it with `job`."""
        body = json.dumps({"kind": kind, "options": dict(options)}).encode()
        return self._json("POST", "/v1/jobs", body=body, headers=_JSON)

    def job(self, job_id: str) -> Json:
        return self._json("GET", f"/v1/jobs/{quote(job_id, safe='')}")

    def jobs(self) -> Iterator[Json]:
        """All jobs, newest first, page by page."""
        return self.listed("/v1/jobs")

    def change_job(self, job_id: str, change: str) -> Json:
        """`cancel` or `retry`."""
        return self._json("POST", f"/v1/jobs/{quote(job_id, safe='')}/{change}")

    def job_file(self, job_id: str, name: str) -> bytes:
        """A file that a job made; raises ServiceProblem `job-file-missing`."""
        path = f"/v1/jobs/{quote(job_id, safe='')}/files/{quote(name, safe='')}"
        return self._request("GET", path, {}, None, {}).body

    def spaces(self) -> list[Json]:
        """Every space there is or was."""
        return list(self._json("GET", "/v1/spaces")["items"])

    def space(self, space: str) -> Json:
        """Everything there is to know of one."""
        return self._json("GET", f"/v1/spaces/{quote(space, safe='')}")

    def move_space(self, space: str, change: str, query: Mapping[str, Any]) -> Json:
        """`promote` or `rollback`; `query` takes what the service's own operations take."""
        return self._json("POST", f"/v1/spaces/{quote(space, safe='')}/{change}", query=query)

    def drop_space(self, space: str) -> Json:
        """Gives a space up; a job deletes its embeddings."""
        return self._json("DELETE", f"/v1/spaces/{quote(space, safe='')}")

    def compare_space(self, space: str, data: bytes) -> Json:
        """What is answered about an upload, and what would be if the space took over."""
        return self._json("POST", f"/v1/spaces/{quote(space, safe='')}/compare", body=data, headers=_MEDIA)

    def ready(self) -> Json:
        """What the service says of its parts. Raises ServiceProblem `not-ready` when one of them is not well."""
        return _parsed(_accepted(self._once("GET", "/readyz", {}, None, {})))

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        return self._json("GET", path, query=query)

    def delete(self, path: str) -> Json:
        return self._json("DELETE", path)

    def listed(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """Everything of a list, page by page."""
        query = {"limit": 100, **(query or {})}
        while True:
            page = self._json("GET", path, query=query)
            yield from page["items"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def send(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> tuple[Json, str | None]:
        """JSON to a resource; answers what it is then, and its ETag where it has one."""
        reply = self._request(method, path, {}, json.dumps(dict(body)).encode(), {**_JSON, **(headers or {})})
        return _parsed(reply), {name.lower(): value for name, value in reply.headers.items()}.get("etag")

    @contextmanager
    def streaming(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], *, silence_s: float
    ) -> Iterator[Iterator[bytes]]:
        """
        The lines of an answer as they come, on a connection of its own.

        `service.events.listening` makes events of them.

        Raises:
            ServiceProblem, ServiceUnreachable: at once; later it is the lines that raise, also after so long a silence.
        """
        target = self._path + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        connection = self._new_connection(silence_s)
        try:
            try:
                connection.request("GET", target, headers={**self._headers, **headers})
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

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        return _parsed(self._request(method, path, query or {}, body, headers or {}))

    def _request(
        self, method: str, path: str, query: Mapping[str, Any], body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        waited = 0.0
        while True:
            reply = self._once(method, path, query, body, headers)
            if reply.status not in _RETRIED or waited >= self._patience_s:
                return _accepted(reply)
            pause = min(_retry_after_s(reply), max(self._patience_s - waited, 0.1))
            self._sleep(pause)
            waited += pause

    def _once(
        self, method: str, path: str, query: Mapping[str, Any], body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        target = self._path + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        reused = getattr(self._local, "connection", None) is not None
        try:
            return self._exchange(method, target, body, headers)
        except _UNSENT as error:
            # The other side may have closed a kept connection meanwhile; every call here may be made twice.
            if not reused or isinstance(error, TimeoutError):
                raise self._unreachable(error) from error
        try:
            return self._exchange(method, target, body, headers)
        except _UNSENT as error:
            raise self._unreachable(error) from error

    def _exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        connection = self._connection()
        try:
            connection.request(method, target, body=body, headers={**self._headers, **headers})
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


def _multipart(data: bytes, labels: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """A file cannot be told apart from its labels in a raw body."""
    boundary = secrets.token_hex(16)
    field = f"--{boundary}\r\nContent-Disposition: form-data; name="
    head = (
        f'{field}"labels"\r\n\r\n{json.dumps(dict(labels))}\r\n'
        f'{field}"media"; filename="media"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


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


def _parsed(reply: Reply) -> Json:
    try:
        value = json.loads(reply.body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotAfterimage("The answer is not in the words of this service. Is the URL right?")
    return value


def _retry_after_s(reply: Reply) -> float:
    named = {name.lower(): value for name, value in reply.headers.items()}.get("retry-after", "1")
    return max(float(named), 0.1) if named.replace(".", "", 1).isdigit() else 1.0
