"""What is to be done at which minute of the event."""

import heapq
import itertools
from collections.abc import Callable

Deed = Callable[[float], None]
"""Told the minute it was due."""


class Agenda:
    """Deeds in the order of their minutes, of the same minute in the order they were noted. For one thread."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Deed]] = []
        self._numbers = itertools.count()

    def note(self, minute: float, deed: Deed) -> None:
        heapq.heappush(self._due, (minute, next(self._numbers), deed))

    def next_minute(self) -> float | None:
        return self._due[0][0] if self._due else None

    def take(self) -> tuple[float, Deed]:
        minute, _, deed = heapq.heappop(self._due)
        return minute, deed
