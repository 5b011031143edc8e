"""What `afterimage doctor` says of one part."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Works, and is worth knowing."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part, how it is, and what to do about it."""

    part: str
    state: State
    says: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)
