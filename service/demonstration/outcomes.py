"""What came of each edit."""

from collections.abc import Sequence
from dataclasses import dataclass

RECOGNISED = ("exact", "variant", "related")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One upload, and what each way of looking at it said."""

    photograph: str
    edit: str
    """How it was edited; empty for a picture that has nothing to do with the bank."""
    data: bytes
    distance: int | None
    """PDQ's, to the banked original; for an unrelated picture, to the nearest one."""
    distance_threshold: int
    score: float | None
    """The cosine, likewise."""
    band: str
    """Afterimage's, for the banked original; for an unrelated picture, the best of any."""

    @property
    def pdq_sees_it(self) -> bool:
        return self.distance is not None and self.distance <= self.distance_threshold

    @property
    def afterimage_sees_it(self) -> bool:
        return self.band in RECOGNISED


@dataclass(frozen=True, slots=True)
class Demonstration:
    """All of it: the originals by name, the edits of each in the same order, and the pictures that must not match."""

    originals: dict[str, bytes]
    edits: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    unrelated: tuple[Outcome, ...]

    def of_edit(self, edit: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.edit == edit]

    def of_photograph(self, photograph: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.photograph == photograph]


def seen_by_pdq(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.pdq_sees_it for outcome in outcomes)


def only_related(outcomes: Sequence[Outcome]) -> int:
    """Those that Afterimage finds, and suggests nothing about."""
    return sum(outcome.band == "related" for outcome in outcomes)


def seen_by_afterimage(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.afterimage_sees_it for outcome in outcomes)
