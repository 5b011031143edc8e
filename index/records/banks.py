"""Banks: what each is for, and what it says for itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from index.records.incidents import IncidentRule

Labels = Mapping[str, str | int | float | bool | None]
"""What the owner of a bank notes beside it or its items; kept and returned, never interpreted."""


class Purpose(StrEnum):
    HARMFUL = "harmful"
    PUBLIC_INTEREST = "public_interest"


@dataclass(frozen=True, slots=True)
class BankSettings:
    """What a bank says for itself; None leaves it to the space's calibration or to the policy."""

    variant_score: float | None = None
    related_score: float | None = None
    block_on_semantic: bool = False
    """Whether semantic evidence alone may suggest `block`."""
    shadow: bool = False
    """Whether its matches are only counted: nothing is suggested on their account."""
    tiles: int = 0
    """How many parts of each frame are embedded beside the whole, so that small crops are found; for what comes."""


@dataclass(frozen=True, slots=True)
class Bank:
    name: str
    purpose: Purpose
    labels: Labels
    settings: BankSettings
    items: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class BankRule:
    """What matching must know of a bank; follows the log like everything the views hold."""

    name: str
    purpose: Purpose
    settings: BankSettings
    """The bank's own, with the thresholds of its incident over them."""
    incident: IncidentRule | None = None
    """The incident it belongs to."""

    @property
    def in_shadow(self) -> bool:
        """Whether what it would suggest is only counted."""
        return self.settings.shadow or (self.incident is not None and self.incident.shadow)
