"""Who listens to events, to which, and on what kind of connection."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol, Self

from index.records.events import Event, EventQuery
from service.keys.viewer import Viewer
from service.settings import Settings


class Connection(Protocol):
    """What a stream must know of the one it is sent on."""

    def sending(self) -> AbstractContextManager[None]:
        """From here to the end of the block a piece is sent."""

    def gone(self) -> bool:
        """Whether nobody is there any more."""


class AnyConnection:
    """One of which nothing is known but what sending shows."""

    def sending(self) -> AbstractContextManager[None]:
        return nullcontext()

    def gone(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class StreamRules:
    streams: int
    """At once, in this process."""
    streams_of_one: int
    """Of these, of one key."""
    heartbeat_s: float = 15.0
    look_again_s: float = 1.0
    """How soon a stream sees that its listener may not listen any more, or is gone."""
    remembered: int = 2_000
    """How many events are kept in memory for all streams."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.event_streams, max(1, settings.event_streams // 2))


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens, and to what."""

    query: EventQuery
    viewer: Viewer
    admitted: Callable[[], bool]
    """Whether it may go on listening."""
    holder: str | None = None
    """Whose key it is: one must not take every place."""
    figures: bool = True
    """Whether it may see scores as they are."""
    follow: bool = True
    """Whether it waits for what is to come."""
    connection: Connection = field(default_factory=AnyConnection)

    def hears(self, event: Event) -> bool:
        if not self.query.wants(event):
            return False
        if self.viewer.sees_all or event.platform == self.viewer.platform:
            return True
        concerns_all = event.platform is None
        return concerns_all and (event.incident_key is None or self.viewer.takes_part(event.participants))
