"""Incidents: what a joint response decides about an event, and what matching must know of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

IncidentId = NewType("IncidentId", str)

CONFIRMATIONS_NEEDED: Final = 2
"""Organisations that must say so before an incident is confirmed: no single one can set it off."""


class IncidentState(StrEnum):
    AWARENESS = "awareness"
    """Somebody has seen something."""
    ASSESSING = "assessing"
    """It is looked at against the criteria."""
    CONFIRMED = "confirmed"
    """Two organisations said so: its banks, thresholds and protocol act for everyone who takes part."""
    CONCLUDING = "concluding"
    """It abates: matches are for people to look at, and variants are still banked."""
    CONCLUDED = "concluded"
    DEBRIEFED = "debriefed"
    """The report is agreed."""
    REJECTED = "rejected"
    """It does not meet the criteria."""
    WITHDRAWN = "withdrawn"
    """It should not have been opened, or confirmed."""

    @property
    def unconfirmed(self) -> bool:
        return self in _UNCONFIRMED

    @property
    def acts(self) -> bool:
        """Whether its banks match unasked: from being confirmed on, also when it is long over."""
        return self in _ACTING

    @property
    def ended_early(self) -> bool:
        return self in _ENDED_EARLY

    @property
    def open(self) -> bool:
        """Whether its rules, criteria and participants can still be changed."""
        return self not in _ENDED_EARLY and self is not IncidentState.DEBRIEFED


_UNCONFIRMED: Final = frozenset({IncidentState.AWARENESS, IncidentState.ASSESSING})
_ENDED_EARLY: Final = frozenset({IncidentState.REJECTED, IncidentState.WITHDRAWN})
_ACTING: Final = frozenset(
    {IncidentState.CONFIRMED, IncidentState.CONCLUDING, IncidentState.CONCLUDED, IncidentState.DEBRIEFED}
)
NEXT_STATES: Final[Mapping[IncidentState, frozenset[IncidentState]]] = {
    IncidentState.AWARENESS: frozenset({IncidentState.ASSESSING, IncidentState.WITHDRAWN}),
    IncidentState.ASSESSING: frozenset({IncidentState.CONFIRMED, IncidentState.REJECTED, IncidentState.WITHDRAWN}),
    IncidentState.CONFIRMED: frozenset({IncidentState.CONCLUDING, IncidentState.WITHDRAWN}),
    IncidentState.CONCLUDING: frozenset({IncidentState.CONCLUDED, IncidentState.WITHDRAWN}),
    IncidentState.CONCLUDED: frozenset({IncidentState.DEBRIEFED}),
    IncidentState.DEBRIEFED: frozenset(),
    IncidentState.REJECTED: frozenset(),
    IncidentState.WITHDRAWN: frozenset(),
}


@dataclass(frozen=True, slots=True)
class IncidentThresholds:
    """Where bands begin for an incident's banks; None leaves it to the bank, then to the calibration."""

    variant_score: float | None = None
    related_score: float | None = None


@dataclass(frozen=True, slots=True)
class IncidentProtocol:
    """What is suggested at which band, and who is told. This package keeps the words and does not interpret them."""

    exact: str = "block"
    variant: str = "block"
    """Where nobody calibrated the evidence, `block` becomes `review`."""
    related: str = "none"
    announce: str = "variant"
    """The least band of a match that subscribers are told of."""
    tell: tuple[str, ...] = ()
    """Others to be told of what is decided, as the organisations agreed; named in the events, reached by people."""


@dataclass(frozen=True, slots=True)
class IncidentRule:
    """What matching must know of an incident; follows the log with the rules of its banks."""

    incident_id: IncidentId
    key: int
    name: str
    state: IncidentState
    thresholds: IncidentThresholds
    protocol: IncidentProtocol
    shadow: bool
    """Only counted: nothing is suggested on its account."""
    participants: frozenset[str]
    """The organisations it is for; none named is all."""

    def concerns(self, platform: str | None) -> bool:
        """Whether a platform takes part; None is whoever is no platform."""
        return platform is None or not self.participants or platform in self.participants


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the things that decide whether an event is such an incident."""

    name: str
    met: bool | None = None
    """None while nobody has said."""
    evidence: str = ""
    required: bool = False
    """Whether it must be met for the incident to be confirmed."""


@dataclass(frozen=True, slots=True)
class NewIncident:
    name: str
    type: str
    criteria: Sequence[Criterion] = ()
    banks: Sequence[str] = ()
    participants: Sequence[str] = ()
    thresholds: IncidentThresholds = field(default_factory=IncidentThresholds)
    protocol: IncidentProtocol = field(default_factory=IncidentProtocol)
    shadow: bool = False
    opened_by: str | None = None


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """What to change; None leaves it as it is."""

    name: str | None = None
    criteria: Sequence[Criterion] | None = None
    banks: Sequence[str] | None = None
    participants: Sequence[str] | None = None
    thresholds: IncidentThresholds | None = None
    protocol: IncidentProtocol | None = None
    shadow: bool | None = None

    @property
    def releases_only(self) -> bool:
        """Whether it only says which banks it has."""
        others = self.name, self.criteria, self.participants, self.thresholds, self.protocol, self.shadow
        return all(value is None for value in others)


@dataclass(frozen=True, slots=True)
class Transition:
    from_state: IncidentState
    to_state: IncidentState
    participant: str | None
    """On whose behalf; None where nobody said and no key was needed."""
    key_id: str | None
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Confirmation:
    participant: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Advance:
    """A wish to go to another state."""

    to: IncidentState
    reason: str
    participant: str | None = None
    key_id: str | None = None
    revision: int | None = None
    """Of the incident as its asker saw it; None is whatever it is by now."""


@dataclass(frozen=True, slots=True)
class Incident:
    incident_id: IncidentId
    key: int
    name: str
    type: str
    state: IncidentState
    criteria: tuple[Criterion, ...]
    banks: tuple[str, ...]
    participants: tuple[str, ...]
    thresholds: IncidentThresholds
    protocol: IncidentProtocol
    shadow: bool
    revision: int
    """Counts its changes."""
    opened_by: str | None
    transitions: tuple[Transition, ...]
    confirmations: tuple[Confirmation, ...]
    created_at: datetime
    updated_at: datetime
    confirmed_at: datetime | None = None
    concluded_at: datetime | None = None
    first_match_at: datetime | None = None
    """When the first upload was matched after it was confirmed."""
