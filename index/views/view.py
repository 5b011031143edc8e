"""One view: its layers, and the snapshot that its large part was opened from."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic

from index.engines.description import Engine
from index.engines.flat import FlatIndex
from index.engines.tuning import RecallTarget
from index.engines.vectors import BuildIndex
from index.records.changes import Changes, Version
from index.views.kinds import ViewKind
from index.views.layers import Index, Layer, Layers
from index.views.snapshots import Manifest

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened(Generic[Index]):
    """A large part, mapped from a snapshot that was found sound."""

    folder: Path
    number: int
    manifest: Manifest
    layer: Layer[Index]

    @property
    def asked(self) -> str | None:
        """The engine that was asked for; a better one may have been built, where its recall did not suffice."""
        asked: str | None = self.manifest.engine.get("asked")
        return asked


@dataclass(frozen=True, slots=True)
class LargePart:
    """What there is to say about one view's large part, for doctor."""

    view: str
    rows: int
    live_rows: int
    """Rows that came since, and are searched one by one."""
    manifest: Manifest | None
    """Of its snapshot; None where it is in memory alone."""
    refused: int
    """Snapshots that this process found not to be sound."""


class View(Generic[Index]):
    """
    One thread at a time may change it.

    Args:
        kind: what it holds.
        fold_rows: how many live rows are too many, while the large part is small.
        opened: its large part, to begin with.
    """

    def __init__(self, kind: ViewKind[Index], fold_rows: int, opened: Opened[Index] | None = None) -> None:
        self.kind = kind
        self.fold_rows = fold_rows
        self.layers = Layers(kind.kind, fold_rows, None if opened is None else opened.layer)
        self.opened = opened
        self.version = Version(0) if opened is None else opened.manifest.version
        """The step of the log that was applied last: the layers hold what could be found at it."""

    def apply(self, changes: Changes) -> None:
        """Again is harmless; so is a step that begins before what is held."""
        touched, origins, payload = self.kind.rows_in(changes)
        self.layers.forget(touched, changes.lost_banks)
        self.layers.add(origins, payload)
        self.version = changes.version

    @property
    def number(self) -> int:
        """Of the snapshot; 0 when the large part is in memory alone."""
        return 0 if self.opened is None else self.opened.number

    @property
    def living(self) -> int:
        """How many rows may be found."""
        return sum(layer.living for layer in self.layers.published)

    def large_part(self, refused: int) -> LargePart:
        large, live = self.layers.published
        manifest = None if self.opened is None else self.opened.manifest
        return LargePart(self.kind.name, len(large.alive), len(live.alive), manifest, refused)


class EventKind(StrEnum):
    """What happens to large parts, worth telling an operator."""

    REFUSED = "refused"
    """A snapshot is damaged, of another catalog, or of a newer release: it is not used, and another one is built."""
    BUILT = "built"
    OPENED = "opened"
    FAILED = "failed"
    """One could not be built; what came since is searched in memory until it can."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    view: str
    says: str
    facts: dict[str, Any]


Tell = Callable[[Event], None]


def log_event(event: Event) -> None:
    """Tells the standard library's log."""
    level = logging.INFO if event.kind in {EventKind.BUILT, EventKind.OPENED} else logging.ERROR
    _LOG.log(level, "%s: %s", event.view, event.says)


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How large parts are made, where the defaults are not what one wants."""

    fold_rows: int = 4096
    """So many rows a live part may hold before it is folded into a new large one."""
    build_index: BuildIndex = FlatIndex
    """The engine of a large part that is in memory alone."""
    engine: Engine | None = None
    """Of a large part in a snapshot; None chooses by size."""
    recall: RecallTarget = field(default_factory=RecallTarget)
    """What such an engine must find; another target counts from the next build on."""
    stored_rows: int = 10_000
    """A view of fewer rows is in memory alone."""
    own_process_rows: int = 20_000
    """A large part of more rows is built in a process of its own."""
    build_threads: int = 1
    """Of such a process."""
    tell: Tell = log_event
    """Told what happens to large parts."""
