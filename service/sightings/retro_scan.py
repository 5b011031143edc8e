"""
Looks back: what is banked, or confirmed, is searched for among the uploads that were recorded before.

Follows the change log: items that come or are made active, and incidents that are confirmed, whose every item is
looked for. So nobody needs to start it, and after a crash it goes on from the change it had come to; what was found
already is not told again.
"""

from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.records.incidents import IncidentState
from index.records.sightings import Found
from index.sightings.view import SightingView
from index.views.reading import Reading
from index.views.views import Views
from service.metrics import Metrics
from service.sightings.comparing import compared, is_looked_for
from service.sightings.linking import Batch, Bounds
from service.sightings.memory import SightingMemory

LOOK_BACK: Final = "look_back"
_CHANGES: Final = 1_000
_ITEMS: Final = 16
"""Looked for at once."""
_ROWS: Final = 64
"""Of these items, at most, unless one alone has more: a video has many."""
_LATE_ITEMS: Final = 512
"""Looked for at once among the few sightings that are about to be linked."""
_WRITTEN: Final = 1_000
"""Finds written at once: others write too."""


class LookBack:
    """
    The duty.

    Args:
        catalog: where the changes and the sightings are.
        memory: what is held of them.
        views: what is banked.
        bounds: where the bands of a space begin.
        metrics: where to count.
    """

    name = LOOK_BACK

    def __init__(
        self, *, catalog: Catalog, memory: SightingMemory, views: Views, bounds: Bounds, metrics: Metrics
    ) -> None:
        self._catalog = catalog
        self._memory = memory
        self._views = views
        self._bounds = bounds
        self._metrics = metrics
        self._turn: Turn | None = None
        self._cursor = 0
        self._target = 0
        self._ahead = 0
        """The change up to which nothing of an incident waits behind others."""
        self._waiting: deque[int] = deque()
        """Items still to be looked for, before the cursor is at its target."""
        self._found: Iterator[Found] | None = None
        """What was found and is not written yet."""

    def step(self, turn: Turn) -> bool:
        try:
            return self._step(turn)
        except BaseException:
            self._turn = None  # what was taken from the queues may not be written: it is looked for once more
            raise

    def _step(self, turn: Turn) -> bool:
        self._memory.be_of(turn)
        self._begin(turn)
        reading = self._views.reading()
        self._metrics.duty_behind.labels(self.name).set(reading.version - self._cursor)
        if not self._waiting and self._found is None:
            if reading.version <= self._cursor:
                return False
            self._gather(reading)
        if self._found is None:
            self._look_ahead(reading)
            self._found = compared(self._memory.view, reading, self._next(reading), self._bounds)
        return self._write(turn, reading)

    def late(self, step: Step, batch: Batch) -> None:
        """
        Compares new sightings with what came between their answer and the changes that were looked back for: of
        everything that came later, looking back will find them.
        """
        self._begin(step.turn)
        upto = max(self._cursor, self._target)
        since = int(batch.index_versions.min(initial=upto))
        if since >= upto:
            return
        reading = self._views.reading()
        wanted = np.empty(0, np.int64)
        while since < upto:
            items, incidents, since = self._catalog.sightings.changed_items(since, upto, _CHANGES)
            wanted = np.union1d(wanted, np.union1d(items, self._of_incidents(reading, set(incidents.tolist()))))
        if not len(wanted):
            return
        view = SightingView()
        for space, rows in batch.rows.items():
            view.add(space, rows)
        view.hashes.add(batch.hashes)
        for start in range(0, len(wanted), _LATE_ITEMS):
            found = compared(view, reading, wanted[start : start + _LATE_ITEMS], self._bounds)
            while some := list(islice(found, _WRITTEN)):
                self._count(self._catalog.sightings.note_found(step, some))

    def _begin(self, turn: Turn) -> None:
        if self._turn != turn:
            self._turn, self._cursor = turn, self._catalog.duties.cursor(self.name)
            self._target = self._ahead = self._cursor
            self._waiting.clear()
            self._found = None

    def _gather(self, reading: Reading) -> None:
        """What the next changes ask to be looked for."""
        items, incidents, self._target = self._catalog.sightings.changed_items(self._cursor, reading.version, _CHANGES)
        if self._memory.linked:  # else there is nothing to look through
            wanted = np.union1d(items, self._of_incidents(reading, set(incidents.tolist())))
            self._waiting.extend(wanted.tolist())

    def _look_ahead(self, reading: Reading) -> None:
        """
        What is of incidents comes before all others: a million items may have come that are of none. When the cursor
        gets there it is looked for once more, for those sightings that came between.
        """
        since = max(self._ahead, self._target)
        if since >= reading.version or not self._memory.linked:
            return
        rules = [rule for rule in reading.banks.values() if rule.incident is not None and is_looked_for(rule)]
        banks = [reading.bank_keys[rule.name] for rule in rules]
        items, incidents = self._catalog.sightings.pressing_items(since, reading.version, banks)
        wanted = np.union1d(items, self._of_incidents(reading, set(incidents.tolist())))
        self._waiting.extendleft(wanted.tolist())
        self._ahead = reading.version

    def _of_incidents(self, reading: Reading, keys: Collection[int]) -> NDArray[np.int64]:
        """The items of those of these incidents that are confirmed."""
        banks = [
            rule.name
            for rule in reading.banks.values()
            if rule.incident is not None
            and rule.incident.key in keys
            and rule.incident.state is IncidentState.CONFIRMED
        ]
        return reading.items_in(banks) if banks else np.empty(0, np.int64)

    def _next(self, reading: Reading) -> NDArray[np.int64]:
        """Of the items that wait, as many as are looked for in a second or so."""
        some = min(_ITEMS, len(self._waiting))
        while some > 1 and self._rows(reading, some) > _ROWS:
            some //= 2
        return np.sort(np.array([self._waiting.popleft() for _ in range(some)], np.int64))

    def _rows(self, reading: Reading, some: int) -> int:
        items = np.sort(np.array(list(islice(self._waiting, some)), np.int64))
        counts = [len(reading.rows_of(space, items)[0]) for space in self._memory.view.spaces.keys() & reading.semantic]
        return max(counts, default=0)

    def _write(self, turn: Turn, reading: Reading) -> bool:
        """Some of what was found; the cursor moves when all of it is written."""
        some = list(islice(self._found or (), _WRITTEN))
        if len(some) < _WRITTEN:
            self._found = None
        done = not self._waiting and self._found is None
        cursor = self._target if done else self._cursor
        if some:
            self._count(self._catalog.sightings.note_found(Step(turn, self.name, cursor), some))
        elif done:
            self._catalog.duties.advance(Step(turn, self.name, cursor))
        self._cursor = cursor
        return not done or self._cursor < reading.version

    def _count(self, new: int) -> None:
        if new:
            self._metrics.retro_matches.inc(new)
