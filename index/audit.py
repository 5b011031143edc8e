"""
The audit log: who did what to what, chained so that nothing in it can be changed or left out unnoticed.

    digest = SHA-256(digest of the entry before, 32 bytes; zeros before the first  +  the entry as canonical JSON)

Canonical JSON has its keys sorted, no blanks and only ASCII, everything else escaped: what Python's
`json.dumps(entry, sort_keys=True, separators=(",", ":"))` writes. Whoever has an export can follow the chain with that.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, NamedTuple

DIGEST_BYTES: Final = 32
BEFORE_THE_FIRST: Final = bytes(DIGEST_BYTES)
"""What the first entry is chained to."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, and written a million times: a zone costs as much again


class AuditAction(StrEnum):
    BANK_CREATED = "bank.created"
    BANK_CHANGED = "bank.changed"
    BANK_DELETED = "bank.deleted"
    ITEMS_ADDED = "items.added"
    ITEM_CHANGED = "item.changed"
    ITEM_DELETED = "item.deleted"
    CATALOG_RESTORED = "catalog.restored"
    """It was set back to a backup: what came after that is not in it."""
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    SPACE_REGISTERED = "space.registered"
    SPACE_CHANGED = "space.changed"
    """It is filled, shown, promoted, taken back or dropped: the details say which."""
    JOB_CREATED = "job.created"
    JOB_CHANGED = "job.changed"
    """It was cancelled or tried again, or has ended: the details say which."""
    INCIDENT_CREATED = "incident.created"
    INCIDENT_CHANGED = "incident.changed"
    INCIDENT_CONFIRMATION = "incident.confirmation"
    """An organisation confirms it; another one must, for it to be confirmed."""
    INCIDENT_ADVANCED = "incident.advanced"
    """It is in another state."""
    ITEM_QUARANTINED = "item.quarantined"
    FEEDBACK_GIVEN = "feedback.given"


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose behalf something is done."""

    via: str = "local"
    """`http`; `job`; `local` where the data directory itself was worked on."""
    participant: str | None = None
    """The organisation whose key was shown; None where no key is needed."""
    key_id: str | None = None
    request: str | None = None
    """The id of the request, or of the job: where to look on."""


_ACTOR: Final[ContextVar[Actor]] = ContextVar("actor", default=Actor())  # noqa: B039 - frozen


def actor() -> Actor:
    """Who is acting in this context."""
    return _ACTOR.get()


@contextmanager
def acting(who: Actor) -> Iterator[None]:
    """What is changed within is noted as this actor's doing. Threads that are started within do not inherit it."""
    before = _ACTOR.set(who)
    try:
        yield
    finally:
        _ACTOR.reset(before)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of the chain. Noted elsewhere, it shows later that nothing up to it was rewritten or cut off."""

    seq: int
    digest: bytes


class Row(NamedTuple):
    """An entry as it is kept."""

    seq: int
    at: int
    """Microseconds since 1970."""
    participant: str | None
    key_id: str | None
    via: str
    request: str | None
    action: str
    subject: str
    details: str
    """Canonical JSON."""
    digest: bytes


_ENTRY: Final = frozenset(Row._fields)
"""What an exported entry says, no more and no less."""


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds."""

    head: AuditHead
    """The last entry up to which it does."""
    broken: str | None = None
    """What is wrong with the entry after that; None when all is well."""


def canonical(details: Mapping[str, Any]) -> str:
    """
    Raises:
        ValueError: not a number, or not JSON.
    """
    return json.dumps(details, sort_keys=True, separators=(",", ":"), allow_nan=False)


def instant(at: int) -> str:
    """Microseconds since 1970 as RFC 3339, always to the microsecond."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds") + "Z"


def digest_of(row: Row, previous: bytes) -> bytes:
    """What the row's digest must be. Writes the canonical JSON by hand: its keys are known, and there are millions."""
    text = (
        f'{{"action":{quoted(row.action)},"at":"{instant(row.at)}","details":{row.details},'
        f'"key_id":{_or_null(row.key_id)},"participant":{_or_null(row.participant)},'
        f'"request":{_or_null(row.request)},"seq":{row.seq},"subject":{quoted(row.subject)},"via":{quoted(row.via)}}}'
    )
    return hashlib.sha256(previous + text.encode("ascii")).digest()


def _or_null(text: str | None) -> str:
    return "null" if text is None else quoted(text)


@dataclass(slots=True)
class Chain:
    """
    Follows a chain, entry by entry.

    Args:
        witnesses: digests noted elsewhere, by their entry's number: the chain must come through each.
    """

    witnesses: Mapping[int, bytes] = field(default_factory=dict)
    seq: int = 0
    digest: bytes = BEFORE_THE_FIRST
    broken: str | None = None

    def follow(self, rows: Iterable[Row]) -> bool:
        """Goes on; False once something is wrong."""
        if self.broken is not None:
            return False
        seq, digest = self.seq, self.digest
        expected: bytes | None
        for row in rows:
            seq += 1
            if row.seq < seq:
                self.broken = f"entry {row.seq} stands where entry {seq} should, and is none of the chain's"
                return False
            if row.seq != seq:
                self.broken = f"entry {seq} is missing: entry {row.seq} follows {seq - 1}"
                return False
            try:
                expected = digest_of(row, digest)
            except (ValueError, TypeError, OverflowError):  # what somebody else wrote there need not be text
                expected = None
            if expected is None or row.digest != expected:
                self.broken = f"entry {seq} is not what was written, or what is before it is not"
                return False
            if self.witnesses and self.witnesses.get(seq, expected) != expected:
                self.broken = f"entry {seq} is not the one that was witnessed: the log was rewritten"
                return False
            digest = expected
            self.seq, self.digest = seq, digest
        return True

    def end(self, head: AuditHead | None = None) -> Verified:
        """What was found; the head is where the log says it ends."""
        if self.broken is None and head is not None and head != AuditHead(self.seq, self.digest):
            self.broken = f"the log says it ends with entry {head.seq}, and ends with {self.seq}"
        missing = [seq for seq in self.witnesses if seq > self.seq]
        if self.broken is None and missing:
            self.broken = f"entry {min(missing)} was witnessed and is gone: the log was cut off"
        return Verified(AuditHead(self.seq, self.digest), self.broken)


def to_json(row: Row) -> dict[str, Any]:
    """An entry as it is answered and exported."""
    return {
        "seq": row.seq,
        "at": instant(row.at),
        "participant": row.participant,
        "key_id": row.key_id,
        "via": row.via,
        "request": row.request,
        "action": row.action,
        "subject": row.subject,
        "details": json.loads(row.details),
        "digest": row.digest.hex(),
    }


def from_json(entry: Mapping[str, Any]) -> Row:
    """
    An entry of an export, as it would be kept.

    Raises:
        ValueError: not an entry.
    """
    # What the digest does not cover, others must not read in it either.
    if entry.keys() != _ENTRY or type(entry["seq"]) is not int:
        raise ValueError("not an entry of an audit log")
    try:
        at = datetime.strptime(entry["at"], "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007 - likewise
        texts = {name: entry[name] for name in ("participant", "key_id", "via", "request", "action", "subject")}
        if any(value is not None and not isinstance(value, str) for value in texts.values()):
            raise ValueError("a text is something else")
        return Row(
            seq=entry["seq"],
            at=(at - _EPOCH) // timedelta(microseconds=1),
            details=canonical(entry["details"]),
            digest=bytes.fromhex(entry["digest"]),
            **texts,
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError("not an entry of an audit log") from error
