"""Incidents as they are asked for and answered over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints
from pydantic import model_validator as after_all

from index.records.incidents import (
    CONFIRMATIONS_NEEDED,
    NEXT_STATES,
    Criterion,
    Incident,
    IncidentChange,
    IncidentProtocol,
    IncidentState,
    IncidentThresholds,
)
from service.inputs import BankName, Body, ListParameters, Token
from service.schemas import Action, Band, Score, Shape

INCIDENT_ID = r"^[0-9a-f]{28}$"

Title = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Prose = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]
"""What somebody wrote: kept as it is, markup and control characters too, and never interpreted."""
Reasoned = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
_EACH_ONCE: Final[dict[str, Any]] = {"uniqueItems": True}
Names = Annotated[list[Token], Field(max_length=256, json_schema_extra=_EACH_ONCE)]
BankNames = Annotated[list[BankName], Field(max_length=64, json_schema_extra=_EACH_ONCE)]


class CriterionBody(Body):
    name: Token
    met: bool | None = Field(default=None, description="Null while nobody has said.")
    evidence: Prose = Field(default="", description="What shows it; kept as it is.")

    @property
    def criterion(self) -> Criterion:
        return Criterion(self.name, self.met, self.evidence)


Criteria = Annotated[list[CriterionBody], Field(max_length=64)]


class ThresholdsBody(Body):
    """Where bands begin for the incident's banks; null leaves it to the bank, then to the space's calibration."""

    variant_score: Score | None = None
    related_score: Score | None = None

    @property
    def thresholds(self) -> IncidentThresholds:
        return IncidentThresholds(self.variant_score, self.related_score)


class ProtocolBody(Body):
    """What is suggested at which band once the incident is confirmed, and who is told."""

    exact: Action = Action.BLOCK
    variant: Action = Field(
        default=Action.BLOCK, description="Where the evidence is not calibrated, `block` becomes `review`."
    )
    related: Action = Field(default=Action.NONE, description="Likewise.")
    announce: Literal["exact", "variant", "related"] = Field(
        default="variant", description="The least band of a match that subscribers are told of."
    )
    tell: Annotated[list[Title], Field(max_length=64)] = Field(
        default=[],
        description="Others to be told of what is decided, such as an authority: named in events, reached by people.",
    )

    @property
    def protocol(self) -> IncidentProtocol:
        actions = {name: getattr(self, name).value for name in ("exact", "variant", "related")}
        return IncidentProtocol(**actions, announce=self.announce, tell=tuple(self.tell))


class IncidentBody(Body):
    """An incident to be opened."""

    name: Title
    type: Token = Field(description="Any name; GET /v1/incident-types lists those whose criteria are known.")
    criteria: Criteria = Field(default=[])
    banks: BankNames = Field(default=[], description="Each belongs to one incident at most.")
    participants: Names = Field(default=[], description="The organisations it is for; none named is all.")
    thresholds: ThresholdsBody = ThresholdsBody()
    protocol: ProtocolBody = ProtocolBody()
    shadow: bool = Field(default=False, description="Only count what would be suggested, and suggest nothing.")
    participant: Token | None = Field(
        default=None, description="On whose behalf, where no key is needed; a key says it of itself."
    )

    @after_all(mode="after")
    def _each_once(self) -> Self:
        _refuse_repeated(self)
        return self


class IncidentPatch(Body):
    """What to change; what is not there stays as it is, and what is there is replaced as a whole."""

    name: Title | None = None
    criteria: Criteria | None = None
    banks: BankNames | None = None
    participants: Names | None = None
    thresholds: ThresholdsBody | None = None
    protocol: ProtocolBody | None = None
    shadow: bool | None = None

    @after_all(mode="after")
    def _each_once(self) -> Self:
        _refuse_repeated(self)
        return self

    @property
    def changes_rules(self) -> bool:
        """Whether matching goes by something of it."""
        rules = self.banks, self.participants, self.thresholds, self.protocol, self.shadow
        return any(value is not None for value in rules)

    @property
    def change(self) -> IncidentChange:
        return IncidentChange(
            name=self.name,
            criteria=None if self.criteria is None else [each.criterion for each in self.criteria],
            banks=self.banks,
            participants=self.participants,
            thresholds=None if self.thresholds is None else self.thresholds.thresholds,
            protocol=None if self.protocol is None else self.protocol.protocol,
            shadow=self.shadow,
        )


def _refuse_repeated(body: "IncidentBody | IncidentPatch") -> None:
    lists = {
        "banks": body.banks or [],
        "participants": body.participants or [],
    }
    twice = [name for name, values in lists.items() if len(set(values)) < len(values)]
    if twice:
        raise ValueError(f"something is named twice in: {', '.join(twice)}")


class TransitionBody(Body):
    to: IncidentState
    reason: Reasoned = Field(description="Why; kept as it is.")
    participant: Token | None = Field(
        default=None, description="On whose behalf, where no key is needed; a key says it of itself."
    )


class IncidentListParameters(ListParameters):
    state: list[IncidentState] = Field(default=[], max_length=8, description="Only in these states; repeatable.")


class CriterionResource(Shape):
    name: str
    met: bool | None = Field(description="Null while nobody has said.")
    evidence: str
    required: bool = Field(description="Whether it must be met for the incident to be confirmed.")


class ThresholdsResource(Shape):
    variant_score: float | None
    related_score: float | None


class ProtocolResource(Shape):
    exact: Action
    variant: Action
    related: Action
    announce: Band
    tell: list[str]


class TransitionResource(Shape):
    from_state: IncidentState
    to_state: IncidentState
    participant: str | None
    reason: str
    at: datetime


class ConfirmationResource(Shape):
    participant: str
    reason: str
    at: datetime


class IncidentResource(Shape):
    incident_id: str
    name: str
    type: str
    state: IncidentState
    next_states: list[IncidentState] = Field(description="Those that can follow.")
    criteria: list[CriterionResource]
    banks: list[str]
    participants: list[str] = Field(description="None named is all.")
    thresholds: ThresholdsResource
    protocol: ProtocolResource
    shadow: bool
    revision: int = Field(description="Counts its changes; the ETag is made of it.")
    opened_by: str | None
    confirmations: list[ConfirmationResource]
    confirmations_needed: int = Field(description="How many organisations must confirm it.")
    transitions: list[TransitionResource] = Field(description="Oldest first.")
    created_at: datetime
    updated_at: datetime
    confirmed_at: datetime | None
    concluded_at: datetime | None
    first_match_at: datetime | None = Field(description="The first match since it was confirmed, to the second.")


class ChangedIncident(IncidentResource):
    index_version: int = Field(description="Every answer at this version or later goes by it.")


def incident_resource(incident: Incident) -> IncidentResource:
    protocol = incident.protocol
    return IncidentResource(
        incident_id=incident.incident_id,
        name=incident.name,
        type=incident.type,
        state=incident.state,
        next_states=sorted(NEXT_STATES[incident.state]),
        criteria=[
            CriterionResource(name=each.name, met=each.met, evidence=each.evidence, required=each.required)
            for each in incident.criteria
        ],
        banks=list(incident.banks),
        participants=list(incident.participants),
        thresholds=ThresholdsResource(
            variant_score=incident.thresholds.variant_score, related_score=incident.thresholds.related_score
        ),
        protocol=ProtocolResource(
            exact=Action(protocol.exact),
            variant=Action(protocol.variant),
            related=Action(protocol.related),
            announce=Band(protocol.announce),
            tell=list(protocol.tell),
        ),
        shadow=incident.shadow,
        revision=incident.revision,
        opened_by=incident.opened_by,
        confirmations=[
            ConfirmationResource(participant=each.participant, reason=each.reason, at=each.at)
            for each in incident.confirmations
        ],
        confirmations_needed=CONFIRMATIONS_NEEDED,
        transitions=[
            TransitionResource(
                from_state=each.from_state,
                to_state=each.to_state,
                participant=each.participant,
                reason=each.reason,
                at=each.at,
            )
            for each in incident.transitions
        ],
        created_at=incident.created_at,
        updated_at=incident.updated_at,
        confirmed_at=incident.confirmed_at,
        concluded_at=incident.concluded_at,
        first_match_at=incident.first_match_at,
    )


def changed_incident(incident: Incident, version: int) -> ChangedIncident:
    return ChangedIncident(**dict(incident_resource(incident)), index_version=version)
