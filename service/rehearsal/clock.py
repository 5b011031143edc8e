"""The event's time, which may pass faster than ours."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class EventClock:
    """
    Minutes of the event, in step with ours or as fast as it goes.

    What people do takes minutes of the event; what the service does takes its own time, which is counted as it is.
    The event ends about when the rehearsal does: it is dated back by its length.
    """

    def __init__(
        self,
        minutes: float,
        real_minutes: float | None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            minutes: how long the event is.
            real_minutes: how long that takes; None is as long as it takes.
            now: seconds of our time.
            sleep: waits for so many of them.
        """
        self._began = datetime.now(UTC) - timedelta(minutes=minutes)
        self._pace = None if real_minutes is None else real_minutes * 60 / minutes
        self._now, self._sleep = now, sleep
        self._start = now()

    def reach(self, minute: float) -> None:
        """Waits until it is this minute, where the pace is set."""
        if self._pace is not None:
            left = self._start + minute * self._pace - self._now()
            if left > 0:
                self._sleep(left)

    def date(self, minute: float) -> datetime:
        """When a minute of the event is said to be."""
        return self._began + timedelta(minutes=minute)

    def real(self) -> float:
        """Seconds of our time, to measure with."""
        return self._now()
