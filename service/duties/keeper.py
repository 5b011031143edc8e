"""Work that one process does for all the others, step by step; when that process ends, another goes on with it."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from index.audit import Actor, acting
from index.catalog.duties import DutyTable, Turn
from index.errors import CatalogUnavailable, LeaseLost
from service.logs import where
from service.metrics import Metrics
from service.owners import is_gone, new_owner

_IDLE_S: Final = 0.5
_LOOK_EVERY_S: Final = 2.0
"""How often a process without the turn looks whether it is free."""
_BACK_OFF_S: Final = 1.0
_LONGEST_BACK_OFF_S: Final = 60.0


class Duty(Protocol):
    """One kind of such work. Its steps are run one at a time, in one thread of one process."""

    name: str
    """Under which its cursor is kept and its failures are counted."""

    def step(self, turn: Turn) -> bool:
        """
        Does a bounded piece of work, within a second or so; True when there is more to do at once.

        What it writes it writes together with a `Step` of this turn, so that nothing is done twice or by two.
        Looking for something to do should write nothing and cost a query or two: it happens several times a second.
        """


@dataclass(slots=True)
class _Standing:
    """How a duty has fared lately."""

    failures: int = 0
    not_before: float = 0.0


class DutyKeeper:
    """
    Does all duties of a catalog while it is this process's turn. Does nothing before `start`.

    A duty that raises is told, counted and tried again, later each time; the others go on.

    Args:
        duties: in the order in which each has a step.
        table: whose turn it is.
        log: where to tell.
        metrics: where to count.
        lease_s: how soon the turn of a process that died elsewhere is given up; of one on this machine, at once.
        at_end: called when the turn is another's: what only the duties need can be let go.
        clock: for tests.
    """

    def __init__(
        self,
        duties: Sequence[Duty],
        table: DutyTable,
        log: FilteringBoundLogger,
        metrics: Metrics,
        *,
        lease_s: float = 15.0,
        at_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owner = new_owner()
        """The name of its last turn."""
        self._duties = duties
        self._table = table
        self._log = log
        self._metrics = metrics
        self._lease_s = lease_s
        self._at_end = at_end
        self._clock = clock
        self._standings = {duty.name: _Standing() for duty in duties}
        self._turn: Turn | None = None
        self._renewed_at = -float("inf")
        self._renewing = threading.Lock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Does the duties beside everything else from now on, until it is closed."""
        self._threads = [
            threading.Thread(target=self._run, name="duties", daemon=True),
            threading.Thread(target=self._beat, name="duties-heartbeat", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends after the step that is under way, and gives the turn back."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        if self._turn is not None:
            self._turn = None
            try:
                self._table.end_turn([self.owner])
            except CatalogUnavailable as error:
                self._log.warning("the duties could not be handed over; their lease will end", **where(error))
        self._at_end()

    def round(self) -> bool:
        """One step of every duty, where it is this process's turn; True when there is more to do at once."""
        turn = self._taken()
        if turn is None:
            return False
        more = False
        try:
            for duty in self._duties:
                if self._closing.is_set():
                    return False
                more = self._step(duty, turn) or more
        except LeaseLost:
            self._lose("another process has taken the duties over")
            return False
        return more

    def work_through(self) -> None:
        """Rounds until there is nothing left to do."""
        while self.round():
            pass

    def _step(self, duty: Duty, turn: Turn) -> bool:
        """
        Raises:
            LeaseLost: it is another's turn by now.
        """
        standing = self._standings[duty.name]
        if self._clock() < standing.not_before:
            return False
        began = time.perf_counter()
        try:
            with acting(Actor(via="duty")):
                more = duty.step(turn)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other duties go on, and this one is tried again
            standing.failures += 1
            wait_s = min(_BACK_OFF_S * 2 ** (standing.failures - 1), _LONGEST_BACK_OFF_S)
            standing.not_before = self._clock() + wait_s
            self._metrics.duty_failures.labels(duty.name).inc()
            self._log.warning("a duty failed", duty=duty.name, failures=standing.failures, **where(error))
            return False
        standing.failures = 0
        self._metrics.duty_seconds.labels(duty.name).observe(time.perf_counter() - began)
        return more

    def _taken(self) -> Turn | None:
        """The turn, where it is this process's or free."""
        with self._renewing:
            if self._turn is not None and self._clock() - self._renewed_at < self._lease_s / 3:
                return self._turn
            if self._turn is None:
                return self._new_turn()
            if self._table.keep_turn(self._turn, self._lease_s):
                self._renewed_at = self._clock()
                return self._turn
        self._lose("another process has taken the duties over")
        return None

    def _new_turn(self) -> Turn | None:
        """
        By a name of its own each time: another may have done duties since the last one, and whatever was begun in that
        one must be refused.
        """
        holder = self._table.holder()
        if holder is not None and is_gone(holder):
            self._table.end_turn([holder])
        owner = new_owner()
        taken = self._table.take_turn(owner, self._lease_s)
        if taken is not None:
            self.owner, self._turn, self._renewed_at = owner, taken, self._clock()
            self._log.info("this process does the duties now", pid=os.getpid())
        return taken

    def _lose(self, why: str) -> None:
        self._turn = None
        self._log.info(why)
        self._at_end()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                more = self.round()
            except Exception as error:  # noqa: BLE001 - the catalog may be back in a moment
                self._log.warning("the duties cannot be gone on with at this moment", **where(error))
                more = False
            if not more:
                self._closing.wait(_LOOK_EVERY_S if self._turn is None else _IDLE_S)

    def _beat(self) -> None:
        """Keeps the turn while a step takes longer than it should."""
        while not self._closing.wait(self._lease_s / 3):
            try:
                with self._renewing:
                    turn = self._turn  # the other thread may lose it at any moment
                    if turn is not None and self._table.keep_turn(turn, self._lease_s):
                        self._renewed_at = self._clock()
            except CatalogUnavailable:
                continue  # if it stays away the lease ends, and whoever writes next hears of it
