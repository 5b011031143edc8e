"""Which kinds of incident there are and what each takes: data, because organisations change their minds about both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from index.records.incidents import Criterion
from service.errors import BadSettings
from service.inputs import Body, Token

SHIPPED: Final = Path(__file__).parent / "types.json"
Sentence = Annotated[str, Field(max_length=1024)]


class TypeCriterion(Body):
    name: Token
    description: Sentence = ""
    required: bool = Field(default=False, description="Whether it must be met for an incident to be confirmed.")


class IncidentType(Body):
    name: Token
    title: Annotated[str, Field(min_length=1, max_length=255)]
    description: Sentence = ""
    criteria: Annotated[list[TypeCriterion], Field(max_length=64)] = Field(default=[])


_TYPES: Final = TypeAdapter(list[IncidentType])


@dataclass(frozen=True, slots=True)
class IncidentTypes:
    """An operator's registry, or the one that is shipped. An incident may be of a type that is not in it."""

    types: Mapping[str, IncidentType]

    @classmethod
    def load(cls, path: Path | None = None) -> "IncidentTypes":
        """
        Raises:
            BadSettings: it cannot be read, or is not such a registry.
        """
        try:
            found = _TYPES.validate_json((path or SHIPPED).read_bytes())
        except OSError as error:
            raise BadSettings(f"The incident types in {path} cannot be read: {type(error).__name__}.") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "/".join(str(step) for step in first["loc"])
            raise BadSettings(f"The incident types in {path} are not as described: {place}: {first['msg']}.") from None
        return cls({each.name: each for each in found})

    def completed(self, type_name: str, given: Sequence[Criterion]) -> tuple[Criterion, ...]:
        """The criteria of a type in its order, with what is said about them, then any others that were given."""
        known = self.types[type_name].criteria if type_name in self.types else []
        said = {criterion.name: criterion for criterion in given}
        listed = []
        for criterion in known:
            own = said.pop(criterion.name, Criterion(criterion.name))
            listed.append(Criterion(own.name, own.met, own.evidence, criterion.required))
        return (*listed, *said.values())
