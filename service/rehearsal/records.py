"""What a rehearsal writes down while it plays: what was answered, banked, told and found."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.rehearsal.script import Upload


class Means(StrEnum):
    """How an upload of the footage was found, in the order they can happen."""

    MATCH = "match"
    """When it was uploaded."""
    RETRO_SCAN = "retro_scan"
    """Afterwards, by what was banked or confirmed since."""
    VARIANT = "variant"
    """By somebody who looked at what lies around the incident."""
    EMERGING_CLUSTER = "emerging_cluster"
    """By somebody who looked at what spreads and is unknown."""


@dataclass(frozen=True, slots=True)
class Hash:
    """A PDQ hash; one of little quality is compared with none, as PDQ advises."""

    digest: bytes = field(repr=False)
    quality: int


@dataclass(frozen=True, slots=True)
class Seen:
    """An upload, and what the service answered about it."""

    upload: Upload
    band: str
    action: str
    reasons: tuple[str, ...]
    hash: Hash
    """As the rehearsal takes it itself, for the comparison."""
    took_s: float
    sighting_id: str | None
    ours: bool = True
    """Whether anything it matches is in the rehearsal's own banks."""

    @property
    def stopped(self) -> bool:
        """Whether it was suggested to do anything about it, on account of this event."""
        return self.ours and self.action != "none"

    @property
    def capped(self) -> bool:
        """Whether it is held at a review out of public interest; what is blocked all the same is not."""
        return self.action == "review" and "public_interest_cap" in self.reasons


@dataclass(frozen=True, slots=True)
class Catch:
    """The first time that an upload could have been acted upon."""

    upload_id: str
    minute: float
    means: Means


@dataclass(frozen=True, slots=True)
class Banked:
    """What was put into the event's bank, when and why."""

    upload_id: str
    minute: float
    hash: Hash
    why: str
    """`report`, `variant` or `emerging_cluster`."""


@dataclass(frozen=True, slots=True)
class Milestone:
    minute: float
    says: str


@dataclass(slots=True)
class Log:
    """Everything; what happens is appended."""

    minutes: float
    platforms: tuple[str, ...]
    seen: list[Seen] = field(default_factory=list)
    catches: list[Catch] = field(default_factory=list)
    banked: list[Banked] = field(default_factory=list)
    milestones: list[Milestone] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    """From an event to the subscriber who is told of it."""
    looked_in_vain: int = 0
    """What an analyst was shown and found to be nothing."""
    report: dict[str, Any] | None = None
    """The service's own, of the incident, as it was at the end."""
    remarks: list[str] = field(default_factory=list)
    """What did not go as it should."""
