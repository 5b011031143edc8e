"""
Repeated requests, answered as they were the first time.

Written in the transaction of the request itself: there is no instant at which a request was carried out and its
repetition would not be recognised.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from index.catalog.banks import adding
from index.catalog.tables import idempotency
from index.errors import IdempotencyConflict
from index.records.changes import Version
from index.records.items import Added, Idempotency, Item, ItemId, ItemKind, ItemState, NewItem
from index.records.spaces import SpaceId

KEPT_FOR = timedelta(hours=24)


def add_once(connection: Connection, bank: str, new: NewItem, request: Idempotency, now: datetime) -> Added:
    """
    Banks an item, or answers as it was done when the same request came first.

    Raises:
        IdempotencyConflict: the key was used for another request.
    """
    earlier = find(connection, request, now)
    if earlier is not None:
        return earlier
    (added,) = adding.add(connection, bank, [new], now)
    keep(connection, request, added, now)
    return added


def find(connection: Connection, request: Idempotency, now: datetime) -> Added | None:
    """
    What the same request was answered.

    Raises:
        IdempotencyConflict: the key was used for another request.
    """
    query = select(idempotency.c.request_digest, idempotency.c.answer).where(
        idempotency.c.scope == request.scope,
        idempotency.c.key == request.key,
        idempotency.c.created_at > now - KEPT_FOR,
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.request_digest != request.request_digest:
        raise IdempotencyConflict("This Idempotency-Key was used for another request; choose a new one.")
    return _added(row.answer)


def keep(connection: Connection, request: Idempotency, answer: Added, now: datetime) -> None:
    connection.execute(delete(idempotency).where(idempotency.c.created_at <= now - KEPT_FOR))
    connection.execute(
        insert(idempotency).values(
            scope=request.scope,
            key=request.key,
            request_digest=request.request_digest,
            bank=answer.item.bank,
            answer=_json(answer),
            created_at=now,
        )
    )


def forget_bank(connection: Connection, bank: str) -> None:
    """A bank made anew under the name of one that was removed has answered nothing yet."""
    connection.execute(delete(idempotency).where(idempotency.c.bank == bank))


def _json(answer: Added) -> dict[str, Any]:
    item = asdict(answer.item) | {
        "created_at": answer.item.created_at.isoformat(),
        "updated_at": answer.item.updated_at.isoformat(),
    }
    return {"item": item, "index_version": answer.index_version, "created": answer.created}


def _added(values: dict[str, Any]) -> Added:
    item = values["item"]
    return Added(
        item=Item(
            item_id=ItemId(item["item_id"]),
            bank=item["bank"],
            kind=ItemKind(item["kind"]),
            state=ItemState(item["state"]),
            labels=item["labels"],
            sha256=item["sha256"],
            frames=item["frames"],
            duration_ms=item["duration_ms"],
            low_information=item["low_information"],
            spaces=tuple(SpaceId(space) for space in item["spaces"]),
            created_at=datetime.fromisoformat(item["created_at"]),
            updated_at=datetime.fromisoformat(item["updated_at"]),
            original_bytes=item.get("original_bytes"),
        ),
        index_version=Version(values["index_version"]),
        created=values["created"],
    )
