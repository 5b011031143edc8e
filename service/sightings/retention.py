"""Forgets sightings that were kept long enough, and what they look like in spaces that are gone; a few at a time."""

from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Final

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.records.spaces import SpaceId, SpaceStage
from service.sightings.memory import SightingMemory

_AT_ONCE: Final = 500
_LOOK_EVERY_S: Final = 1.0
_SPAN: Final = 2_000
"""Sightings whose embeddings in a dropped space are deleted at once."""


class Forget:
    """
    The duty. How old a sighting is goes by when it was received: no platform's clock has a say in it.

    Args:
        catalog: where sightings are.
        memory: what is held of them.
        keep: how long they are kept.
        clock: for tests.
    """

    name = "forget"

    def __init__(
        self, catalog: Catalog, memory: SightingMemory, keep: timedelta, clock: Callable[[], float] = monotonic
    ) -> None:
        self._catalog = catalog
        self._memory = memory
        self._keep = keep
        self._clock = clock
        self._looked_at = -float("inf")
        self._purged: dict[SpaceId, int] = {}
        """Of each dropped space: up to which sighting nothing is left in it."""

    def step(self, turn: Turn) -> bool:
        if self._clock() - self._looked_at < _LOOK_EVERY_S:
            return False
        if self._forget(turn) or self._purge(turn):
            return True
        self._looked_at = self._clock()
        return False

    def _purge(self, turn: Turn) -> bool:
        """Some of what is left of a space that was dropped."""
        table = self._catalog.sightings
        head = table.head()
        for record in self._catalog.moves.records():
            if record.stage is not SpaceStage.DROPPED:
                self._purged.pop(record.space, None)
            elif (after := self._purged.get(record.space, (table.oldest() or 1) - 1)) < head:
                self._memory.view.keep_spaces(self._memory.spaces())
                upto = min(after + _SPAN, head)
                table.purge(Step(turn, self.name, 0), record.space, after, upto)
                self._purged[record.space] = upto
                return True
        return False

    def _forget(self, turn: Turn) -> bool:
        table = self._catalog.sightings
        if not table.any_older_than(self._keep):
            return False
        self._memory.be_of(turn)
        forgotten = table.forget(Step(turn, self.name, 0), self._keep, _AT_ONCE)
        oldest = table.oldest()
        self._memory.view.drop_before(self._memory.linked + 1 if oldest is None else oldest)
        return forgotten == _AT_ONCE
