"""How long each stage of an answer took."""

import time

from service.schemas import Timings


class StageClock:
    """In milliseconds, from when it is made."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """What was since the last lap belongs to this stage."""
        now = time.perf_counter()
        self._laps[stage] = self._laps.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now

    def timings(self) -> Timings:
        laps = self._laps
        return Timings(
            decode=round(laps.get("decode", 0.0), 3),
            embed=round(laps.get("embed", 0.0), 3),
            search=round(laps.get("search", 0.0), 3),
            verify=round(laps.get("verify", 0.0), 3),
            total=round((time.perf_counter() - self._start) * 1000, 3),
        )
