"""Participants and their keys, kept hashed."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from index.audit import AuditAction
from index.catalog import audit
from index.catalog.storage.cursors import cursor_for, number_position
from index.catalog.storage.database import Database
from index.catalog.tables import keys, log_head, participants
from index.errors import KeyUnusable, RoleConflict, UnknownKey
from index.records.keys import Allowance, Key, KeyId, NewKey, Ring, Role, Scope, Secret
from index.records.pages import Page

Clock = Callable[[], datetime]
_LIST = "keys"


class KeyTable:
    """
    Keys are never deleted: one that was revoked or has expired stays, so that a service that had keys does not fall
    open, and the audit log's names keep their meaning. Safe from any thread.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def version(self) -> int:
        """Of the keys; cheap enough to ask before every request."""
        return int(self._database.scalar("SELECT keys_version FROM log_head"))

    def ring(self) -> Ring:
        with self._database.reading() as connection:
            version = connection.execute(select(log_head.c.keys_version)).scalar_one()
            found = [_key(row) for row in connection.execute(_select().order_by(keys.c.number))]
        return Ring(version, {key.key_id: key for key in found})

    def page(self, limit: int, cursor: str | None = None) -> Page[Key]:
        """
        Oldest first, those that have ended included.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        after = 0 if cursor is None else number_position(cursor, _LIST)
        query = _select().where(keys.c.number > after).order_by(keys.c.number).limit(limit + 1)
        with self._database.reading() as connection:
            found = [_key(row) for row in connection.execute(query)]
        following = cursor_for(_LIST, found[limit - 1].number) if len(found) > limit else None
        return Page(tuple(found[:limit]), following)

    def create(self, new: NewKey, secret: Secret) -> Key:
        """
        Makes a key, and its participant where there is none of that name.

        Raises:
            RoleConflict: the participant has another role.
        """
        return self._database.write(lambda connection: _create(connection, new, secret, self._clock()))

    def rotate(self, key_id: KeyId, secret: Secret, until: datetime) -> Key:
        """
        Another key in place of this one, which can be used until then at the latest.

        Raises:
            UnknownKey: there is none of that name.
            KeyUnusable: it has expired, was revoked, or was replaced already.
        """
        return self._database.write(lambda connection: _rotate(connection, key_id, secret, until, self._clock()))

    def revoke(self, key_id: KeyId) -> Key:
        """
        Ends a key for good; again is harmless.

        Raises:
            UnknownKey: there is none of that name.
        """
        return self._database.write(lambda connection: _revoke(connection, key_id, self._clock()))

    def used(self, uses: Mapping[KeyId, datetime]) -> None:
        """Notes when keys were last used; an earlier time than is known changes nothing."""

        def note(connection: Connection) -> None:
            for key_id, at in sorted(uses.items()):
                known = keys.c.last_used_at
                later = or_(known.is_(None), known < at)
                connection.execute(update(keys).where(keys.c.key_id == key_id, later).values(last_used_at=at))

        self._database.write(note)


def _create(connection: Connection, new: NewKey, secret: Secret, at: datetime) -> Key:
    _count_change(connection)  # first, for its row is the lock that orders writers
    role = connection.execute(select(participants.c.role).where(participants.c.name == new.participant)).scalar()
    if role is None:
        connection.execute(insert(participants).values(name=new.participant, role=new.role.value, created_at=at))
    elif role != new.role.value:
        raise RoleConflict(f"This participant is known as {role}; it keeps its role.")
    key = _insert(connection, new, secret, at)
    audit.append(connection, at, AuditAction.KEY_CREATED, f"keys/{key.key_id}", _details(key))
    return key


def _rotate(connection: Connection, key_id: KeyId, secret: Secret, until: datetime, at: datetime) -> Key:
    _count_change(connection)
    old = _get(connection, key_id)
    if old.revoked_at is not None or old.expired(at) or old.replaced_by is not None:
        raise KeyUnusable("The key has expired, was revoked or was replaced already; make a new one.")
    new = NewKey(old.participant, old.role, old.scopes, old.note, old.expires_at, old.allowance)
    key = _insert(connection, new, secret, at)
    ends = until if old.expires_at is None else min(until, old.expires_at)
    connection.execute(update(keys).where(keys.c.key_id == key_id).values(expires_at=ends, replaced_by=secret.key_id))
    details = {"replaced_by": key.key_id, "expires_at": ends.isoformat()}
    audit.append(connection, at, AuditAction.KEY_ROTATED, f"keys/{key_id}", details)
    return key


def _revoke(connection: Connection, key_id: KeyId, at: datetime) -> Key:
    key = _get(connection, key_id)
    if key.revoked_at is None:
        _count_change(connection)
        connection.execute(update(keys).where(keys.c.key_id == key_id).values(revoked_at=at))
        audit.append(connection, at, AuditAction.KEY_REVOKED, f"keys/{key_id}", {"participant": key.participant})
    return _get(connection, key_id)


def _count_change(connection: Connection) -> None:
    connection.execute(update(log_head).values(keys_version=log_head.c.keys_version + 1))


def _insert(connection: Connection, new: NewKey, secret: Secret, at: datetime) -> Key:
    last = connection.execute(select(func.max(keys.c.number))).scalar() or 0
    connection.execute(
        insert(keys).values(
            key_id=secret.key_id,
            number=last + 1,
            digest=secret.digest,
            participant=new.participant,
            scopes=sorted(scope.value for scope in new.scopes),
            note=new.note,
            rate_per_s=new.allowance.rate_per_s,
            queries_per_day=new.allowance.queries_per_day,
            created_at=at,
            expires_at=new.expires_at,
        )
    )
    return _get(connection, secret.key_id)


def _get(connection: Connection, key_id: KeyId) -> Key:
    row = connection.execute(_select().where(keys.c.key_id == key_id)).one_or_none()
    if row is None:
        raise UnknownKey("There is no key of that name.")
    return _key(row)


def _select() -> Select[Any]:
    return select(keys, participants.c.role).join(participants, participants.c.name == keys.c.participant)


def _key(row: Row[Any]) -> Key:
    return Key(
        key_id=KeyId(row.key_id),
        number=row.number,
        digest=row.digest,
        participant=row.participant,
        role=Role(row.role),
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        note=row.note,
        allowance=Allowance(row.rate_per_s, row.queries_per_day),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
    )


def _details(key: Key) -> dict[str, Any]:
    """Everything about a key but its digest."""
    return {
        "participant": key.participant,
        "role": key.role.value,
        "scopes": sorted(scope.value for scope in key.scopes),
        "note": key.note,
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
        "rate_per_s": key.allowance.rate_per_s,
        "queries_per_day": key.allowance.queries_per_day,
    }
