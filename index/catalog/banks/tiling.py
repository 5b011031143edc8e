"""Tiles of what is banked already: which items have others than their bank wants, and bringing them to it."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, select, update

from index.catalog import log
from index.catalog.banks import rows as bank_rows
from index.catalog.banks.adding import vectors_of
from index.catalog.jobs import leases
from index.catalog.spaces.backfill import Filled, chunks, kept_items
from index.catalog.spaces.rows import SpaceRow, row_of
from index.catalog.storage.database import Database
from index.catalog.tables import ChangeKind, banks, embeddings, items
from index.identifiers import item_key_of
from index.records.banks import BankSettings
from index.records.items import ItemId, KeptItem
from index.records.jobs import Progress
from index.records.spaces import Coverage, SpaceId

Values = dict[str, Any]
_HALF_BYTES = 2


class TileTable:
    """
    The tiles of banked items. Safe from any thread and any process.

    Every method raises CatalogUnavailable when the database fails, UnknownSpace where a space is not known, and those
    that name a bank UnknownBank where there is none of that name.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def unlike(self, bank: str, space: SpaceId, after: int, limit: int) -> list[KeptItem]:
        """
        Items whose embeddings in a space were made by another setting than the bank has now, and that can be brought
        to it: their originals are kept, or it wants no tiles. Oldest first.

        Args:
            bank: its name.
            space: of the embeddings.
            after: an item key; only younger items.
            limit: at most so many.
        """
        with self._database.reading() as connection:
            bank_key, held = bank_rows.key_and_bank(connection, bank)
            unlike = _made_otherwise(connection, space, held.settings.tiles, after)
            able = _able(held.settings.tiles)
            wanted = [items.c.bank_key == bank_key, items.c.item_key > after, unlike, *able]  # by an index, in order
            return kept_items(connection, wanted, limit)

    def put(self, space: SpaceId, filled: Filled, progress: Progress | None = None) -> int:
        """
        Writes new embeddings of items in place of those that they have in a space; nobody finds an item less meanwhile.

        Those made by another setting than the bank has by now are passed over: whoever changed it may have brought the
        items to it already.

        Args:
            space: of the embeddings.
            filled: by item and frame number; frames that have none are passed over, and items that are gone.
            progress: of the job whose work it is, in the same transaction.

        Returns:
            how many items were written.

        Raises:
            BadEmbedding: of another length, not finite, or not of norm 1.
            LeaseLost: another worker has the work now; nothing is written.
        """

        def new(row: Row[Any], dim: int) -> Values | None:
            frame = filled[ItemId(row.item_id)].get(row.frame_no)
            if frame is None or frame.tiling.wanted != _wanted(row):
                return None
            return {
                "views": len(frame.rows),
                "vectors": vectors_of(frame.rows, dim),
                "tiles": frame.tiling.wanted,
                "tile_views": frame.tiling.rows,
            }

        return self._replace(space, filled, new, progress)

    def drop(self, space: SpaceId, item_ids: Collection[ItemId], progress: Progress | None = None) -> int:
        """Leaves these items the embeddings of whole frames alone; otherwise as `put`."""

        def new(row: Row[Any], dim: int) -> Values | None:
            if _wanted(row):
                return None
            views = row.views - row.tile_views
            whole = bytes(row.vectors[: views * dim * _HALF_BYTES])
            return {"views": views, "vectors": whole, "tiles": 0, "tile_views": 0}

        return self._replace(space, item_ids, new, progress)

    def coverage(self, bank: str, space: SpaceId) -> Coverage:
        """How many items of a bank have the tiles that it wants; reads every item's key."""
        with self._database.reading() as connection:
            bank_key, held = bank_rows.key_and_bank(connection, bank)
            unlike = _made_otherwise(connection, space, held.settings.tiles)
            able = _able(held.settings.tiles)
            in_space = exists().where(
                embeddings.c.item_key == items.c.item_key, embeddings.c.space_key == row_of(connection, space).key
            )

            def counted(*conditions: ColumnElement[bool]) -> int:
                query = select(func.count()).select_from(items).where(items.c.bank_key == bank_key, *conditions)
                return int(connection.execute(query).scalar_one())

            lacking = counted(unlike, *able)
            return Coverage(counted(in_space, ~unlike), lacking, counted(unlike) - lacking)

    def _replace(
        self,
        space: SpaceId,
        item_ids: Collection[ItemId],
        new: Callable[[Row[Any], int], Values | None],
        progress: Progress | None,
    ) -> int:
        def work(connection: Connection) -> int:
            if progress is not None:
                leases.advance(connection, progress)
            return _replaced(connection, row_of(connection, space), item_ids, new, self._clock())

        return self._database.write(work)


def _replaced(
    connection: Connection,
    space: SpaceRow,
    item_ids: Collection[ItemId],
    new: Callable[[Row[Any], int], Values | None],
    at: datetime,
) -> int:
    keys = sorted({key for item_id in item_ids if (key := item_key_of(item_id)) is not None})
    touched: dict[int, int] = {}
    for some in chunks(keys):
        for row in _rows(connection, space.key, some):
            values = new(row, space.record.dim) if row.item_id in item_ids else None
            if values is None:
                continue
            same = embeddings.c.item_key == row.item_key, embeddings.c.frame_no == row.frame_no
            connection.execute(update(embeddings).where(*same, embeddings.c.space_key == space.key).values(**values))
            touched[row.item_key] = row.bank_key
    if touched:
        numbers = log.reserve(connection, len(touched))
        entries = [
            log.entry(seq, ChangeKind.ITEM_EMBEDDED, bank_key, item_key, at, space_key=space.key)
            for seq, (item_key, bank_key) in zip(numbers, touched.items(), strict=True)
        ]
        log.append(connection, entries)
    return len(touched)


def _rows(connection: Connection, space_key: int, keys: Sequence[int]) -> Sequence[Row[Any]]:
    query = (
        select(items.c.item_id, items.c.bank_key, banks.c.settings, embeddings)
        .join(embeddings, embeddings.c.item_key == items.c.item_key)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .where(embeddings.c.space_key == space_key, items.c.item_key.in_(keys), ~bank_rows.of_removed_bank())
        .order_by(items.c.item_key, embeddings.c.frame_no)
    )
    return connection.execute(query).all()


def _able(tiles: int) -> list[ColumnElement[bool]]:
    """Tiles are made of the originals; to take them away none is needed."""
    return [items.c.original_bytes.is_not(None)] if tiles else []


def _wanted(row: Row[Any]) -> int:
    return BankSettings(**row.settings).tiles


def _made_otherwise(connection: Connection, space: SpaceId, tiles: int, after: int = 0) -> ColumnElement[bool]:
    key = row_of(connection, space).key
    return exists().where(
        embeddings.c.item_key == items.c.item_key,
        embeddings.c.item_key > after,  # PostgreSQL reads all the older ones else
        embeddings.c.space_key == key,
        embeddings.c.tiles != tiles,
    )
