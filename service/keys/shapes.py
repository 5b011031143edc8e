"""Keys as they are asked for and answered over HTTP."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from index.records.keys import USUAL_SCOPES, Allowance, Key, NewKey, Role, Scope
from service.inputs import Body, Token
from service.schemas import Shape

LONGEST_NOTE = 256
KEY_ID = r"^[a-z2-7]{12}$"
_MOST = 2**53 - 1

Note = Annotated[str, StringConstraints(max_length=LONGEST_NOTE, pattern=r"^[^\x00]*$")]


def _whole(value: object) -> object:
    """JSON knows one kind of number: 5.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_utc(at: datetime) -> datetime:
    """What is before or after all the years there are in UTC is at their beginning or end."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if at.year > 1 else datetime.min.replace(tzinfo=UTC)


Ends = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class KeyBody(Body):
    """A key to be made."""

    participant: Token
    role: Role = Field(default=Role.PLATFORM, description="A participant keeps the role it was made with.")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] | None = Field(
        default=None, description="Null: those that are usual for the role."
    )
    note: Note = Field(default="", description="What it is for; kept as it is, never interpreted.")
    expires_at: Ends | None = None
    rate_per_s: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = Field(
        default=None, description="Requests a second; 0 is no limit, null leaves it to the service."
    )
    queries_per_day: Annotated[int, Field(ge=0, le=_MOST), BeforeValidator(_whole)] | None = Field(
        default=None, description="Uploads asked about in a day; likewise."
    )

    @property
    def wanted(self) -> NewKey:
        return NewKey(
            participant=self.participant,
            role=self.role,
            scopes=USUAL_SCOPES[self.role] if self.scopes is None else frozenset(self.scopes),
            note=self.note,
            expires_at=self.expires_at,
            allowance=Allowance(self.rate_per_s, self.queries_per_day),
        )


class RotationBody(Body):
    grace_s: Annotated[int, BeforeValidator(_whole)] = Field(
        default=86_400, ge=0, le=31_536_000, description="How long the old key can still be used."
    )


class KeyResource(Shape):
    key_id: str
    participant: str
    role: Role
    scopes: list[Scope]
    note: str
    rate_per_s: float | None
    queries_per_day: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute or so.")
    replaced_by: str | None


class IssuedKey(KeyResource):
    key: str = Field(description="What its holder sends. It is shown this once: only its digest is kept.")


def key_resource(key: Key) -> KeyResource:
    return KeyResource(
        key_id=key.key_id,
        participant=key.participant,
        role=key.role,
        scopes=sorted(key.scopes),
        note=key.note,
        rate_per_s=key.allowance.rate_per_s,
        queries_per_day=key.allowance.queries_per_day,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        replaced_by=key.replaced_by,
    )


def issued_key(key: Key, text: str) -> IssuedKey:
    return IssuedKey(**dict(key_resource(key)), key=text)
