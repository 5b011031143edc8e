"""Whether the service can do its work: a canary picture through the real decoder, queue, models, index and catalog."""

import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from index.catalog import Catalog
from index.views.views import Views
from models.media.sandbox import Decoder
from service.errors import NotReady
from service.matching.evidence import Query
from service.matching.queries import Asker
from service.schemas import Readiness

_CANARY_PX = 96
_FRESH_S = 1.0


def canary() -> bytes:
    """A picture with enough to see in it: a BMP of coloured waves, always the same."""
    y, x = np.mgrid[0:_CANARY_PX, 0:_CANARY_PX] / _CANARY_PX
    waves = [np.sin(2 * np.pi * (a * x + b * y + c * x * y)) for a, b, c in ((3, 1, 2), (1, 4, 3), (5, 2, 7))]
    pixels = np.rint((np.stack(waves, axis=-1) + 1) * 127.5).astype(np.uint8).tobytes()
    size = 14 + 40 + len(pixels)
    file_header = struct.pack("<2sIHHI", b"BM", size, 0, 0, 14 + 40)
    picture_header = struct.pack("<IiiHHIIiiII", 40, _CANARY_PX, _CANARY_PX, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return file_header + picture_header + pixels


@dataclass(frozen=True, slots=True)
class _Outcome:
    at: float
    checks: dict[str, str]
    index_version: int


class ReadinessCheck:
    """Safe from any thread: one at a time looks, the others take what it found while that is fresh."""

    def __init__(self, decoder: Decoder, asker: Asker, catalog: Catalog, views: Views, timeout_s: float) -> None:
        self._decoder = decoder
        self._asker = asker
        self._catalog = catalog
        self._views = views
        self._timeout_s = timeout_s
        self._canary = canary()
        self._looking = threading.Lock()
        self._last: _Outcome | None = None
        self._draining = False

    def drain(self) -> None:
        """From now on it is not ready: it is finishing what it has."""
        self._draining = True

    def check(self) -> Readiness:
        """
        Raises:
            NotReady: with what each part answered.
        """
        if self._draining:
            raise NotReady("The service is shutting down.", {"service": "draining"})
        with self._looking:
            if self._last is None or time.monotonic() - self._last.at > _FRESH_S:
                self._last = self._look()
            last = self._last
        if any(said != "ok" for said in last.checks.values()):
            broken = ", ".join(name for name, said in last.checks.items() if said != "ok")
            raise NotReady(f"Not working: {broken}.", last.checks)
        return Readiness(status="ready", index_version=last.index_version, checks=last.checks)

    def _look(self) -> _Outcome:
        seen: list[Query] = []
        checks = {
            "catalog": _said(self._catalog.check_writable),
            "models": _said(lambda: seen.append(self._asked())),
            "index": _said(lambda: self._search(seen)),
        }
        return _Outcome(time.monotonic(), checks, self._views.version)

    def _asked(self) -> Query:
        deadline = time.monotonic() + self._timeout_s
        query = self._asker.about_media(self._decoder.decode(self._canary, deadline), deadline)
        if len(query.spaces) != len(query.asked.asked):
            raise NotReady("The canary was not embedded in every space.")
        return query

    def _search(self, seen: Sequence[Query]) -> None:
        """Follows the log, and looks for the canary in every view; whether it is found does not matter."""
        reading = self._views.reading()
        for query in seen:
            for space, rows in query.spaces.items():
                reading.search(space, rows.embeddings, 1)
            reading.search_pdq(query.hashes.hashes, 1)


def _said(look: Callable[[], None]) -> str:
    """`ok`, or what kind of thing went wrong; its sentence may be about somebody's data."""
    try:
        look()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return f"failed: {type(error).__name__}"
    return "ok"
