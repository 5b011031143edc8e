"""
What the service takes: query parameters and JSON bodies, as types, and their reading.

Reading is strict: a name that does not exist or a value of another type is refused, with a pointer at each.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar, get_origin

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic import model_validator as after_all
from pydantic_core import ErrorDetails

from index.records.banks import Purpose
from index.records.items import ItemState, Quarantine
from index.records.jobs import JobState
from service.errors import BadJson, Fault, InvalidField, InvalidParameter, UnknownParameter
from service.schemas import Band, BankRules, Verify

BANK_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_INTEGER = 2**53 - 1

Model = TypeVar("Model", bound=BaseModel)


def _integer(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,17}", value):
            raise ValueError("not a whole number")
        return int(value)
    return value


def _boolean(value: object) -> object:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise ValueError("neither `true` nor `false`")
        return value == "true"
    return value


def _instant(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("not a date and time of RFC 3339 with its offset (write `+` as `%2B` in a query)")
    return value


Integer = Annotated[int, BeforeValidator(_integer)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
IndexVersion = Annotated[int, Field(ge=0, le=_MAX_INTEGER), BeforeValidator(_integer)]
BankName = Annotated[str, StringConstraints(pattern=BANK_NAME)]
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]


class Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParameters(Parameters):
    pass


class MatchParameters(Parameters):
    bank: list[BankName] = Field(default=[], max_length=64, description="Look in these banks alone; repeatable.")
    incident: Token | None = Field(default=None, description="Look in the banks of this incident.")
    k: Integer = Field(default=5, ge=1, le=100, description="The most matches to answer.")
    min_band: Band = Field(
        default=Band.RELATED, description="The least band to answer; `none` answers the nearest whatever their score."
    )
    min_index_version: IndexVersion | None = Field(
        default=None,
        description="Wait until the index holds this version; 503 `index-behind` when it does not come.",
    )
    verify: Verify = Field(
        default=Verify.AUTO,
        description="Whether the originals of candidates are looked for in the upload: of the uncertain ones, of all, "
        "or of none.",
    )
    record: Boolean = Field(
        default=False, description="Record the upload as a sighting: what finds it again, and no media."
    )
    platform: Token | None = Field(default=None, description="Where the upload was seen.")
    upload_id: Text | None = Field(default=None, description="The platform's own name for the upload.")
    observed_at: Annotated[AwareDatetime, BeforeValidator(_instant)] | None = Field(
        default=None, description="When it was seen (RFC 3339, with offset)."
    )
    publisher: Text | None = Field(
        default=None, description="Who publishes it; one the operator trusts caps the action at `review`."
    )
    context: Token | None = Field(default=None, description="What it is said to be, `news` for one.")


class ExplainableParameters(MatchParameters):
    explain: Boolean = Field(
        default=False, description="Draw the best verified matches beside their originals, where these are kept."
    )


class AddParameters(Parameters):
    force: Boolean = Field(default=False, description="Bank it although there is too little to see in it.")


class ListParameters(Parameters):
    limit: Integer = Field(default=100, ge=1, le=1000, description="The most to answer at once.")
    cursor: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = Field(
        default=None, description="The `next` of the answer before."
    )


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
Subject = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,512}$")]


class SightingParameters(ListParameters):
    platform: Token | None = Field(default=None, description="Uploads of this platform.")
    incident: Token | None = Field(default=None, description="What matches this incident's banks, at once or since.")
    cluster: Token | None = Field(default=None, description="What belongs to the cluster of this first sighting.")
    band: Band | None = Field(default=None, description="What was answered with this band.")
    upload_id: Text | None = Field(default=None, description="What its platform calls by this name.")
    since: Instant | None = Field(default=None, description="Received at this instant or later (RFC 3339).")
    until: Instant | None = Field(default=None, description="Received before this instant (RFC 3339).")
    order: Literal["oldest", "newest"] = Field(default="newest", description="Which come first.")


class AuditParameters(ListParameters):
    participant: Token | None = Field(default=None, description="What this participant did.")
    action: Token | None = Field(default=None, description="What was done, such as `item.deleted`.")
    subject: Subject | None = Field(
        default=None, description="What it was done to, and what is in that: `banks/known` finds its items as well."
    )
    since: Instant | None = Field(default=None, description="From this instant on (RFC 3339, with offset).")
    until: Instant | None = Field(default=None, description="Before this instant (RFC 3339, with offset).")
    order: Literal["oldest", "newest"] = Field(default="oldest", description="Which come first.")


class JobListParameters(ListParameters):
    state: list[JobState] = Field(default=[], max_length=8, description="Only jobs in these states; repeatable.")


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_LABEL_KEY = r"^[^\x00-\x1f\x7f]{1,64}$"
LabelKey = Annotated[str, StringConstraints(pattern=_LABEL_KEY)]
LabelText = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00]*$")]
LabelInteger = Annotated[int, Field(ge=-_MAX_INTEGER, le=_MAX_INTEGER)]
LabelNumber = Annotated[float, Field(allow_inf_nan=False)]
LabelValue = LabelText | LabelInteger | LabelNumber | bool | None
LabelSet = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=64),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": _LABEL_KEY},
            "additionalProperties": TypeAdapter(LabelValue).json_schema(),
        }
    ),
]
Rows = Annotated[list[Annotated[list[float], Field(min_length=1, max_length=8192)]], Field(max_length=256)]
EmbedderName = Annotated[str, StringConstraints(max_length=256)]
Hashes = Annotated[list[str | None], Field(max_length=256)]

# What types alone do not say. A hash that is none is a problem of its own, so its pattern stands here alone.
_HASH: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_HASHES: dict[str, Any] = {"type": "array", "maxItems": 256, "items": {"anyOf": [_HASH, {"type": "null"}]}}
_SOMETHING: dict[str, Any] = {
    "anyOf": [
        {"required": ["pdq"], "properties": {"pdq": {"contains": {"type": "string"}}}},
        {"required": ["embeddings"], "properties": {"embeddings": {"minItems": 1}}},
    ]
}


class BankBody(Body):
    purpose: Purpose
    labels: LabelSet = {}
    settings: BankRules = BankRules()


class ItemPatch(Body):
    state: ItemState | None = None
    labels: LabelSet | None = None
    quarantine: Quarantine | None = Field(
        default=None, description="`none` lifts it: what it matches now is then taken to be right."
    )


class EmbeddingsBody(Body):
    """Frames of an upload, as embeddings of one space and PDQ hashes; the i-th of both are of the same frame."""

    model_config = ConfigDict(json_schema_extra=_SOMETHING)

    embedder_id: EmbedderName = ""
    embeddings: Rows = []
    pdq: Annotated[Hashes, WithJsonSchema(_HASHES)] = []

    @after_all(mode="after")
    def _something(self) -> Self:
        return _with_something(self, self.embeddings, self.pdq)


class SignatureBody(Body):
    """An item that nobody here has the media of; a single hash may be written without its list."""

    model_config = ConfigDict(json_schema_extra=_SOMETHING)

    embedder_id: EmbedderName = ""
    embeddings: Rows = []
    pdq: Annotated[str | Hashes, WithJsonSchema({"anyOf": [_HASH, _HASHES]})] = []
    labels: LabelSet = {}

    @property
    def hashes(self) -> list[str | None]:
        return [self.pdq] if isinstance(self.pdq, str) else self.pdq

    @after_all(mode="after")
    def _something(self) -> Self:
        return _with_something(self, self.embeddings, self.hashes)


def _with_something(body: Model, embeddings: Sequence[object], hashes: Sequence[str | None]) -> Model:
    if not embeddings and all(text is None for text in hashes):
        raise ValueError("neither embeddings nor a PDQ hash")
    return body


def bank_name_fits(name: str) -> bool:
    return re.fullmatch(BANK_NAME, name) is not None


def read_parameters(model: type[Model], pairs: Iterable[tuple[str, str]]) -> Model:
    """
    The query of a request.

    Raises:
        UnknownParameter, InvalidParameter: with a fault for each.
    """
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    unknown = [name for name in given if name not in model.model_fields]
    if unknown:
        known = ", ".join(model.model_fields) or "none"
        faults = [Fault(_pointer([name]), f"no such parameter; there are: {known}", "query") for name in unknown]
        raise UnknownParameter("A query parameter does not exist.", faults)
    lists = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is list}
    repeated = [name for name, values in given.items() if len(values) > 1 and name not in lists]
    if repeated:
        faults = [Fault(_pointer([name]), "given more than once", "query") for name in repeated]
        raise InvalidParameter("A query parameter is given more than once.", faults)
    try:
        return model.model_validate({name: values if name in lists else values[0] for name, values in given.items()})
    except ValidationError as error:
        faults = [Fault(_pointer(fault["loc"]), _sentence(fault), "query") for fault in _errors(error)]
        raise InvalidParameter("A query parameter is outside what is allowed.", faults) from None


def read_json(model: type[Model], body: bytes) -> Model:
    """
    A JSON body.

    Raises:
        BadJson, InvalidField: with a fault for each.
    """
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        errors = _errors(error)
        if errors[0]["type"] == "json_invalid":
            raise BadJson("The body is not JSON.", [Fault("", _sentence(errors[0]))]) from None
        whole = json.loads(body)
        faults: dict[str, Fault] = {}
        for fault in errors:
            pointer = _pointer(_within(whole, fault["loc"], missing=fault["type"] == "missing"))
            faults.setdefault(pointer, Fault(pointer, _sentence(fault)))
        raise InvalidField("The JSON is not what is described.", list(faults.values())) from None


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _sentence(fault: ErrorDetails) -> str:
    return str(fault["msg"]).removeprefix("Value error, ")


def _within(whole: object, loc: Sequence[str | int], *, missing: bool) -> list[str | int]:
    """The path as far as it leads into the document: pydantic adds the names of the alternatives it tried."""
    path: list[str | int] = []
    for step in loc:
        inside = (isinstance(whole, dict) and step in whole) or (
            isinstance(whole, list) and isinstance(step, int) and step < len(whole)
        )
        if inside:
            whole = whole[step]  # type: ignore[index]
            path.append(step)
        elif missing:
            path.append(step)
    return path


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
