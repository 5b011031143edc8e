"""Items and their frames: to be banked, as they are banked, and to be embedded again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from index.records.banks import Labels
from index.records.changes import Version
from index.records.rows import Embeddings
from index.records.spaces import SpaceId

ItemId = NewType("ItemId", str)


class ItemState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class Quarantine(StrEnum):
    """Which matches of an item suggest no more than a review, until somebody has looked at it."""

    NONE = "none"
    UNCONFIRMED = "unconfirmed"
    """Those by score alone. What is exact, or verified, is still as sure as it was: nobody can disarm an item by
    uploading what merely looks like it."""
    ALL = "all"


class ItemKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    SIGNATURE = "signature"
    """Banked from a hash or embeddings alone: nobody here has seen the media."""


@dataclass(frozen=True, slots=True)
class LocalFeatures:
    """Local features of one frame as their extractor writes them; this package only keeps them."""

    extractor: str
    """Its version: features of two are never compared."""
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """The local features that are kept of one banked frame."""

    frame_no: int
    position_ms: int
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Tiling:
    """Which of a frame's embeddings, the last of each space, are of tiles."""

    wanted: int = 0
    """The setting of the bank that they were made by."""
    rows: int = 0
    """How many there are: fewer where a tile would show too little."""


@dataclass(frozen=True, slots=True)
class NewFrame:
    """A frame to bank: any of a hash, local features and, for each space, embeddings (its reference views)."""

    position_ms: int
    pdq: bytes | None
    pdq_quality: int | None
    embeddings: Mapping[SpaceId, Embeddings] = field(default_factory=dict)
    low_information: bool = False
    features: LocalFeatures | None = None
    tiling: Tiling = Tiling()


@dataclass(frozen=True, slots=True)
class NewItem:
    kind: ItemKind
    frames: Sequence[NewFrame]
    labels: Labels = field(default_factory=dict)
    sha256: str | None = None
    """Of the media's bytes, or whatever else a signature is known again by; banked once in a bank."""
    media_format: str | None = None
    duration_ms: int | None = None
    forced: bool = False
    """Whoever banks it wants its low-information frames to be found as well."""
    original_bytes: int | None = None
    """How long the original is that the store of originals has; None when it is not kept."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What makes a repeated request recognisable: the same key in the same scope is answered once."""

    key: str
    scope: str
    request_digest: str
    """Of everything in the request that matters; another digest under the same key is a mistake of the caller."""


@dataclass(frozen=True, slots=True)
class Item:
    item_id: ItemId
    bank: str
    kind: ItemKind
    state: ItemState
    labels: Labels
    sha256: str | None
    frames: int
    duration_ms: int | None
    low_information: bool
    spaces: tuple[SpaceId, ...]
    """The spaces it can be found in."""
    created_at: datetime
    updated_at: datetime
    original_bytes: int | None = None
    """How long its original is; None when it is not kept."""
    quarantine: Quarantine = Quarantine.NONE


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What to change of an item; None leaves it as it is."""

    state: ItemState | None = None
    labels: Labels | None = None
    quarantine: Quarantine | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """The outcome of banking an item."""

    item: Item
    index_version: Version
    created: bool
    """False when the bank already held these bytes."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame of a banked item, to be embedded again."""

    frame_no: int
    position_ms: int


@dataclass(frozen=True, slots=True)
class KeptItem:
    """A banked item, to be embedded again from its original."""

    key: int
    """Its place in the order of banking."""
    item_id: ItemId
    bank: str
    sha256: str
    """Under which its original is kept."""
    frames: tuple[KeptFrame, ...]
    tiles: int = 0
    """How many its bank wants."""


@dataclass(frozen=True, slots=True)
class FilledFrame:
    """What a frame of a banked item looks like in one space."""

    rows: Embeddings
    tiling: Tiling = Tiling()
