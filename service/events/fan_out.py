"""
Streams of events: one thread a worker looks for new ones, and every stream takes them from the same short memory.

A stream keeps a number and no queue. One that falls behind the memory goes on from the log, as one that resumes does:
a slow subscriber costs what a new one costs, and a stream that is open for a day costs what it did at first.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from structlog.typing import FilteringBoundLogger

from index.catalog.events import EventLog
from index.errors import CatalogUnavailable
from index.records.events import Event
from service.errors import BudgetSpent, NotReady, TooManyStreams
from service.events.lines import TAG_DIGITS, heartbeat, lines_of, place_of, shown
from service.events.listeners import Listener, StreamRules
from service.keys.budgets import Standing
from service.logs import where
from service.metrics import Metrics

_LOOK_EVERY_S: Final = 0.05
_READ_AT_ONCE: Final = 500
_RETRY_MS: Final = 2000


class EventHub:
    """
    The streams of one process. Safe from any thread; starts its thread with the first stream.

    Args:
        log: the events.
        identity: names the catalog; asked once.
        rules: how many streams there may be.
        metrics: where streams are counted.
        told: where to say that the catalog does not answer.
    """

    def __init__(
        self,
        log: EventLog,
        identity: Callable[[], str],
        rules: StreamRules,
        metrics: Metrics,
        told: FilteringBoundLogger,
    ) -> None:
        self.log = log
        self.rules = rules
        self._identity = identity
        self._metrics = metrics
        self._told = told
        self._news = threading.Condition()
        self._recent: deque[Event] = deque(maxlen=rules.remembered)
        self._through = 0
        """Everything up to here was seen; what of it is not in the memory any more is in the log."""
        self._asleep = True
        """Nobody listened, so nobody looked."""
        self._open: Counter[str | None] = Counter()
        self._tag = ""
        self._ending = False
        self._thread: threading.Thread | None = None

    def stream(self, listener: Listener, after: str | None) -> "EventStream":
        """
        A stream of what there is after a place, or of what is to come.

        Args:
            listener: who listens.
            after: the id of the last event that was heard; None where none was.

        Raises:
            InvalidParameter: it is no id of ours.
            TooManyStreams: there is no place for another, or the process is about to end.
            BudgetSpent: this key has as many as one key may.
            CatalogUnavailable: the log cannot be read.
        """
        place = None if after is None else place_of(after)
        with self._news:
            if self._ending:
                raise NotReady("This worker is shutting down; another one answers.")
            if self._open[listener.holder] >= self.rules.streams_of_one and listener.holder is not None:
                raise BudgetSpent("This key has as many event streams open as one key may.", Standing(wait_s=5))
            if self._open.total() >= self.rules.streams:
                raise TooManyStreams("As many event streams are open as this worker may have.")
            self._open[listener.holder] += 1
        try:
            return self._begun(listener, place)
        except BaseException:
            self.left(listener)
            raise

    def end(self) -> None:
        """Has every stream end within a moment, and lets no other begin. Takes no lock: a signal may call it."""
        self._ending = True

    @property
    def ending(self) -> bool:
        return self._ending

    def close(self) -> None:
        """Ends every stream and the thread; harmless when repeated."""
        self.end()
        if self._thread is not None:
            self._thread.join()

    def left(self, listener: Listener) -> None:
        """A stream has ended."""
        with self._news:
            self._open[listener.holder] -= 1
            if not self._open[listener.holder]:
                del self._open[listener.holder]
            self._news.notify_all()
        self._metrics.event_streams.dec()

    def mark(self, seq: int) -> str:
        """The id of an event, or of a place between two."""
        return f"{seq}-{self._tag}"

    def news(self, after: int, wait_s: float) -> tuple[list[Event], int] | None:
        """
        What the memory has after a number, waiting for it so long; None when it does not go back so far.

        Returns:
            the events, and the number up to which there are no others.
        """
        with self._news:
            if self._through <= after and not self._ending:
                self._news.wait(wait_s)
            if self._through <= after:
                return [], after
            missed = self._through - after
            if missed > len(self._recent):
                return None
            start = len(self._recent) - missed
            return [self._recent[position] for position in range(start, len(self._recent))], self._through

    def _begun(self, listener: Listener, place: tuple[int, str | None] | None) -> "EventStream":
        self._metrics.event_streams.inc()
        self._tag = self._tag or self._identity()[:TAG_DIGITS]
        span = self.log.span()
        self._look_out(span.head)
        if place is None:
            return EventStream(self, listener, span.head, until=span.head, missing=None)
        seq, tag = place
        missing = None
        if tag not in {None, self._tag} or seq > span.head:
            missing = "another_log"
        elif 0 < seq < span.oldest - 1:  # 0 asks for the oldest that is kept
            missing = "no_longer_kept"
        begin = max(seq, span.oldest - 1) if missing is None else span.oldest - 1
        return EventStream(self, listener, begin, until=span.head, missing=missing)

    def _look_out(self, head: int) -> None:
        """Has the thread look for what comes after the head; the memory starts there when nobody listened before."""
        with self._news:
            if self._asleep:
                self._recent.clear()
                self._through, self._asleep = head, False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def _run(self) -> None:
        failing = False
        while not self._ending:
            with self._news:
                if not self._open:
                    self._asleep = True
                    self._news.wait(self.rules.look_again_s)
                    continue
            try:
                self._look()
                failing = False
            except Exception as error:  # noqa: BLE001 - the streams stay open, and go on where they were
                if not failing:
                    self._told.warning("the event log cannot be read at this moment", **where(error))
                failing = True
            time.sleep(_LOOK_EVERY_S if not failing else self.rules.look_again_s)
        with self._news:
            self._news.notify_all()

    def _look(self) -> None:
        while self.log.head() > self._through and not self._ending:
            batch = self.log.after(self._through, _READ_AT_ONCE)
            with self._news:
                self._recent.extend(batch.events)
                self._through = batch.through
                self._news.notify_all()


class EventStream:
    """
    What one listener is sent, as server-sent events. Iterated by one thread, closed by any.

    Source: HTML Standard, section 9.2, "Server-sent events".
    """

    def __init__(self, hub: EventHub, listener: Listener, after: int, *, until: int, missing: str | None) -> None:
        """Use `EventHub.stream`."""
        self._hub = hub
        self._listener = listener
        self._after = after
        self._until = until
        self._missing = missing
        self._closing = threading.Lock()
        self._closed = False
        self._pieces = self._sent()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Gives its place back; harmless when repeated."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._hub.left(self._listener)

    def _sent(self) -> Iterator[bytes]:
        sending = self._listener.connection.sending
        try:
            with sending():
                yield self._greeting()
            heard = looked = time.monotonic()
            while not self._is_over():
                lines = self._next()
                now = time.monotonic()
                if not lines and now - heard >= self._hub.rules.heartbeat_s:
                    lines = heartbeat(self._hub.mark(self._after))
                if lines:
                    with sending():
                        yield lines
                    heard = now
                if now - looked >= self._hub.rules.look_again_s:
                    looked = now
                    if self._listener.connection.gone() or not self._admitted():
                        return
        finally:
            self.close()

    def _greeting(self) -> bytes:
        place = self._hub.mark(self._after)
        if self._missing is None:
            return f"retry: {_RETRY_MS}\nid: {place}\n\n".encode()
        told = {"reason": self._missing, "resumed_at": place}
        return f"retry: {_RETRY_MS}\n".encode() + lines_of("gap", place, told)

    def _is_over(self) -> bool:
        over = not self._listener.follow and self._after >= self._until
        return over or self._closed or self._hub.ending

    def _admitted(self) -> bool:
        try:
            return self._listener.admitted()
        except CatalogUnavailable:  # nobody can say; and nothing is told meanwhile
            return True

    def _next(self) -> bytes:
        """What there is to send now, after a short wait at most."""
        found = self._hub.news(self._after, min(self._hub.rules.look_again_s, self._hub.rules.heartbeat_s))
        if found is None or (not self._listener.follow and self._after < self._until):
            return self._from_the_log()
        events, self._after = found
        return self._told(events)

    def _from_the_log(self) -> bytes:
        try:
            batch = self._hub.log.after(self._after, _READ_AT_ONCE, self._listener.query)
        except CatalogUnavailable:
            time.sleep(self._hub.rules.look_again_s)
            return b""
        self._after = batch.through
        return self._told(list(batch.events))

    def _told(self, events: list[Event]) -> bytes:
        hears = self._listener.hears
        pieces = [
            lines_of(event.kind, self._hub.mark(event.seq), self._shown(event)) for event in events if hears(event)
        ]
        return b"".join(pieces)

    def _shown(self, event: Event) -> dict[str, Any]:
        return shown(event, figures=self._listener.figures)
