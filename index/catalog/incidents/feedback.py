"""Feedback: kept of every match that somebody looked at, and acted on where organisations agree."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, true

from index.audit import AuditAction
from index.catalog import audit, events
from index.catalog.incident_tables import feedback, incident_banks, incidents
from index.catalog.incidents import members as incident_members
from index.catalog.incidents import quarantines
from index.catalog.storage.cursors import cursor_for, text_position
from index.catalog.storage.database import Database
from index.catalog.tables import banks, items
from index.errors import UnknownItem
from index.identifiers import item_key_of
from index.records.events import EventKind
from index.records.feedback import Feedback, FeedbackId, FeedbackQuery, NewFeedback, Opinion, Opinions
from index.records.items import ItemId, Quarantine
from index.records.pages import Page

Clock = Callable[[], datetime]
AGREEING: Final = 2
"""So many organisations that call an item's matches wrong, while none calls them right, put it under quarantine."""
_LIST: Final = "feedback"


class FeedbackTable:
    """Safe from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def give(self, new: NewFeedback, *, seen_by: str | None = None) -> Feedback:
        """
        Notes what somebody says. What the same organisation said of the same answer before is replaced by it; or of
        the item at large, where it names neither answer nor upload.

        Args:
            new: what is said.
            seen_by: the platform that says it, which knows of no items of incidents it takes no part in; None is
                whoever sees all.

        Raises:
            UnknownItem: there is none of that id.
        """
        return self._database.write(lambda connection: _give(connection, new, seen_by, self._clock()))

    def page(self, query: FeedbackQuery, limit: int, cursor: str | None = None) -> Page[Feedback]:
        """
        Newest first.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        wanted = _conditions(query)
        if cursor is not None:
            wanted.append(feedback.c.feedback_id < text_position(cursor, _LIST))
        rows = _select().where(*wanted).order_by(feedback.c.feedback_id.desc()).limit(limit + 1)
        with self._database.reading() as connection:
            found = [_feedback(row) for row in connection.execute(rows)]
        following = cursor_for(_LIST, found[limit - 1].feedback_id) if len(found) > limit else None
        return Page(tuple(found[:limit]), following)

    def opinions(self, query: FeedbackQuery) -> Opinions:
        """How many there are of each."""
        with self._database.reading() as connection:
            return opinions(connection, *_conditions(query))


def opinions(connection: Connection, *wanted: ColumnElement[bool]) -> Opinions:
    counted = (
        select(feedback.c.opinion, func.count()).select_from(_joined()).where(*wanted).group_by(feedback.c.opinion)
    )
    found = {str(opinion): int(count) for opinion, count in connection.execute(counted)}
    return {opinion: found.get(opinion.value, 0) for opinion in Opinion}


def _give(connection: Connection, new: NewFeedback, seen_by: str | None, at: datetime) -> Feedback:
    place = (
        select(items.c.item_key, items.c.bank_key, banks.c.name, incident_banks.c.incident_key)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .join(incident_banks, incident_banks.c.bank_key == items.c.bank_key, isouter=True)
        .where(
            items.c.item_key == item_key_of(new.item_id),
            items.c.item_id == new.item_id,
            banks.c.removed_at.is_(None),
        )
    )
    row = connection.execute(place).one_or_none()
    if row is None or (seen_by is not None and row.name in incident_members.hidden_from(connection, seen_by)):
        raise UnknownItem("There is no item of that id.")
    if new.request_id is not None or new.sighting_id is None:
        earlier = feedback.c.item_key == row.item_key, feedback.c.request_id.is_not_distinct_from(new.request_id)
        of_it = true() if new.request_id is not None else feedback.c.sighting_id.is_(None)
        connection.execute(delete(feedback).where(*earlier, of_it, _by(new.participant)))
    feedback_id = FeedbackId(f"{int(at.timestamp() * 1e6):016x}{secrets.token_hex(6)}")
    connection.execute(
        insert(feedback).values(
            feedback_id=feedback_id,
            item_key=row.item_key,
            bank_key=row.bank_key,
            incident_key=row.incident_key,
            request_id=new.request_id,
            sighting_id=new.sighting_id,
            opinion=new.opinion.value,
            participant=new.participant,
            note=new.note,
            at=at,
        )
    )
    told = {"item_id": new.item_id, "bank": row.name, "opinion": new.opinion.value, "participant": new.participant}
    details = {**told, "request_id": new.request_id, "sighting_id": new.sighting_id, "note": new.note}
    audit.append(connection, at, AuditAction.FEEDBACK_GIVEN, f"feedback/{feedback_id}", details)
    own = {"incident_key": row.incident_key, "platform": new.participant, "data": told}
    events.append(connection, at, EventKind.FEEDBACK, **own)
    if new.opinion is Opinion.NEGATIVE and _agreed(connection, row.item_key):
        facts = {"by": "feedback", "organisations": AGREEING}
        quarantines.put(connection, row.item_key, Quarantine.ALL, facts, at)
    made = connection.execute(_select().where(feedback.c.feedback_id == feedback_id)).one()
    return _feedback(made)


def _by(participant: str | None) -> ColumnElement[bool]:
    return feedback.c.participant.is_(None) if participant is None else feedback.c.participant == participant


def _agreed(connection: Connection, item_key: int) -> bool:
    """Whether enough organisations call its matches wrong, and none right, since its quarantine was last lifted."""
    query = select(feedback.c.participant, feedback.c.opinion).where(feedback.c.item_key == item_key).distinct()
    lifted_at = quarantines.lifted_at(connection, item_key)
    said = connection.execute(query if lifted_at is None else query.where(feedback.c.at > lifted_at)).all()
    wrong = {row.participant for row in said if row.opinion == Opinion.NEGATIVE and row.participant is not None}
    return len(wrong) >= AGREEING and all(row.opinion != Opinion.POSITIVE for row in said)


def _joined() -> Any:  # noqa: ANN401 - SQLAlchemy's joins have no type that says more
    return (
        feedback.outerjoin(items, items.c.item_key == feedback.c.item_key)
        .outerjoin(banks, (banks.c.bank_key == feedback.c.bank_key) & banks.c.removed_at.is_(None))
        .outerjoin(incidents, incidents.c.incident_key == feedback.c.incident_key)
    )


def _select() -> Select[Any]:
    return select(feedback, items.c.item_id, banks.c.name.label("bank"), incidents.c.incident_id).select_from(_joined())


def _conditions(query: FeedbackQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.item_id is not None:
        wanted += [feedback.c.item_key == item_key_of(ItemId(query.item_id)), items.c.item_id == query.item_id]
    if query.bank is not None:
        wanted.append(banks.c.name == query.bank)
    if query.incident_id is not None:
        wanted.append(incidents.c.incident_id == query.incident_id)
    if query.opinion is not None:
        wanted.append(feedback.c.opinion == query.opinion.value)
    if query.participant is not None:
        wanted.append(feedback.c.participant == query.participant)
    return wanted


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(
        feedback_id=FeedbackId(row.feedback_id),
        item_id=None if row.item_id is None else ItemId(row.item_id),
        bank=row.bank,
        incident_id=row.incident_id,
        opinion=Opinion(row.opinion),
        participant=row.participant,
        request_id=row.request_id,
        sighting_id=row.sighting_id,
        note=row.note,
        at=row.at,
    )
