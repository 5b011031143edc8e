"""Embeddings of what is banked already in one more space: what lacks them, writing them, and deleting them again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select

from index.catalog import log
from index.catalog.banks.adding import vectors_of
from index.catalog.banks.rows import of_removed_bank
from index.catalog.spaces.rows import SpaceRow, row_of
from index.catalog.tables import ChangeKind, banks, embeddings, frames, items
from index.errors import WrongStage
from index.identifiers import item_key_of
from index.records.banks import BankSettings
from index.records.changes import Version
from index.records.items import FilledFrame, ItemId, KeptFrame, KeptItem
from index.records.spaces import Coverage, SpaceId, SpaceStage

Filled = Mapping[ItemId, Mapping[int, FilledFrame]]
"""By item and frame number."""
_CHUNK = 500


def lacking(connection: Connection, space: SpaceId, after: int, until: int, limit: int) -> list[KeptItem]:
    """
    Items with no embedding in the space whose originals are kept, oldest first.

    Args:
        connection: of a transaction.
        space: to be filled.
        after: an item key; only younger items.
        until: an item key; none younger.
        limit: at most so many.
    """
    row = row_of(connection, space)
    return kept_items(
        connection,
        [
            items.c.item_key > after,
            items.c.item_key <= until,
            items.c.original_bytes.is_not(None),
            ~_embedded_in(row.key),
            ~of_removed_bank(),
        ],
        limit,
    )


def kept_items(connection: Connection, conditions: Sequence[ColumnElement[bool]], limit: int) -> list[KeptItem]:
    """Items that all of this is true of, to be embedded again, oldest first."""
    query = (
        select(items, banks.c.name.label("bank"), banks.c.settings)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .where(*conditions)
        .order_by(items.c.item_key)
        .limit(limit)
    )
    found = connection.execute(query).all()
    held = _frames_of(connection, [each.item_key for each in found])
    return [
        KeptItem(
            key=each.item_key,
            item_id=ItemId(each.item_id),
            bank=each.bank,
            sha256=each.sha256 or "",
            frames=tuple(held.get(each.item_key, ())),
            tiles=BankSettings(**each.settings).tiles,
        )
        for each in found
    ]


def coverage(connection: Connection, row: SpaceRow, *, since: int = 0) -> Coverage:
    """
    How much of what can be found elsewhere can be found in the space.

    Reads every item's key: for people, and for jobs.

    Args:
        connection: of a transaction.
        row: the space.
        since: an item key; only younger items count.
    """
    filled, lacks = _embedded_in(row.key), and_(_in_another(row), ~_embedded_in(row.key))

    def counted(condition: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(items).where(items.c.item_key > since, ~of_removed_bank(), condition)
        return int(connection.execute(query).scalar_one())

    return Coverage(
        filled=counted(filled),
        lacking=counted(and_(lacks, items.c.original_bytes.is_not(None))),
        without_original=counted(and_(lacks, items.c.original_bytes.is_(None))),
    )


def left(connection: Connection, row: SpaceRow, limit: int) -> list[tuple[str, ItemId]]:
    """Bank and id of items that can be found elsewhere and not in the space, oldest first; as many at most."""
    query = (
        select(banks.c.name, items.c.item_id)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .where(_in_another(row), ~_embedded_in(row.key), ~of_removed_bank())
        .order_by(items.c.item_key)
        .limit(limit)
    )
    return [(each.name, ItemId(each.item_id)) for each in connection.execute(query)]


def left_behind(connection: Connection, old: int, new: int, *, since: int = 0) -> int:
    """How many items can be found in the old space and not in the new one."""
    wanted = items.c.item_key > since, _embedded_in(old), ~_embedded_in(new), ~of_removed_bank()
    query = select(func.count()).select_from(items).where(*wanted)
    return int(connection.execute(query).scalar_one())


def fill(connection: Connection, space: SpaceId, filled: Filled, at: datetime) -> tuple[Version, int]:
    """
    Writes embeddings of items that are there and have none in the space yet; all frames of an item, or none.

    Returns:
        the version that includes them, and how many items were written.

    Raises:
        UnknownSpace, WrongStage: nobody wants them any more.
        BadEmbedding: of another length, not finite, or not of norm 1.
    """
    row = row_of(connection, space)
    if row.stage is SpaceStage.DROPPED:
        raise WrongStage("The space is dropped: nothing is written to it any more.")
    wanted = {key: frames for item_id, frames in filled.items() if (key := item_key_of(item_id)) is not None}
    query = select(items.c.item_key, items.c.item_id, items.c.bank_key).where(~_embedded_in(row.key))
    there = [
        each
        for chunk in chunks(sorted(wanted))
        for each in connection.execute(query.where(items.c.item_key.in_(chunk)))
        if each.item_id in filled
    ]
    values = [
        {
            "item_key": each.item_key,
            "frame_no": frame_no,
            "space_key": row.key,
            "views": len(frame.rows),
            "vectors": vectors_of(frame.rows, row.record.dim),
            "tiles": frame.tiling.wanted,
            "tile_views": frame.tiling.rows,
        }
        for each in there
        for frame_no, frame in wanted[each.item_key].items()
    ]
    if not values:
        return log.head(connection), 0
    numbers = log.reserve(connection, len(there))
    connection.execute(insert(embeddings), values)
    log.append(
        connection,
        [
            log.entry(seq, ChangeKind.ITEM_EMBEDDED, each.bank_key, each.item_key, at, space_key=row.key)
            for seq, each in zip(numbers, there, strict=True)
        ],
    )
    return Version(numbers[-1]), len(there)


def purge(connection: Connection, space: SpaceId, after: int, limit: int) -> list[int]:
    """
    Deletes embeddings of a dropped space, of the next items after a key; the keys of these, oldest first.

    Raises:
        UnknownSpace
        WrongStage: it is not dropped, or is wanted again.
    """
    row = row_of(connection, space)
    if row.stage is not SpaceStage.DROPPED:
        raise WrongStage(f"The space is {row.stage.value}: its embeddings are not deleted.")
    of_space = embeddings.c.space_key == row.key, embeddings.c.item_key > after
    query = select(embeddings.c.item_key).where(*of_space).distinct().order_by(embeddings.c.item_key).limit(limit)
    keys = list(connection.execute(query).scalars())
    for chunk in chunks(keys):
        connection.execute(
            delete(embeddings).where(embeddings.c.space_key == row.key, embeddings.c.item_key.in_(chunk))
        )
    return keys


def count(connection: Connection) -> int:
    """How many items have an original to embed."""
    query = select(func.count()).select_from(items).where(items.c.original_bytes.is_not(None), ~of_removed_bank())
    return int(connection.execute(query).scalar_one())


def newest_item(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(items.c.item_key), 0))).scalar_one())


def spans(connection: Connection, after: int, size: int) -> list[tuple[int, int]]:
    """Ranges of item keys, `(after, until]`, of so many items each, over everything there is."""
    numbered = (
        select(items.c.item_key, func.row_number().over(order_by=items.c.item_key).label("n"))
        .where(items.c.item_key > after)
        .subquery()
    )
    ends = list(connection.execute(select(numbered.c.item_key).where(numbered.c.n % size == 0)).scalars())
    last = newest_item(connection)
    if last > after and (not ends or ends[-1] != last):
        ends.append(last)
    return list(zip([after, *ends[:-1]], ends, strict=True))


def _in_another(row: SpaceRow) -> ColumnElement[bool]:
    """In the space it is to take over from; where there is none, in any."""
    elsewhere = embeddings.c.space_key != row.key if row.replaces is None else embeddings.c.space_key == row.replaces
    return exists().where(embeddings.c.item_key == items.c.item_key, elsewhere)


def _embedded_in(space_key: int) -> ColumnElement[bool]:
    return exists().where(embeddings.c.item_key == items.c.item_key, embeddings.c.space_key == space_key)


def _frames_of(connection: Connection, keys: Sequence[int]) -> dict[int, list[KeptFrame]]:
    held: dict[int, list[KeptFrame]] = {}
    query = select(frames.c.item_key, frames.c.frame_no, frames.c.position_ms).order_by(
        frames.c.item_key, frames.c.frame_no
    )
    for chunk in chunks(keys):
        for row in connection.execute(query.where(frames.c.item_key.in_(chunk))):
            held.setdefault(row.item_key, []).append(KeptFrame(row.frame_no, row.position_ms))
    return held


def chunks(values: Sequence[Any]) -> list[Sequence[Any]]:
    """As many at once as one question may name."""
    return [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]
