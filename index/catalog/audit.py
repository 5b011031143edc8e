"""The audit log's rows: written in the transaction of the change they record, never changed, never deleted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, insert, select, type_coerce, update
from sqlalchemy.types import NullType

from index.audit import (
    BEFORE_THE_FIRST,
    Actor,
    AuditAction,
    AuditHead,
    Chain,
    Row,
    Verified,
    actor,
    canonical,
    digest_of,
)
from index.catalog.storage.cursors import cursor_for, number_position
from index.catalog.storage.database import Database
from index.catalog.storage.instants import to_us
from index.catalog.tables import audit, log_head
from index.records.pages import Page

_LIST = "audit"
_READ_AT_ONCE = 10_000
_ROW = (
    audit.c.seq,
    type_coerce(audit.c.at, BigInteger).label("at"),
    *(audit.c[name] for name in Row._fields[2:-1]),
    type_coerce(audit.c.digest, NullType).label("digest"),
)


def append(connection: Connection, at: datetime, action: AuditAction, subject: str, details: Mapping[str, Any]) -> None:
    """
    Notes one change, in its transaction: who makes it is taken from the context.

    Args:
        connection: of the transaction that makes the change.
        at: when.
        action: what is done.
        subject: to what, as in `banks/known`.
        details: plain JSON; what was, where that matters, and what is now.
    """
    append_all(connection, at, [(action, subject, details)])


def append_all(
    connection: Connection,
    at: datetime,
    changes: Sequence[tuple[AuditAction, str, Mapping[str, Any]]],
    by: Sequence[Actor] | None = None,
) -> None:
    """Notes several, in this order; `by` says who made each, where that is not one and the same from the context."""
    if not changes:
        return
    # The row that numbers the change log chains this one too: it is locked until commit, so that entries follow one
    # another on every database, and no two transactions can wait for each other's lock.
    reserved = update(log_head).values(audit_seq=log_head.c.audit_seq + len(changes))
    last, digest = connection.execute(reserved.returning(log_head.c.audit_seq, log_head.c.audit_digest)).one()
    by, when = by or [actor()] * len(changes), to_us(at)
    digest = digest or BEFORE_THE_FIRST
    values = []
    for seq, who, (action, subject, details) in zip(range(last - len(changes) + 1, last + 1), by, changes, strict=True):
        row = Row(
            seq=seq,
            at=when,
            participant=who.participant,
            key_id=who.key_id,
            via=who.via,
            request=who.request,
            action=action.value,
            subject=subject,
            details=canonical(details),
            digest=b"",
        )
        digest = digest_of(row, digest)
        values.append(row._replace(digest=digest)._asdict() | {"at": at})
    connection.execute(insert(audit), values)
    connection.execute(update(log_head).values(audit_digest=digest))


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries; None is all."""

    participant: str | None = None
    action: str | None = None
    subject: str | None = None
    """This, and what is in it: `banks/known` finds its items too."""
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = False


class AuditLog:
    """Reads the audit log. Safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> AuditHead:
        """Its last entry; number 0 while there is none."""
        with self._database.reading() as connection:
            return _head(connection)

    def page(self, query: AuditQuery, limit: int, cursor: str | None = None) -> Page[Row]:
        """
        Entries in their order.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        wanted = _conditions(query)
        order = audit.c.seq.desc() if query.newest_first else audit.c.seq
        belongs = f"{_LIST} {'newest' if query.newest_first else 'oldest'}"
        if cursor is not None:
            position = number_position(cursor, belongs)
            wanted.append(audit.c.seq < position if query.newest_first else audit.c.seq > position)
        with self._database.reading() as connection:
            found = connection.execute(select(*_ROW).where(*wanted).order_by(order).limit(limit + 1)).all()
        rows = tuple(Row(*row) for row in found[:limit])
        return Page(rows, cursor_for(belongs, rows[-1].seq) if len(found) > limit else None)

    def rows(self, after: int) -> Sequence[Row]:
        """The next entries after this one, as many as are read at once; none at the end."""
        return self._next(after)[0]

    def verify(
        self, witnesses: Mapping[int, bytes] | None = None, report: Callable[[int, int], None] | None = None
    ) -> Verified:
        """
        Follows the whole chain. What is added meanwhile is followed too.

        Args:
            witnesses: digests that were noted elsewhere, by number of their entry.
            report: told how far it is, and how much there is.
        """
        chain = Chain(witnesses or {})
        while True:
            # At first from the very beginning: what was put before the first entry is none of the chain's.
            rows, head = self._next(chain.seq or None)
            if not rows or not chain.follow(rows):
                return chain.end(head)
            if report is not None:
                report(chain.seq, head.seq)

    def _next(self, after: int | None) -> tuple[list[Row], AuditHead]:
        """In one state of the log, and not all of it at once: a long transaction would hold up the writers' tidying."""
        query = select(*_ROW).order_by(audit.c.seq).limit(_READ_AT_ONCE)
        if after is not None:
            query = query.where(audit.c.seq > after)
        with self._database.reading() as connection:
            return [Row._make(row) for row in connection.execute(query).all()], _head(connection)


def _head(connection: Connection) -> AuditHead:
    seq, digest = connection.execute(select(log_head.c.audit_seq, log_head.c.audit_digest)).one()
    return AuditHead(seq, digest or BEFORE_THE_FIRST)


def _conditions(query: AuditQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.participant is not None:
        wanted.append(audit.c.participant == query.participant)
    if query.action is not None:
        wanted.append(audit.c.action == query.action)
    if query.subject is not None:
        within = (audit.c.subject > f"{query.subject}/") & (audit.c.subject < f"{query.subject}0")  # 0 follows /
        wanted.append((audit.c.subject == query.subject) | within)
    if query.since is not None:
        wanted.append(audit.c.at >= query.since)
    if query.until is not None:
        wanted.append(audit.c.at < query.until)
    return wanted
