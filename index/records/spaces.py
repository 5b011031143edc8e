"""Spaces: the part each plays, and how far moving to it has come."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

SpaceId = NewType("SpaceId", str)
"""The `embedder_id` of the embeddings; this package only compares it."""


class SpaceStage(StrEnum):
    BUILDING = "building"
    """Being filled; new items get embeddings in it, nobody is answered from it."""
    SHADOW = "shadow"
    """Filled; asked beside those that are served, to compare."""
    SERVED = "served"
    RETIRED = "retired"
    """Not asked any more, and kept so that one can go back: new items get embeddings in it too."""
    DROPPED = "dropped"
    """Its embeddings are deleted. The name stays: a configuration that still has it leads to what took over."""


@dataclass(frozen=True, slots=True)
class SpaceRecord:
    """A space and the part it plays."""

    space: SpaceId
    dim: int
    model: str | None
    """The name to open it by; None where it was only ever registered."""
    stage: SpaceStage
    replaces: SpaceId | None
    """The one it is to take over from, or has."""
    changed_at: datetime | None
    """When it got to its stage; None where it was always served."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many items can be found in a space, of those that can be found in another."""

    filled: int
    lacking: int
    """Not yet; their originals are kept."""
    without_original: int
    """Never: nobody kept the picture."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a process that answers says of a space: that it has it open, or why not."""

    is_open: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the bands of the space in shadow and of the one it is compared with were these two."""

    band: str
    shadow_band: str
    uploads: int
    same_item: int
    """Of these, with the same best item."""


@dataclass(frozen=True, slots=True)
class SpaceState:
    """A space as the catalog knows it."""

    space: SpaceId
    dim: int
    frames: int
