"""
What the service answers, as types: the pinned answer of a match, and the resources around it.

Other programs are written against these: every key is always present, null where there is nothing to say.
"""

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from index.records.banks import Bank, Purpose
from index.records.changes import Version
from index.records.items import Added, Item, ItemKind, ItemState, Quarantine

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


class Verify(StrEnum):
    """When originals are looked for in the upload."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Reason(StrEnum):
    """Why a verdict is what it is."""

    SAME_BYTES = "same_bytes"
    PERCEPTUAL_EXACT = "perceptual_exact"
    SEMANTIC_VARIANT = "semantic_variant"
    SEMANTIC_RELATED = "semantic_related"
    GEOMETRIC_MATCH = "geometric_match"
    COMBINED_EVIDENCE = "combined_evidence"
    NOT_CONFIRMED = "not_confirmed"
    UNCALIBRATED = "uncalibrated"
    LOW_INFORMATION = "low_information"
    PUBLIC_INTEREST_MATCH = "public_interest_match"
    PUBLIC_INTEREST_CAP = "public_interest_cap"
    INCIDENT_CONFIRMED = "incident_confirmed"
    INCIDENT_UNCONFIRMED = "incident_unconfirmed"
    INCIDENT_OVER = "incident_over"
    QUARANTINED = "quarantined"
    SHADOW = "shadow"


class Edit(StrEnum):
    """What was done to an original to make an upload of it, where its place in the upload tells."""

    CROPPED = "cropped"
    MIRRORED = "mirrored"
    ROTATED = "rotated"
    FRAMED = "framed"
    INSET = "inset"
    CAPTIONED = "captioned"


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


Corner = Annotated[list[float], Field(min_length=2, max_length=2)]
Quad = Annotated[list[Corner], Field(min_length=4, max_length=4)]


class GeometricEvidence(Shape):
    """
    Where the banked original lies in the upload, or seems to: see `verified`. Places are shares of width and height,
    from the top left.
    """

    inliers: int = Field(description="How many places of the two agree in one arrangement.")
    model: Literal["similarity", "affine", "homography"] = Field(description="What moves the original there.")
    mirrored: bool
    rotation_deg: float = Field(description="By how much the original is turned in the upload, clockwise, -180 to 180.")
    scale: float = Field(description="How long a pixel of the original is in the upload, both reduced alike.")
    query_quad: Quad = Field(
        description="Where the original's top left, top right, bottom right and bottom left corner lie in the upload; "
        "outside 0 to 1 where the upload is cut off."
    )
    reference_quad: Quad = Field(description="Likewise where the upload's corners lie in the original.")
    coverage: float = Field(ge=0, le=1, description="The share of the original's area that the upload shows.")
    agreement: float = Field(ge=0, le=1, description="In what share of that the two look the same.")
    probability: float | None = Field(
        description="That it is the same picture, from score, PDQ and geometry together; null where that was not "
        "calibrated."
    )
    threshold: float | None = Field(description="The probability from which a match is verified; null likewise.")
    expected_fpr: float | None = Field(description="Share of innocent uploads that reach this band by such evidence.")


class Match(Shape):
    item_id: str
    bank: str
    incident: str | None
    kind: ItemKind
    labels: LabelValues
    band: Band
    semantic: SemanticEvidence | None
    perceptual: PerceptualEvidence | None
    verified: bool | None = Field(
        description="Whether the original was found in the upload; null where nobody looked, there is too little to "
        "hold on to, or time ran out."
    )
    geometry: GeometricEvidence | None = Field(
        description="Null where nothing was found. With `verified` false it says what was and did not suffice."
    )
    edits: list[Edit] = Field(description="What was done to the original, as far as the geometry tells.")
    query_ms: int
    reference_ms: int
    segments: list[dict[str, int]]


class Explanation(Shape):
    """
    The best verified matches drawn: both pictures side by side, and which part of the one is in the other. Where none
    is verified, what was found and did not convince.
    """

    image: str = Field(description="A PNG, as a `data:` URL.")
    item_ids: list[str] = Field(description="What is drawn, from the top.")
    missing_originals: list[str] = Field(description="Of these, the items whose original is not kept.")
    unverified: list[str] = Field(description="Of these, the items that were not shown to be in the upload.")


class Timings(Shape):
    decode: float
    embed: float
    search: float
    verify: float
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
    sighting_id: str | None = Field(
        description="The recorded upload; null where it was not to be, or could not be recorded."
    )
    explanation: Explanation | None = Field(description="Null where none was asked for, or nothing was found.")
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


def _no_truth_value(value: object) -> object:
    """`False == 0`, yet it is none of the numbers."""
    if isinstance(value, bool):
        raise ValueError("neither 0 nor 4 nor 9")  # noqa: TRY004 - the one that pydantic tells the caller
    return value


class BankRules(BaseModel):
    """What a bank says for itself; null leaves it to the space's calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant_score: Score | None = None
    related_score: Score | None = None
    block_on_semantic: bool = Field(
        default=False, strict=True, description="Whether semantic evidence alone may suggest `block`."
    )
    shadow: bool = Field(
        default=False, strict=True, description="Only count what its matches would suggest, and suggest nothing."
    )
    tiles: Annotated[Literal[0, 4, 9], BeforeValidator(_no_truth_value)] = Field(
        default=0,
        description="How many overlapping parts of each picture are banked beside the whole, so that small crops are "
        "found: as many times more rows to keep and to search. For what comes; the job `tiles` does it for what is "
        "there.",
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
    quarantine: Quarantine = Field(description="Which of its matches suggest no more than a review.")
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


class AuditEntry(Shape):
    """Its digest is the SHA-256 of the digest before it and of everything else here, as canonical JSON."""

    seq: int = Field(description="From 1, without a gap.")
    at: str = Field(description="RFC 3339, in UTC, to the microsecond.", json_schema_extra={"format": "date-time"})
    participant: str | None = Field(description="Whose key was shown; null where none was needed.")
    key_id: str | None
    via: str = Field(description="`http`; `job`; `duty`: the service of itself; `local`: on the data directory itself.")
    request: str | None = Field(description="The id of the request, or of the job.")
    action: str
    subject: str
    details: dict[str, Any]
    digest: str


class AuditEnd(Shape):
    seq: int = Field(description="The number of the last entry; 0 while there is none.")
    digest: str = Field(description="Its digest; 64 zeros while there is none.")


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
        settings=BankRules(**asdict(bank.settings)),
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
        # A signature from a list is named by its hash, so that lists may repeat themselves: no digest of any media.
        sha256=None if item.kind is ItemKind.SIGNATURE else item.sha256,
        frames=item.frames,
        duration_ms=item.duration_ms,
        low_information=item.low_information,
        quarantine=item.quarantine,
        spaces=list(item.spaces),
        created_at=item.created_at,
        updated_at=item.updated_at,
    )


def changed_item(item: Item, version: Version) -> ChangedItem:
    return ChangedItem(**dict(item_resource(item)), index_version=version)


def banked(added: Added) -> Banked:
    item = added.item
    return Banked(item_id=item.item_id, kind=item.kind, frames=item.frames, index_version=added.index_version)
