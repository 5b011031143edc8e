"""What a search found."""

from dataclasses import dataclass

from index.records.items import ItemId


@dataclass(frozen=True, slots=True)
class SemanticHit:
    """The best-scoring pair of a query row and a frame of an item."""

    item_id: ItemId
    query_row: int
    score: float
    position_ms: int


@dataclass(frozen=True, slots=True)
class PerceptualHit:
    """The nearest pair of a query hash and a frame of an item."""

    item_id: ItemId
    query_row: int
    distance: int
    quality: int | None
    """Of the banked frame's hash; None when it came without."""
    position_ms: int
