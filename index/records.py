"""The values that pass between the catalog, the views and the service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, NewType, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.incident_records import IncidentRule

ItemId = NewType("ItemId", str)
SpaceId = NewType("SpaceId", str)
"""The `embedder_id` of the embeddings; this package only compares it."""
Version = NewType("Version", int)
"""A sequence number of the change log; 0 before the first change."""

Embeddings = NDArray[np.float32]
"""Shape (n, dim), every row of norm 1."""
PDQ_BYTES = 32
PdqRows = NDArray[np.uint8]
"""Shape (n, PDQ_BYTES), one PDQ hash a row."""
Rows = NDArray[np.int64]
"""Positions of rows in one vector index."""
RowMask = NDArray[np.bool_]
"""Shape (rows of the index,), True where a row may be found."""
Labels = Mapping[str, str | int | float | bool | None]
"""What the owner of a bank notes beside it or its items; kept and returned, never interpreted."""

T = TypeVar("T")


class Purpose(StrEnum):
    HARMFUL = "harmful"
    PUBLIC_INTEREST = "public_interest"


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
class Page(Generic[T]):
    """A piece of a list; `next` is the cursor to go on from, None at the end."""

    items: tuple[T, ...]
    next: str | None


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
