"""
What the service answers, as types: the pinned answer of a match, and the resources around it.

Other programs are written against these: every key is always present, null where there is nothing to say.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from index.records import Added, Bank, Item, ItemKind, ItemState, Purpose, Version

T = TypeVar("T")


LabelValues = dict[str, str | int | float | bool | None]


class Band(StrEnum):
    """How sure a match is; `exact` is the surest."""

    EXACT = "exact"
    VARIANT = "variant"
    RELATED = "related"
    NONE = "none"

    @property
    def strength(self) -> int:
        return _STRENGTH[self]


_STRENGTH = {Band.NONE: 0, Band.RELATED: 1, Band.VARIANT: 2, Band.EXACT: 3}


class Action(StrEnum):
    NONE = "none"
    REVIEW = "review"
    BLOCK = "block"


class Reason(StrEnum):
    """Why a verdict is what it is."""

    SAME_BYTES = "same_bytes"
    PERCEPTUAL_EXACT = "perceptual_exact"
    SEMANTIC_VARIANT = "semantic_variant"
    SEMANTIC_RELATED = "semantic_related"
    UNCALIBRATED = "uncalibrated"
    LOW_INFORMATION = "low_information"
    PUBLIC_INTEREST_MATCH = "public_interest_match"
    PUBLIC_INTEREST_CAP = "public_interest_cap"


class Shape(BaseModel):
    """An object with exactly these keys, all of them present."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class MediaFacts(Shape):
    kind: Literal["image", "video", "signature"] = Field(description="`signature`: hashes or embeddings without media.")
    frames: int
    duration_ms: int | None
    sha256: str | None = Field(description="Of the uploaded bytes; null for a signature.")
    low_information: bool = Field(description="Blank or nearly so: too little to see for a match to mean anything.")


class Verdict(Shape):
    band: Band
    suggested_action: Action
    reasons: list[Reason]


class SemanticEvidence(Shape):
    embedder_id: str = Field(description="The space of the evidence.")
    score: float = Field(description="Cosine, -1 to 1; higher is nearer.")
    threshold: float = Field(description="The threshold that decided the band (inclusive).")
    expected_fpr: float | None = Field(
        description="Share of benign uploads that reach this threshold in an index of this size, from the calibration; "
        "null where nobody measured it."
    )


class PerceptualEvidence(Shape):
    algorithm: Literal["pdq"]
    distance: int = Field(ge=0, le=256, description="Hamming distance; lower is nearer.")
    threshold: int


class Match(Shape):
    item_id: str
    bank: str
    incident: str | None
    kind: ItemKind
    labels: LabelValues
    band: Band
    semantic: SemanticEvidence | None
    perceptual: PerceptualEvidence | None
    geometry: None = Field(description="Null: geometric verification is not in this release.")
    edits: list[str]
    query_ms: int
    reference_ms: int
    segments: list[dict[str, int]]


class Timings(Shape):
    decode: float
    embed: float
    search: float
    total: float


class Answer(Shape):
    """What is said about an upload, whatever form it came in."""

    request_id: str
    index_version: int
    embedder_id: str = Field(description="The leading space; each match names the space of its own evidence.")
    calibrated: bool = Field(description="False when any space that was asked has no calibration.")
    device: str
    degraded: bool
    media: MediaFacts
    verdict: Verdict
    matches: list[Match] = Field(description="Best first, one for each item.")
    sighting_id: str | None = Field(description="Null when nothing was recorded; in this release, always.")
    timings_ms: Timings


class ProblemFault(Shape):
    pointer: str = Field(description="JSON pointer into the body, query, path or headers.")
    detail: str
    where: Literal["body", "query", "path", "header"]


class Problem(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="The request id.")
    errors: list[ProblemFault] = Field(default=[])
    checks: dict[str, str] | None = Field(default=None, description="What each part said; of `not-ready` alone.")


class BatchAnswer(Shape):
    request_id: str
    results: list[Answer | Problem] = Field(description="One for each file, in order: a bad file fails alone.")


Score = Annotated[float, Field(ge=-1, le=1)]


class BankRules(BaseModel):
    """What a bank says for itself; null leaves it to the space's calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant_score: Score | None = None
    related_score: Score | None = None
    block_on_semantic: bool = Field(
        default=False, strict=True, description="Whether semantic evidence alone may suggest `block`."
    )


class BankResource(Shape):
    bank: str
    purpose: Purpose
    labels: LabelValues
    settings: BankRules
    items: int
    created_at: datetime
    updated_at: datetime


class ChangedBank(BankResource):
    index_version: int


class ItemResource(Shape):
    item_id: str
    bank: str
    kind: ItemKind
    state: ItemState
    labels: LabelValues
    sha256: str | None
    frames: int
    duration_ms: int | None
    low_information: bool
    spaces: list[str] = Field(description="The spaces it can be found in.")
    created_at: datetime
    updated_at: datetime


class ChangedItem(ItemResource):
    index_version: int


class Banked(Shape):
    item_id: str
    kind: ItemKind
    frames: int
    index_version: int


class Removed(Shape):
    index_version: int = Field(description="No answer at this version or later contains what was removed.")


class ListOf(Shape, Generic[T]):
    items: list[T]
    next: str | None = Field(description="The cursor to go on from; null at the end.")


class Health(Shape):
    status: Literal["ok"]


class Readiness(Shape):
    status: Literal["ready"]
    index_version: int
    checks: dict[str, str]


def bank_resource(bank: Bank) -> BankResource:
    return BankResource(
        bank=bank.name,
        purpose=bank.purpose,
        labels=dict(bank.labels),
        settings=BankRules(
            variant_score=bank.settings.variant_score,
            related_score=bank.settings.related_score,
            block_on_semantic=bank.settings.block_on_semantic,
        ),
        items=bank.items,
        created_at=bank.created_at,
        updated_at=bank.updated_at,
    )


def changed_bank(bank: Bank, version: Version) -> ChangedBank:
    return ChangedBank(**dict(bank_resource(bank)), index_version=version)


def item_resource(item: Item) -> ItemResource:
    return ItemResource(
        item_id=item.item_id,
        bank=item.bank,
        kind=item.kind,
        state=item.state,
        labels=dict(item.labels),
        sha256=item.sha256,
        frames=item.frames,
        duration_ms=item.duration_ms,
        low_information=item.low_information,
        spaces=list(item.spaces),
        created_at=item.created_at,
        updated_at=item.updated_at,
    )


def changed_item(item: Item, version: Version) -> ChangedItem:
    return ChangedItem(**dict(item_resource(item)), index_version=version)


def banked(added: Added) -> Banked:
    item = added.item
    return Banked(item_id=item.item_id, kind=item.kind, frames=item.frames, index_version=added.index_version)
