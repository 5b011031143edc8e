"""
Hears events of a running service, and goes on by itself when the connection is lost.

    for event in listen(Client("http://127.0.0.1:8080"), {"kind": ["match"]}):
        print(event["kind"], event["data"])

Source: HTML Standard, section 9.2, "Server-sent events".
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from service.client import Client, ClientError, ServiceProblem, ServiceUnreachable

Json = dict[str, Any]

_SILENCE_S: Final = 45.0
"""Three heartbeats missed: nobody is there any more."""
_LONGEST_WAIT_S: Final = 30.0
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


@dataclass(slots=True)
class Place:
    """How far one has heard; shared with whoever wants to go on later."""

    last_event_id: str | None = None
    retry_s: float = 2.0


def listen(
    client: Client,
    query: Mapping[str, Any] | None = None,
    place: Place | None = None,
    *,
    reconnect: bool = True,
    lost: Callable[[ClientError], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Json]:
    """
    Events as they come: `id`, `event` and what its data says. One of the kind `gap` says that some were missed.

    Args:
        client: of the service.
        query: what `GET /v1/events` takes.
        place: where to begin, and where one is; None begins with what is to come.
        reconnect: whether to go on when the connection is lost. Else the end of the stream is the end.
        lost: told each time the connection is lost.
        sleep: for tests.

    Raises:
        ServiceProblem: the service does not want to be heard, and will not want to in a moment either.
        ServiceUnreachable: where one does not go on.
    """
    place = place or Place()
    failures = 0
    while True:
        try:
            for event in _connected(client, query or {}, place):
                failures = 0
                yield event
            if not reconnect:
                return
            wait_s = place.retry_s
        except ClientError as error:
            if not reconnect or (isinstance(error, ServiceProblem) and error.status not in _TRY_AGAIN):
                raise
            lost(error)
            wait_s = min(place.retry_s * 2**failures, _LONGEST_WAIT_S)
            failures += 1
        sleep(wait_s)


def _connected(client: Client, query: Mapping[str, Any], place: Place) -> Iterator[Json]:
    """The events of one connection, until it is lost."""
    headers = {"Accept": "text/event-stream"}
    if place.last_event_id is not None:
        headers["Last-Event-ID"] = place.last_event_id
    with client.streaming("/v1/events", query, headers, silence_s=_SILENCE_S) as lines:
        block = _Block()
        try:
            for line in lines:
                event = block.take(line.rstrip(b"\r\n").decode("utf-8", "replace"), place)
                if event is not None:
                    yield event
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnreachable("The connection was lost.") from error


@dataclass(slots=True)
class _Block:
    """The lines of an event, until the empty one that ends it."""

    kind: str = "message"
    data: list[str] = field(default_factory=list)
    place: str | None = None

    def take(self, line: str, place: Place) -> Json | None:
        if line:
            self._field(line, place)
            return None
        if self.place is not None:
            place.last_event_id = self.place
        kind, data = self.kind, self.data
        self.kind, self.data = "message", []
        if not data:
            return None
        try:
            told = json.loads("\n".join(data))
        except ValueError:
            return None
        return {"id": place.last_event_id, "event": kind, **told} if isinstance(told, dict) else None

    def _field(self, line: str, place: Place) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self.kind = value
        elif name == "data":
            self.data.append(value)
        elif name == "id" and "\0" not in value:
            self.place = value
        elif name == "retry" and value.isascii() and value.isdigit():
            place.retry_s = min(int(value) / 1000, _LONGEST_WAIT_S)
