"""Tiles of what is banked already, as the catalog sees it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, event

from index.catalog import Catalog
from index.errors import BadEmbedding, UnknownBank
from index.records.banks import BankSettings, Purpose
from index.records.items import FilledFrame, ItemId, NewFrame, NewItem, Tiling
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.views import Views

MakePicture = Callable[..., NewItem]
UnitRows = Callable[[int], Embeddings]


def wants(catalog: Catalog, tiles: int, bank: str = "known") -> None:
    catalog.put_bank(bank, Purpose.HARMFUL, settings=BankSettings(tiles=tiles))


def tiled(space: SpaceId, rows: Embeddings, tiles: int) -> NewFrame:
    return NewFrame(0, bytes(32), 90, {space: rows}, tiling=Tiling(tiles, len(rows) - 1))


def unlike(catalog: Catalog, space: SpaceId, bank: str = "known") -> list[ItemId]:
    return [item.item_id for item in catalog.tiles.unlike(bank, space, 0, 10)]


def test_items_made_by_another_setting_are_listed_with_what_the_bank_wants_now(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    before = catalog.add_item("known", picture(original_bytes=10)).item.item_id
    wants(catalog, 4)
    catalog.add_item("known", picture(frames=(tiled(space, unit_rows(4), 4),), original_bytes=10))
    catalog.add_item("known", picture())  # its original is not kept
    assert unlike(catalog, space) == [before]
    (item,) = catalog.tiles.unlike("known", space, 0, 10)
    assert (item.tiles, len(item.frames)) == (4, 1)
    coverage = catalog.tiles.coverage("known", space)
    assert (coverage.filled, coverage.lacking, coverage.without_original) == (1, 1, 1)
    assert catalog.tiles.unlike("known", space, item.key, 10) == []


def test_what_was_refilled_is_found_by_its_tiles_and_was_never_lost(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    views = Views(catalog, {space: 16})
    new, other = picture(original_bytes=10), picture(original_bytes=10)
    item_id = catalog.add_item("known", new).item.item_id
    beside = catalog.add_item("known", other).item.item_id
    views.follow()
    whole = new.frames[0].embeddings[space]
    parts = unit_rows(4)
    wants(catalog, 4)
    before = views.reading()
    rows = FilledFrame(np.concatenate([whole, parts]), Tiling(4, 4))
    assert catalog.tiles.put(space, {item_id: {0: rows}}) == 1
    assert [hit.item_id for hit in before.search(space, whole, 1)] == [item_id]
    for query in (whole, *parts):
        (hit,) = views.search(space, query.reshape(1, -1), 1)
        assert hit.item_id == item_id
        assert hit.score == pytest.approx(1, abs=1e-3)
    assert {hit.item_id for hit in views.search(space, whole, 2)} == {item_id, beside}
    assert views.reading().embeddings_in(space) == 6
    assert unlike(catalog, space) == [beside]
    views.close()


def test_going_back_takes_the_tiles_away_and_needs_no_original(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    wants(catalog, 4)
    rows = unit_rows(5)
    item_id = catalog.add_item("known", picture(frames=(tiled(space, rows, 4),))).item.item_id
    views = Views(catalog, {space: 16})
    views.follow()
    wants(catalog, 0)
    assert unlike(catalog, space) == [item_id]
    assert catalog.tiles.drop(space, [item_id]) == 1
    (hit,) = views.search(space, rows[:1], 1)
    assert hit.score == pytest.approx(1, abs=1e-3)
    assert views.reading().embeddings_in(space) == 1
    assert catalog.tiles.coverage("known", space).filled == 1
    views.close()


def test_a_view_made_anew_has_the_same_rows(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    item_id = catalog.add_item("known", picture(original_bytes=10)).item.item_id
    rows = unit_rows(3)
    wants(catalog, 4)
    catalog.tiles.put(space, {item_id: {0: FilledFrame(rows, Tiling(4, 2))}})
    views = Views(catalog, {space: 16})
    views.follow()
    hits = [views.search(space, row.reshape(1, -1), 1)[0] for row in rows]
    assert [(hit.item_id, round(hit.score, 2)) for hit in hits] == [(item_id, 1)] * 3
    assert views.reading().embeddings_in(space) == 3
    views.close()


def test_what_is_gone_or_was_never_there_stays_away(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    gone, there = (catalog.add_item("known", picture(original_bytes=10)).item.item_id for _ in range(2))
    catalog.delete_item("known", gone)
    wants(catalog, 4)
    rows = FilledFrame(unit_rows(5), Tiling(4, 4))
    filled = {item_id: {0: rows} for item_id in (gone, ItemId("nonsense"), there)}
    assert catalog.tiles.put(space, filled) == 1
    wants(catalog, 0)
    version = catalog.version()
    assert catalog.tiles.drop(space, [gone, ItemId("nonsense")]) == 0
    assert catalog.version() == version
    with pytest.raises(UnknownBank):
        catalog.tiles.unlike("nowhere", space, 0, 10)


def test_what_was_made_for_another_setting_than_the_bank_has_by_now_is_not_written(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    item_id = catalog.add_item("known", picture(original_bytes=10)).item.item_id
    four = {item_id: {0: FilledFrame(unit_rows(5), Tiling(4, 4))}}
    wants(catalog, 4)
    assert catalog.tiles.put(space, four) == 1
    assert catalog.tiles.drop(space, [item_id]) == 0
    wants(catalog, 9)
    assert catalog.tiles.put(space, four) == 0
    assert catalog.tiles.drop(space, [item_id]) == 0
    assert unlike(catalog, space) == [item_id]


def test_rows_that_are_none_change_nothing(
    catalog: Catalog, space: SpaceId, picture: MakePicture, unit_rows: UnitRows
) -> None:
    added = [catalog.add_item("known", picture(original_bytes=10)).item.item_id for _ in range(2)]
    version = catalog.version()
    filled = {added[0]: {0: FilledFrame(unit_rows(5))}, added[1]: {0: FilledFrame(2 * unit_rows(5))}}
    with pytest.raises(BadEmbedding):
        catalog.tiles.put(space, filled)
    assert catalog.version() == version
    assert len(catalog.changes(0, [space]).semantic[space].origins) == 2  # type: ignore[arg-type]


def test_a_page_of_a_large_bank_is_listed_without_sorting_the_bank(tmp_path: Path) -> None:
    catalog, asked = Catalog.open(f"sqlite:///{tmp_path}/catalog.db"), []
    space = SpaceId("toy-000000000000")
    catalog.register_space(space, 16)
    wants(catalog, 4)

    def noted(_: object, __: object, statement: str, values: tuple[object, ...], *___: object) -> None:
        if "LIMIT" in statement and "items" in statement:
            asked.append((statement, values))

    event.listen(Engine, "before_cursor_execute", noted)
    catalog.tiles.unlike("known", space, 7, 32)
    event.remove(Engine, "before_cursor_execute", noted)
    catalog.close()
    ((statement, values),) = asked
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any("ix_items_bank_key_item_key (bank_key=? AND item_key>?)" in step for step in plan), plan
    assert not any("ORDER BY" in step for step in plan), plan


def test_one_bank_s_wish_is_no_other_s(catalog: Catalog, space: SpaceId, picture: MakePicture) -> None:
    catalog.add_item("known", picture(original_bytes=10))
    catalog.add_item("news", picture(original_bytes=10))
    wants(catalog, 9)
    assert len(unlike(catalog, space)) == 1
    assert unlike(catalog, space, "news") == []
