"""Local features of banked frames: written with the item or later, read for the few items that are looked at."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, insert, not_, select

from index.catalog.storage.cursors import cursor_for, number_position
from index.catalog.storage.database import Database
from index.catalog.tables import features, frames, items
from index.identifiers import item_key_of
from index.records.items import FrameFeatures, ItemId, ItemKind, LocalFeatures
from index.records.pages import Page

Values = dict[str, Any]
_LIST = "items without features"


class FeatureTable:
    """The local features of banked items. Safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_items(self, item_ids: Collection[ItemId], extractor: str) -> dict[ItemId, tuple[FrameFeatures, ...]]:
        """Of a handful of items, in one query; of those that have none of this extractor's, none."""
        with self._database.reading() as connection:
            return of_items(connection, item_ids, extractor)

    def put(self, kept: Mapping[ItemId, Mapping[int, LocalFeatures]]) -> set[ItemId]:
        """
        Gives items that are banked already their local features, by frame number. No view changes.

        Returns:
            those of the items that are still there.
        """
        return self._database.write(lambda connection: put(connection, kept))

    def lacking(self, extractor: str, limit: int, cursor: str | None = None) -> Page[ItemId]:
        """
        Items of media that have no local features of this extractor, oldest first.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        with self._database.reading() as connection:
            return lacking(connection, extractor, limit, cursor)


def write(connection: Connection, new: Mapping[tuple[int, int], LocalFeatures]) -> None:
    """By item key and frame number, whose rows are there already."""
    if new:
        connection.execute(insert(features), [_values(key, no, kept) for (key, no), kept in new.items()])


def of_items(
    connection: Connection, item_ids: Collection[ItemId], extractor: str
) -> dict[ItemId, tuple[FrameFeatures, ...]]:
    """Of each item that has any of this extractor's; its frames in order."""
    keys = {key: item_id for item_id in item_ids if (key := item_key_of(item_id)) is not None}
    if not keys:
        return {}
    query = (
        select(
            features.c.item_key, features.c.frame_no, items.c.item_id,
            frames.c.position_ms, features.c.count.label("features"), features.c.data,
        )
        .join(frames, and_(frames.c.item_key == features.c.item_key, frames.c.frame_no == features.c.frame_no))
        .join(items, items.c.item_key == features.c.item_key)
        .where(features.c.item_key.in_(list(keys)), features.c.extractor == extractor)
        .order_by(features.c.item_key, features.c.frame_no)
    )  # fmt: skip
    found: dict[ItemId, list[FrameFeatures]] = defaultdict(list)
    for row in connection.execute(query):
        if row.item_id == keys[row.item_key]:
            found[ItemId(row.item_id)].append(FrameFeatures(row.frame_no, row.position_ms, row.features, row.data))
    return {item_id: tuple(kept) for item_id, kept in found.items()}


def put(connection: Connection, kept: Mapping[ItemId, Mapping[int, LocalFeatures]]) -> set[ItemId]:
    """
    Those of items that are banked already, by frame number; what they have of the same extractor is replaced.

    Returns:
        the items that are still there.
    """
    keys = [key for item_id in kept if (key := item_key_of(item_id)) is not None]
    there = connection.execute(select(items.c.item_key, items.c.item_id).where(items.c.item_key.in_(keys))).all()
    written: set[ItemId] = set()
    for row in there:
        new = kept.get(ItemId(row.item_id))
        if new is None:
            continue
        for number, one in new.items():
            same = features.c.item_key == row.item_key, features.c.frame_no == number
            connection.execute(delete(features).where(*same, features.c.extractor == one.extractor))
        write(connection, {(row.item_key, number): one for number, one in new.items()})
        written.add(ItemId(row.item_id))
    return written


def lacking(connection: Connection, extractor: str, limit: int, cursor: str | None) -> Page[ItemId]:
    """Items of media without features of this extractor, oldest first."""
    belongs = f"{_LIST} of {extractor}"
    after = 0 if cursor is None else number_position(cursor, belongs)
    kept = exists().where(features.c.item_key == items.c.item_key, features.c.extractor == extractor)
    query = (
        select(items.c.item_key, items.c.item_id)
        .where(items.c.item_key > after, items.c.kind != ItemKind.SIGNATURE.value, not_(kept))
        .order_by(items.c.item_key)
        .limit(limit + 1)
    )
    rows = connection.execute(query).all()
    following = cursor_for(belongs, rows[limit - 1].item_key) if len(rows) > limit else None
    return Page(tuple(ItemId(row.item_id) for row in rows[:limit]), following)


def _values(item_key: int, frame_no: int, kept: LocalFeatures) -> Values:
    return {
        "item_key": item_key,
        "frame_no": frame_no,
        "extractor": kept.extractor,
        "count": kept.count,
        "data": kept.data,
    }
