"""
Which spaces play which part, at one version of the catalog.

A service is configured with models. Where one of their spaces was replaced by another, the catalog's decision is
followed: whoever took over answers, whatever the configuration still says.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from index.records.spaces import SpaceId, SpaceRecord, SpaceStage
from models.batching import Batcher
from models.calibration import CalibrationRecord
from models.embedder import Space
from service.errors import NotReady

Records = tuple[SpaceRecord, ...]
"""Every space of the catalog; the same object while none has changed."""


@dataclass(frozen=True, slots=True)
class ServedSpace:
    """A space that is open in this process."""

    space: Space
    batcher: Batcher

    @property
    def id(self) -> SpaceId:
        return SpaceId(self.space.embedder_id)


@dataclass(frozen=True, slots=True)
class Opened:
    """An open space, and what closes it when nobody uses it any more."""

    served: ServedSpace
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Parts:
    """Which spaces play which part."""

    asked: tuple[SpaceId, ...]
    """Answers come from these; the first leads."""
    written: tuple[SpaceId, ...]
    """New items get embeddings in these: in what is asked, what is to be, and what one may go back to."""
    shadows: Mapping[SpaceId, SpaceId]
    """What waits in shadow, and the one it is compared with."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A space that may take over, and the one it would take over from."""

    served: ServedSpace
    against: SpaceId


@dataclass(frozen=True, slots=True, eq=False)
class SpaceSet:
    """The spaces of one request, from its beginning to its end."""

    asked: tuple[ServedSpace, ...]
    written: tuple[ServedSpace, ...]
    shadows: tuple[Shadow, ...] = ()

    @property
    def leading(self) -> ServedSpace:
        return self.asked[0]

    @property
    def ids(self) -> tuple[SpaceId, ...]:
        """Of those that are asked."""
        return tuple(served.id for served in self.asked)


def parts_of(configured: Sequence[SpaceId], records: Iterable[SpaceRecord]) -> Parts:
    """
    Args:
        configured: the spaces of the configured models; the first leads.
        records: every space of the catalog. One that it does not know is served as configured.
    """
    known = {record.space: record for record in records}
    asked: list[SpaceId] = []
    written: list[SpaceId] = []
    for space in configured:
        family = [known[each] for each in _family(space, known)]
        family.sort(key=lambda record: -_generation(record, known))
        asked += [record.space for record in family if record.stage is SpaceStage.SERVED]
        written += [record.space for record in family if record.stage is not SpaceStage.DROPPED]
        if not family:
            asked.append(space)
    answering = tuple(dict.fromkeys(asked))
    shadows = {
        space: _compared_with(known[space], answering)
        for space in written
        if known[space].stage is SpaceStage.SHADOW and answering
    }
    return Parts(answering, tuple(dict.fromkeys([*asked, *written])), shadows)


def _family(space: SpaceId, known: Mapping[SpaceId, SpaceRecord]) -> list[SpaceId]:
    """The space, all that it was ever to take over from, and all that were ever to take over from it."""
    found: dict[SpaceId, None] = {}
    waiting = deque([space] if space in known else [])
    while waiting:
        each = waiting.popleft()
        if each in found:
            continue
        found[each] = None
        before = known[each].replaces
        waiting.extend(record.space for record in known.values() if record.replaces == each)
        waiting.extend([before] if before in known and before is not None else [])
    return list(found)


def _generation(record: SpaceRecord, known: Mapping[SpaceId, SpaceRecord]) -> int:
    """How many it comes after."""
    seen = {record.space}
    while record.replaces is not None and record.replaces not in seen and record.replaces in known:
        record = known[record.replaces]
        seen.add(record.space)
    return len(seen)


def _compared_with(record: SpaceRecord, asked: Sequence[SpaceId]) -> SpaceId:
    return record.replaces if record.replaces is not None and record.replaces in asked else asked[0]


@dataclass(slots=True)
class _Resolved:
    records: Records
    spaces: SpaceSet
    missing: tuple[SpaceId, ...] = field(default=())


class LiveSpaces:
    """
    The spaces that are open in this process. Safe from any thread.

    A request takes its set once and keeps it; a space that is given up is closed when no request uses it any more.

    Args:
        opened: what is open already.
        configured: the spaces of the configured models, the leading one first; what is open by default.
    """

    def __init__(self, opened: Iterable[Opened], configured: Sequence[SpaceId] | None = None) -> None:
        self._opened = {each.served.id: each for each in opened}
        self.configured = tuple(self._opened) if configured is None else tuple(configured)
        self._changed = threading.Condition()
        self._users: Counter[SpaceId] = Counter()
        self._resolved: _Resolved | None = None

    @property
    def opened(self) -> tuple[ServedSpace, ...]:
        """Everything that is open, whatever part it plays."""
        with self._changed:
            return tuple(each.served for each in self._opened.values())

    def at(self, records: Records) -> SpaceSet:
        """
        The parts as the catalog gave them out.

        Raises:
            NotReady: a space that answers is not open here yet.
        """
        resolved = self._resolved
        if resolved is None or resolved.records is not records:
            with self._changed:
                resolved = self._resolved = self._resolve(records)
        if resolved.missing:
            raise NotReady("The space that answers is not open in this process yet.", {"models": "opening"})
        return resolved.spaces

    @contextmanager
    def using(self, records: Records) -> Iterator[SpaceSet]:
        """
        The same, and none of them is closed before the end of the block.

        Raises:
            NotReady: as `at`.
        """
        with self._changed:
            spaces = self.at(records)
            names = [served.id for served in spaces.written]
            self._users.update(names)
        try:
            yield spaces
        finally:
            with self._changed:
                self._users.subtract(names)
                self._changed.notify_all()

    @contextmanager
    def keeping(self, space: SpaceId) -> Iterator[None]:
        """This space is not closed before the end of the block, whatever part it plays."""
        with self._changed:
            self._users[space] += 1
        try:
            yield
        finally:
            with self._changed:
                self._users[space] -= 1
                self._changed.notify_all()

    def add(self, opened: Opened) -> None:
        """From now on it can play its part; in place of itself where it is open already."""
        with self._changed:
            self._opened[opened.served.id] = opened
            self._resolved = None
            self._changed.notify_all()

    def recalibrate(self, space: SpaceId, calibration: CalibrationRecord) -> None:
        """From now on its scores mean what the record says."""
        with self._changed:
            opened = self._opened[space]
            served = ServedSpace(replace(opened.served.space, calibration=calibration), opened.served.batcher)
            self._opened[space] = Opened(served, opened.close)
            self._resolved = None

    def take_out(self, space: SpaceId, timeout_s: float) -> Opened:
        """What is to be closed, once nobody uses it or after so long."""
        with self._changed:
            opened = self._opened.pop(space)
            self._resolved = None
            self._changed.wait_for(lambda: self._users[space] <= 0, timeout_s)
            return opened

    def wait_for(self, space: SpaceId, timeout_s: float) -> ServedSpace | None:
        """A space that others open; None when it is not open in time."""
        with self._changed:
            self._changed.wait_for(lambda: space in self._opened, timeout_s)
            opened = self._opened.get(space)
            return None if opened is None else opened.served

    def close(self) -> None:
        """Closes everything."""
        with self._changed:
            opened, self._opened = list(self._opened.values()), {}
        for each in opened:
            each.close()

    def _resolve(self, records: Records) -> _Resolved:
        parts = parts_of(self.configured, records)
        here = {space: each.served for space, each in self._opened.items()}
        return _Resolved(
            records,
            SpaceSet(
                asked=tuple(here[space] for space in parts.asked if space in here),
                written=tuple(here[space] for space in parts.written if space in here),
                shadows=tuple(Shadow(here[space], old) for space, old in parts.shadows.items() if space in here),
            ),
            missing=tuple(space for space in parts.asked if space not in here),
        )
