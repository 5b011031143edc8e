"""What a service can be asked, a method each."""

import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

from service.client.transport import Json, Request, Transport

_JSON = {"Content-Type": "application/json"}
_MEDIA = {"Content-Type": "application/octet-stream"}


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
        self._transport = Transport(url, key=key, timeout_s=timeout_s, patience_s=patience_s, sleep=sleep)
        self.url = self._transport.url

    def put_bank(
        self,
        name: str,
        purpose: str,
        labels: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Json:
        """Labels and settings are replaced as a whole."""
        body = {"purpose": purpose, "labels": dict(labels or {}), "settings": dict(settings or {})}
        return self._sent("PUT", _path("banks", name), body)

    def bank(self, name: str) -> Json:
        return self.get(_path("banks", name))

    def banks(self) -> Iterator[Json]:
        """All banks, page by page."""
        return self.listed("/v1/banks")

    def items(self, bank: str) -> Iterator[Json]:
        """All items of a bank, page by page."""
        return self.listed(_path("banks", bank, "items"))

    def add_item(
        self, bank: str, data: bytes, labels: Mapping[str, Any] | None = None, *, force: bool = False
    ) -> tuple[Json, bool]:
        """Banks a picture; the second value is False when the bank already held these bytes."""
        body, headers = _multipart(data, labels) if labels else (data, _MEDIA)
        query = {"force": "true"} if force else {}
        reply = self._transport.request(Request("POST", _path("banks", bank, "items"), query, body, headers))
        return reply.json(), reply.status == http.client.CREATED

    def match(self, data: bytes, query: Mapping[str, Any] | None = None) -> Json:
        """The service's answer about an upload; `query` takes what `POST /v1/match` takes."""
        return self._asked(Request("POST", "/v1/match", query or {}, data, _MEDIA))

    def keys(self) -> Iterator[Json]:
        """Every key, oldest first; nothing of it can be used."""
        return self.listed("/v1/keys")

    def create_key(self, wanted: Mapping[str, Any]) -> Json:
        """A new key, in full: it is shown this once."""
        return self._sent("POST", "/v1/keys", wanted)

    def rotate_key(self, key_id: str, grace_s: int) -> Json:
        return self._sent("POST", _path("keys", key_id, "rotation"), {"grace_s": grace_s})

    def revoke_key(self, key_id: str) -> Json:
        return self.delete(_path("keys", key_id))

    def audit(self, query: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """The audit log, oldest first; `query` takes what `GET /v1/audit` takes."""
        return self.listed("/v1/audit", {"limit": 1000, **(query or {})})

    def create_job(self, kind: str, options: Mapping[str, Any]) -> Json:
        """Asks for long work; watch it with `job`."""
        return self._sent("POST", "/v1/jobs", {"kind": kind, "options": dict(options)})

    def job(self, job_id: str) -> Json:
        return self.get(_path("jobs", job_id))

    def jobs(self) -> Iterator[Json]:
        """All jobs, newest first, page by page."""
        return self.listed("/v1/jobs")

    def change_job(self, job_id: str, change: str) -> Json:
        """`cancel` or `retry`."""
        return self._asked(Request("POST", _path("jobs", job_id, change)))

    def job_file(self, job_id: str, name: str) -> bytes:
        """A file that a job made; raises ServiceProblem `job-file-missing`."""
        return self._transport.request(Request("GET", _path("jobs", job_id, "files", name))).body

    def spaces(self) -> list[Json]:
        """Every space there is or was."""
        return list(self.get("/v1/spaces")["items"])

    def space(self, space: str) -> Json:
        """Everything there is to know of one."""
        return self.get(_path("spaces", space))

    def move_space(self, space: str, change: str, query: Mapping[str, Any]) -> Json:
        """`promote` or `rollback`; `query` takes what the service's own operations take."""
        return self._asked(Request("POST", _path("spaces", space, change), query))

    def drop_space(self, space: str) -> Json:
        """Gives a space up; a job deletes its embeddings."""
        return self.delete(_path("spaces", space))

    def compare_space(self, space: str, data: bytes) -> Json:
        """What is answered about an upload, and what would be if the space took over."""
        return self._asked(Request("POST", _path("spaces", space, "compare"), body=data, headers=_MEDIA))

    def ready(self) -> Json:
        """What the service says of its parts. Raises ServiceProblem `not-ready` when one of them is not well."""
        return self._transport.once(Request("GET", "/readyz")).json()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        return self._asked(Request("GET", path, query or {}))

    def delete(self, path: str) -> Json:
        return self._asked(Request("DELETE", path))

    def listed(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """Everything of a list, page by page."""
        query = {"limit": 100, **(query or {})}
        while True:
            page = self.get(path, query)
            yield from page["items"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def send(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> tuple[Json, str | None]:
        """JSON to a resource; answers what it is then, and its ETag where it has one."""
        encoded = json.dumps(dict(body)).encode()
        reply = self._transport.request(Request(method, path, {}, encoded, {**_JSON, **(headers or {})}))
        return reply.json(), reply.header("ETag")

    def streaming(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], *, silence_s: float
    ) -> AbstractContextManager[Iterator[bytes]]:
        """As `Transport.streaming`; `service.events.listening` makes events of the lines."""
        return self._transport.streaming(Request("GET", path, query, headers=headers), silence_s=silence_s)

    def close(self) -> None:
        """Closes the calling thread's connection."""
        self._transport.close()

    def _asked(self, request: Request) -> Json:
        return self._transport.request(request).json()

    def _sent(self, method: str, path: str, body: Mapping[str, Any]) -> Json:
        return self.send(method, path, body)[0]


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


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
