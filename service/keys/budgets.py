"""
How much each key may ask, counted together by all workers of a service.

The counts lie in a file of the data directory, a few bytes a key, under a lock that is held for the length of a read
and a write: exact over processes, kept over a restart, and never synced, for a power cut may forget a day's count.
"""

import contextlib
import fcntl
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_SECOND: Final = 1_000_000_000
_DAY_S: Final = 86_400
_WINDOW_S: Final = 10
"""A key may use at once what its rate gives in this time."""
_SLOWEST_PER_S: Final = 1 / (365 * _DAY_S)
"""A lower rate counts as this one, so that every count fits its place in the file."""
_MOST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Budget:
    """0 is no limit."""

    rate_per_s: float
    queries_per_day: int
    """Of a day in UTC."""

    @property
    def pace_per_s(self) -> float:
        """The rate, where there is one."""
        return max(self.rate_per_s, _SLOWEST_PER_S)

    @property
    def burst(self) -> int:
        """Requests that may come at once."""
        return max(1, math.floor(self.rate_per_s * _WINDOW_S))

    @property
    def refill_ns(self) -> int:
        """How long until one more request is allowed."""
        return round(_SECOND / self.pace_per_s)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of the limits of a key, as it stands."""

    name: str
    quota: int
    window_s: int
    remaining: int
    reset_s: int
    """Until the whole quota is there again."""


@dataclass(frozen=True, slots=True)
class Standing:
    limits: tuple[Limit, ...] = ()
    wait_s: int = 0
    """0: it was taken; else nothing was, and would be after so long."""


class _Count(NamedTuple):
    busy_until: int = 0
    """Nanoseconds since 1970: when what was asked so far would be done at the rate (Source: ITU-T I.371, GCRA)."""
    day: int = 0
    queries: int = 0
    """On that day."""


_SLOT: Final = struct.Struct("<qqq8x")
_FREE: Final = Standing()


class Budgets:
    """
    The counts of all keys. Safe from any thread and any number of processes; opened when first needed.

    Where the file cannot be used, as on a full disk, this process counts for itself alone: whoever asks is not made
    to suffer, and a budget is at worst granted once a worker.
    """

    def __init__(self, path: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._file: int | None = None
        self._own: dict[int, _Count] = {}

    def take(self, number: int, budget: Budget, *, requests: int = 1, queries: int = 0) -> Standing:
        """
        Takes from a key's budget: all that is asked for, or nothing.

        Args:
            number: of the key.
            budget: what it may.
            requests: of them, against the rate.
            queries: pictures asked about, against the day's.
        """
        if not budget.rate_per_s and not budget.queries_per_day:
            return _FREE
        count = _Count()
        with self._lock:
            try:
                with self._locked() as file:
                    count = _read(file, number)
                    standing, after = _taken(count, budget, requests, queries, self._clock_ns())
                    os.pwrite(file, _SLOT.pack(*after), number * _SLOT.size)
            except OSError:
                count = _further(self._own.get(number, _Count()), count)
                standing, self._own[number] = _taken(count, budget, requests, queries, self._clock_ns())
        return standing

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield self._file
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _read(file: int, number: int) -> _Count:
    data = os.pread(file, _SLOT.size, number * _SLOT.size)
    return _Count(*_SLOT.unpack(data)) if len(data) == _SLOT.size else _Count()


def _further(one: _Count, other: _Count) -> _Count:
    """Of two counts of a key, what was asked by both: what is spent stays spent when the file cannot be written."""
    _, day, queries = max(one, other, key=lambda count: (count.day, count.queries))
    return _Count(max(one.busy_until, other.busy_until), day, queries)


def _taken(count: _Count, budget: Budget, requests: int, queries: int, now: int) -> tuple[Standing, _Count]:
    """What is answered, and the count after it: as it was when it is refused."""
    today = now // (_DAY_S * _SECOND)
    used = min(max(count.queries, 0), _MOST) if count.day == today else 0
    # Never further ahead than a full burst: a clock that was set back, or a lower rate, must not shut a key out.
    most = budget.burst * budget.refill_ns if budget.rate_per_s else 0
    busy_until = min(max(count.busy_until, now), now + most)
    after = _Count(busy_until, today, used)
    wait_ns = 0
    if budget.rate_per_s:
        wait_ns = busy_until + requests * budget.refill_ns - (now + most)
    if budget.queries_per_day and used + queries > budget.queries_per_day:
        wait_ns = max(wait_ns, (today + 1) * _DAY_S * _SECOND - now)
    if wait_ns <= 0:
        busy = busy_until + requests * budget.refill_ns if budget.rate_per_s else busy_until
        after = _Count(busy, today, used + queries)
    return Standing(_limits(after, budget, now), max(0, math.ceil(wait_ns / _SECOND))), after


def _limits(count: _Count, budget: Budget, now: int) -> tuple[Limit, ...]:
    limits = []
    if budget.rate_per_s:
        ahead = count.busy_until - now
        remaining = max(0, budget.burst - math.ceil(ahead / budget.refill_ns))
        window_s = math.ceil(budget.burst / budget.pace_per_s)
        limits.append(Limit("requests", budget.burst, window_s, remaining, math.ceil(ahead / _SECOND)))
    if budget.queries_per_day:
        until_tomorrow = math.ceil(((count.day + 1) * _DAY_S * _SECOND - now) / _SECOND)
        remaining = max(0, budget.queries_per_day - count.queries)
        limits.append(Limit("queries", budget.queries_per_day, _DAY_S, remaining, until_tomorrow))
    return tuple(limits)


def fields_of(standing: Standing) -> dict[str, str]:
    """As HTTP fields. Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4."""
    if not standing.limits:
        return {}
    policies = (f'"{limit.name}";q={limit.quota};w={limit.window_s}' for limit in standing.limits)
    left = (f'"{limit.name}";r={limit.remaining};t={limit.reset_s}' for limit in standing.limits)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}
