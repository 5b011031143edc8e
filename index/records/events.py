"""What subscribers are told of: numbered events, ids and facts without media."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    INCIDENT_TRANSITION = "incident_transition"
    """An incident is new or has gone from one state to another."""
    MATCH = "match"
    """An upload matched what is banked when it was asked about."""
    RETRO_MATCH = "retro_match"
    """An upload of before matches what was banked, or confirmed, since."""
    NEW_VARIANT = "new_variant"
    """An upload of an incident is the first of its kind, or shows that others like it belong there too."""
    NEAR_VARIANT = "near_variant"
    """An upload that nothing caught is a near-copy of one that belongs to an incident."""
    EMERGING_CLUSTER = "emerging_cluster"
    """Uploads look alike, match nothing known, and grow in number."""
    VARIANT_BANKED = "variant_banked"
    """A variant was banked from a sighting."""
    QUARANTINE = "quarantine"
    """An item matches far more than it should, and suggests no more than a review until somebody has looked."""
    FEEDBACK = "feedback"
    """Somebody said whether a match was right."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    kind: EventKind
    incident_key: int | None = None
    platform: str | None = None
    """Whom it concerns alone, beside the center; None is everyone who may listen."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON: ids and facts; no media, no embedding, no file name."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """An incident as far as its events must know it."""

    key: int
    incident_id: str
    participants: frozenset[str]
    """None is everyone."""


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    kind: str
    at: datetime
    incident_key: int | None
    incident_id: str | None
    """None where it is of no incident."""
    participants: frozenset[str]
    """Of its incident, as they were when it was read."""
    platform: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events; None is all."""

    incident_key: int | None = None
    platform: str | None = None
    kinds: frozenset[str] | None = None

    def wants(self, event: Event) -> bool:
        return (
            (self.incident_key is None or event.incident_key == self.incident_key)
            and (self.platform is None or event.platform == self.platform)
            and (self.kinds is None or event.kind in self.kinds)
        )


@dataclass(frozen=True, slots=True)
class EventSpan:
    """Which events are kept: from the oldest to the head; oldest is head + 1 when there are none."""

    oldest: int
    head: int


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in their order, and the number up to which there are no others that were asked for."""

    events: tuple[Event, ...]
    through: int
