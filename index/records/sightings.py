"""Sightings: what is kept of an upload, so that it can be found again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from index.records.changes import Version
from index.records.items import ItemId
from index.records.rows import Embeddings, PdqRows
from index.records.spaces import SpaceId

SightingId = NewType("SightingId", str)
"""As an item's id: 12 hex digits of its key, by which ids sort by age, and 16 random ones."""


class Means(StrEnum):
    """How it was found that an upload matches what is banked."""

    MATCH = "match"
    """When it was asked about."""
    RETRO_SCAN = "retro_scan"
    """Later: the item came, or its incident was confirmed, after the upload."""
    VARIANT = "variant"
    """It was itself banked, as a variant."""


@dataclass(frozen=True, slots=True)
class SightedFrame:
    position_ms: int
    pdq: bytes | None
    pdq_quality: int | None
    embeddings: Mapping[SpaceId, Embeddings] = field(default_factory=dict)
    """Of every space that was asked: the query's rows, that of the whole frame first."""


@dataclass(frozen=True, slots=True)
class NewMatch:
    """That an upload matches an item, and by what evidence."""

    item_id: ItemId
    band: str
    score: float | None
    distance: int | None
    verified: bool | None


@dataclass(frozen=True, slots=True)
class NewSighting:
    """An upload to record: no media, no file name, no digest of its bytes, nobody's name."""

    platform: str
    upload_id: str | None
    observed_at: datetime | None
    """As its platform says; None is now."""
    publisher: str | None
    context: str | None
    kind: str
    band: str
    action: str
    reasons: Sequence[str]
    index_version: Version
    """What it was compared with: everything up to this change."""
    frames: Sequence[SightedFrame]
    matches: Sequence[NewMatch] = ()
    incident_key: int | None = None
    tells: bool = False
    """Whether subscribers hear of it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    sighting_id: SightingId
    platform: str
    upload_id: str | None
    observed_at: datetime
    received_at: datetime
    publisher: str | None
    context: str | None
    kind: str
    band: str
    action: str
    reasons: tuple[str, ...]
    incident_id: str | None
    cluster_id: SightingId | None
    """The first sighting of its cluster; None where nothing looks like it."""


@dataclass(frozen=True, slots=True)
class SightingMatch:
    """A match with an item that is still there and active."""

    item_id: ItemId
    bank: str
    means: Means
    band: str
    score: float | None
    distance: int | None
    verified: bool | None
    at: datetime


@dataclass(frozen=True, slots=True)
class SightingEdge:
    """That two sightings look alike; `other` is the earlier or the later one."""

    other: SightingId
    platform: str
    earlier: bool
    score: float | None
    distance: int | None


@dataclass(frozen=True, slots=True)
class SightingDetail:
    sighting: Sighting
    frames: int
    spaces: tuple[SpaceId, ...]
    matches: tuple[SightingMatch, ...]
    edges: tuple[SightingEdge, ...]


@dataclass(frozen=True, slots=True)
class SightingQuery:
    """Which sightings; None is all."""

    platform: str | None = None
    incident_id: str | None = None
    cluster_id: str | None = None
    band: str | None = None
    upload_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class SightedRows:
    """What some sightings look like in one space, oldest first; what has several rows is there several times."""

    keys: NDArray[np.int64]
    """The sighting of each row."""
    frames: NDArray[np.int64]
    whole: NDArray[np.bool_]
    """Whether it is a row of the whole frame, and not of a part or a turn of it."""
    embeddings: Embeddings


@dataclass(frozen=True, slots=True)
class SightedHashes:
    keys: NDArray[np.int64]
    frames: NDArray[np.int64]
    hashes: PdqRows
    qualities: NDArray[np.int16]
    """-1 where nobody said."""


@dataclass(frozen=True, slots=True)
class EdgeRows:
    """Edges as parallel arrays."""

    keys: NDArray[np.int64]
    earlier: NDArray[np.int64]
    scores: NDArray[np.float64]
    """Cosines; nan where only the hashes are alike."""
    distances: NDArray[np.int64]
    """Of PDQ; -1 where one of them has no hash."""


@dataclass(frozen=True, slots=True)
class SightingFacts:
    """Facts of some sightings as parallel columns, oldest first."""

    keys: NDArray[np.int64]
    sighting_ids: tuple[SightingId, ...]
    platforms: tuple[str, ...]
    received_us: NDArray[np.int64]
    """Microseconds since 1970; by our own clock."""
    observed_us: NDArray[np.int64]
    """Likewise, as its platform says."""
    bands: tuple[str, ...]
    actions: tuple[str, ...]
    incident_keys: NDArray[np.int64]
    """0 where of none."""
    cluster_keys: NDArray[np.int64]
    """0 where of none."""


@dataclass(frozen=True, slots=True)
class Found:
    """That a recorded upload matches an item, found out later."""

    sighting_key: int
    match: NewMatch
    bank: str
    incident_key: int | None = None
    participants: frozenset[str] = frozenset()
    """The platforms it is for; none named is all."""
    tells: bool = True
    """Whether its platform hears of it."""
