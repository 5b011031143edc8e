"""
Events as they are written on a stream.

Source: HTML Standard, section 9.2, "Server-sent events".
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from index.records.events import Event
from service.errors import Fault, InvalidParameter

TAG_DIGITS: Final = 8
_PLACE: Final = re.compile(rf"(\d{{1,18}})(?:-([0-9a-f]{{{TAG_DIGITS}}}))?", re.ASCII)
_FIGURES: Final = frozenset({"score", "distance"})


def shown(event: Event, *, figures: bool = True) -> dict[str, Any]:
    """An event as it is told; without scores to whoever may not see them, for they would map a bank."""
    data = event.data if figures else {name: value for name, value in event.data.items() if name not in _FIGURES}
    return {
        "seq": event.seq,
        "kind": event.kind,
        "at": event.at.isoformat().replace("+00:00", "Z"),
        "incident_id": event.incident_id,
        "platform": event.platform,
        "data": data,
    }


def lines_of(kind: str, place: str, body: Mapping[str, Any]) -> bytes:
    """One event. JSON of one line, everything but ASCII escaped: nothing in it can end a line or begin another."""
    return f"id: {place}\nevent: {kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode("ascii")


def heartbeat(place: str) -> bytes:
    """Shows that the connection lives, and how far the log was looked through: it tells of no event."""
    return f": \nid: {place}\n\n".encode("ascii")


def place_of(text: str) -> tuple[int, str | None]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidParameter(
            "This is the id of no event.", [Fault("/Last-Event-ID", "not an id that this service has sent", "header")]
        )
    return int(found[1]), found[2]
