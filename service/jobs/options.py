"""What each kind of job takes, and the reading of it."""

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from index.records.jobs import JobJson
from service.errors import Fault, InvalidField
from service.inputs import BankName, LabelSet

Path = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _whole(value: object) -> object:
    """JSON knows no integers: 5.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceOptions(Options):
    sources: Annotated[list[Path], Field(min_length=1, max_length=10_000)] = Field(
        description="Folders, pictures, shards, manifests and lists of hashes, on the machine that does the job."
    )
    labels_from: Annotated[list[Name], Field(max_length=64)] | None = Field(
        default=None, description="The fields of lists that become labels; null is all."
    )
    root: Path | None = Field(default=None, description="What paths in lists are relative to; null is their list.")


class IngestOptions(SourceOptions):
    bank: BankName
    purpose: Literal["harmful", "public_interest"] | None = Field(
        default=None, description="Of a new bank; null is `harmful`, or whatever an existing one has."
    )
    labels: LabelSet = {}
    force: bool = Field(default=False, description="Bank pictures too in which there is too little to see.")


class ScanOptions(SourceOptions):
    banks: Annotated[list[BankName], Field(max_length=64)] = Field(default=[], description="None is every bank.")
    k: Annotated[int, BeforeValidator(_whole)] = Field(default=5, ge=1, le=100)
    min_band: Literal["exact", "variant", "related", "none"] = "related"
    matches_only: bool = Field(default=False, description="Leave out rows that match nothing.")
    format: Literal["jsonl", "parquet"] = "jsonl"


class LocalScanOptions(ScanOptions):
    output: Path | None = None
    """Where this machine puts the results; None is the folder of the job."""


class CompactOptions(Options):
    view: Name | None = Field(default=None, description="A space's id, or `pdq`; null is all.")


class ReindexOptions(Options):
    model: Path
    replaces: Name | None = None
    calibrate_on: Path | None = None


class PurgeOptions(Options):
    space: Name


class TilesOptions(Options):
    bank: BankName = Field(description="It is brought to the tiles of its settings.")


class NoOptions(Options):
    pass


_DESCRIBED: Final[dict[str, type[Options]]] = {
    "ingest": IngestOptions,
    "scan": ScanOptions,
    "compact": CompactOptions,
    "reindex": ReindexOptions,
    "purge": PurgeOptions,
    "features": NoOptions,
    "tiles": TilesOptions,
}
Model = TypeVar("Model", bound=Options)


class JobBody(BaseModel):
    """Long work of one kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.kind not in _DESCRIBED:
            raise ValueError(f"no such kind of job; there are: {', '.join(_DESCRIBED)}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: object) -> dict[str, Any]:
        return {"title": cls.__name__, "oneOf": [_described(kind, model) for kind, model in _DESCRIBED.items()]}


def _described(kind: str, model: type[Options]) -> dict[str, Any]:
    options = model.model_json_schema()
    return {
        "title": f"{kind.capitalize()}Job",
        "type": "object",
        "required": ["kind", "options"] if "required" in options else ["kind"],
        "properties": {"kind": {"const": kind}, "options": options},
        "additionalProperties": False,
    }


def read_options(model: type[Model], options: JobJson) -> Model:
    """
    Raises:
        InvalidField: with a pointer below `/options` at each mistake.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        faults = [
            Fault("/options" + "".join(f"/{each}" for each in fault["loc"]), fault["msg"])
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise InvalidField("The options are not what is described.", faults) from None
