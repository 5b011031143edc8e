"""What organisations say of matches, once people have looked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from index.records.items import ItemId

FeedbackId = NewType("FeedbackId", str)


class Opinion(StrEnum):
    POSITIVE = "positive"
    """It is what it was said to be."""
    NEGATIVE = "negative"
    """It is not: a false alarm."""
    DISPUTED = "disputed"
    """Whoever uploaded it says that it is not, or that it may be shown."""
    INVESTIGATE = "investigate"
    """Somebody should look into it."""


@dataclass(frozen=True, slots=True)
class NewFeedback:
    item_id: ItemId
    opinion: Opinion
    participant: str | None = None
    request_id: str | None = None
    """Of the answer that it is about."""
    sighting_id: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    feedback_id: FeedbackId
    item_id: ItemId | None
    """None where the item is gone."""
    bank: str | None
    incident_id: str | None
    opinion: Opinion
    participant: str | None
    request_id: str | None
    sighting_id: str | None
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FeedbackQuery:
    """Which; None is all."""

    item_id: str | None = None
    bank: str | None = None
    incident_id: str | None = None
    opinion: Opinion | None = None
    participant: str | None = None


Opinions = Mapping[Opinion, int]
"""How many there are of each."""
