"""Who may ask: participants, their keys, and what each key allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

KeyId = NewType("KeyId", str)
"""The part of a key that is no secret: what it is called in lists, logs and the audit log."""


class Role(StrEnum):
    PLATFORM = "platform"
    """Asks about its uploads."""
    CENTER = "center"
    """Fills the banks and leads the response."""
    AUDITOR = "auditor"
    """Looks at what was done."""


class Scope(StrEnum):
    MATCH = "match"
    """Ask about uploads."""
    RECORD = "record"
    """Have what was asked about remembered."""
    CURATE = "curate"
    """Change banks and their items."""
    INCIDENT = "incident"
    """Open incidents and lead them."""
    CONFIRM = "confirm"
    """Confirm incidents."""
    READ = "read"
    """See banks, items, jobs and figures, and scores as they are."""
    AUDIT = "audit"
    """Read the audit log."""
    ADMIN = "admin"
    """Make keys, run jobs, change models."""


USUAL_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.PLATFORM: frozenset({Scope.MATCH, Scope.RECORD}),
    Role.CENTER: frozenset({Scope.MATCH, Scope.RECORD, Scope.CURATE, Scope.INCIDENT, Scope.CONFIRM, Scope.READ}),
    Role.AUDITOR: frozenset({Scope.READ, Scope.AUDIT}),
}
"""What a key allows when nothing else is said."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a key may ask; None leaves it to the service's settings, 0 is no limit."""

    rate_per_s: float | None = None
    queries_per_day: int | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    participant: str
    role: Role
    scopes: frozenset[Scope]
    note: str = ""
    """What its holder uses it for; kept and shown, never interpreted."""
    expires_at: datetime | None = None
    allowance: Allowance = field(default_factory=Allowance)


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept of a key when it is made: its name and the digest of the whole."""

    key_id: KeyId
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the catalog knows it, which is not enough to use it."""

    key_id: KeyId
    number: int
    """From 1, in the order they were made."""
    digest: bytes = field(repr=False)
    participant: str
    role: Role
    scopes: frozenset[Scope]
    note: str
    allowance: Allowance
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute or so."""
    replaced_by: KeyId | None = None

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class Ring:
    """Every key there ever was, as of a version."""

    version: int
    """Grows with every change of a key; 0 while none was ever made."""
    keys: Mapping[KeyId, Key]
