"""What can be found: in which banks, how it is ranked, and never again once it is removed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from index.catalog import Catalog
from index.errors import BadEmbedding, SpaceMismatch, UnknownBank
from index.records.banks import Purpose
from index.records.items import ItemKind, ItemState, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.views import Views

Picture = Callable[..., NewItem]
UnitRows = Callable[[int], Embeddings]
Finder = Any  # of conftest.py


def test_an_added_item_is_found_at_once(catalog: Catalog, views: Views, finder: Finder, picture: Picture) -> None:
    for _ in range(30):
        new = picture()
        added = catalog.add_item("known", new)
        assert finder.finds(new, added.item.item_id)
        assert views.version == added.index_version


@pytest.mark.parametrize("folded", [False, True])
def test_a_removed_item_is_never_returned_again(
    catalog: Catalog, views: Views, finder: Finder, picture: Picture, *, folded: bool
) -> None:
    news = [picture() for _ in range(20)]
    ids = [added.item.item_id for added in catalog.add_items("known", news)]
    views.follow()
    if folded:
        views.fold()
    catalog.delete_item("known", ids[3])
    assert not finder.finds(news[3], ids[3])
    catalog.set_item("known", ids[4], state=ItemState.DISABLED)
    assert not finder.finds(news[4], ids[4])
    views.fold()
    assert not finder.finds(news[3], ids[3])
    assert not finder.finds(news[4], ids[4])
    assert finder.finds(news[5], ids[5])


def test_a_disabled_item_is_found_again_once_it_is_active(
    catalog: Catalog, views: Views, finder: Finder, picture: Picture
) -> None:
    news = [picture() for _ in range(12)]
    ids = [added.item.item_id for added in catalog.add_items("known", news)]
    views.follow()
    catalog.set_item("known", ids[0], state=ItemState.DISABLED)
    catalog.set_item("known", ids[0], state=ItemState.ACTIVE)
    assert finder.finds(news[0], ids[0])
    views.fold()
    assert all(finder.finds(new, item_id) for new, item_id in zip(news, ids, strict=True))


def test_a_deleted_bank_takes_its_items_along_even_when_its_name_is_used_again(
    catalog: Catalog, views: Views, finder: Finder, picture: Picture
) -> None:
    here, there = picture(), picture()
    gone = catalog.add_item("known", here).item.item_id
    kept = catalog.add_item("news", there).item.item_id
    views.follow()
    catalog.delete_bank("known")
    catalog.put_bank("known", Purpose.HARMFUL)
    assert not finder.finds(here, gone)
    assert not finder.finds(here, gone, banks=["known"])
    assert finder.finds(there, kept)


def test_only_the_banks_asked_for_are_searched(catalog: Catalog, finder: Finder, picture: Picture) -> None:
    for _ in range(3):  # in the large layer, in the live one
        new = picture()
        item_id = catalog.add_item("known", new).item.item_id
        catalog.add_items("news", [picture() for _ in range(9)])
        assert finder.finds(new, item_id, banks=["known"])
        assert finder.finds(new, item_id, banks={"known", "news"})
        assert not finder.finds(new, item_id, banks=["news"])
        assert not finder.finds(new, item_id, banks=[])


def test_what_does_not_exist_cannot_be_searched(views: Views, space: SpaceId, unit_rows: UnitRows) -> None:
    with pytest.raises(UnknownBank):
        views.search(space, unit_rows(1), 1, ["known", "nowhere"])
    with pytest.raises(UnknownBank):
        views.search_pdq(np.zeros((1, 32), np.uint8), 1, banks=["nowhere"])
    with pytest.raises(SpaceMismatch):
        views.search(SpaceId("other"), unit_rows(1), 1)
    with pytest.raises(BadEmbedding):
        views.search(space, unit_rows(1)[:, :8], 1)


def test_every_item_is_listed_once_with_its_best_pair(
    catalog: Catalog, views: Views, space: SpaceId, unit_rows: UnitRows
) -> None:
    rows = unit_rows(6)
    clip = NewItem(
        ItemKind.VIDEO,
        [NewFrame(no * 100, bytes([no]) * 32, 80, {space: rows[no : no + 1]}) for no in range(6)],
    )
    item_id = catalog.add_item("known", clip).item.item_id
    (hit,) = views.search(space, rows[[4, 2]], 5)
    assert (hit.item_id, hit.query_row, hit.position_ms) in {(item_id, 0, 400), (item_id, 1, 200)}
    assert hit.score == pytest.approx(1, abs=1e-3)
    (near,) = views.search_pdq(np.full((1, 32), 3, np.uint8), 5)
    assert (near.item_id, near.distance, near.position_ms, near.quality) == (item_id, 0, 300, 80)


def test_an_offset_moves_the_rank_of_a_query_and_not_its_score(
    catalog: Catalog, views: Views, space: SpaceId, picture: Picture
) -> None:
    one, two = picture(), picture()
    ids = [catalog.add_item("known", new).item.item_id for new in (one, two)]
    queries = np.concatenate([new.frames[0].embeddings[space] for new in (one, two)])
    for offsets, first in (([0.0, 0.3], 0), ([0.3, 0.0], 1)):
        (best,) = views.search(space, queries, 1, offsets=np.array(offsets, np.float32))
        assert best.item_id == ids[first]
        assert best.score == pytest.approx(1, abs=1e-3)
    scores = views.scores_of(space, queries, ids, offsets=np.array([0.0, 9.0], np.float32))
    assert scores[ids[1]].query_row == 0
    assert scores[ids[1]].score == pytest.approx(float(queries[0] @ queries[1]), abs=2e-3)


def test_frames_with_little_to_see_are_found_only_when_their_banker_insists(
    catalog: Catalog, views: Views, space: SpaceId, unit_rows: UnitRows
) -> None:
    rows = unit_rows(4)

    def frame(row: int, *, low: bool) -> NewFrame:
        return NewFrame(row, bytes([row]) * 32, 0, {space: rows[row : row + 1]}, low_information=low)

    mixed = catalog.add_item("known", NewItem(ItemKind.VIDEO, [frame(0, low=True), frame(1, low=False)])).item
    forced = catalog.add_item("known", NewItem(ItemKind.IMAGE, [frame(2, low=True)], forced=True)).item
    plain = catalog.add_item("known", NewItem(ItemKind.IMAGE, [frame(3, low=True)])).item
    assert [item.low_information for item in (mixed, forced, plain)] == [False, True, True]
    found = {hit.item_id: hit.position_ms for hit in views.search(space, rows[0:1], 9)}
    assert found == {mixed.item_id: 1, forced.item_id: 2}
    near = {hit.item_id: hit.position_ms for hit in views.search_pdq(np.zeros((1, 32), np.uint8), 9)}
    assert near == {mixed.item_id: 1, forced.item_id: 2}


def test_a_hash_without_quality_says_so(catalog: Catalog, views: Views) -> None:
    catalog.add_item("known", NewItem(ItemKind.SIGNATURE, [NewFrame(0, bytes(32), None)]))
    (near,) = views.search_pdq(np.zeros((2, 32), np.uint8), 3, 31)
    assert (near.quality, near.distance) == (None, 0)


def test_farther_hashes_than_asked_for_are_left_out(catalog: Catalog, views: Views) -> None:
    catalog.add_item("known", NewItem(ItemKind.SIGNATURE, [NewFrame(0, bytes([255]) * 4 + bytes(28), None)]))
    black = np.zeros((1, 32), np.uint8)
    assert views.search_pdq(black, 1, 31) == []
    assert [hit.distance for hit in views.search_pdq(black, 1, 32)] == [32]


def test_embeddings_are_counted_while_they_can_be_found(
    catalog: Catalog, views: Views, space: SpaceId, picture: Picture
) -> None:
    added = catalog.add_items("known", [picture() for _ in range(9)])
    catalog.delete_item("known", added[0].item.item_id)
    assert views.reading().embeddings_in(space) == 8
    views.fold()
    catalog.delete_item("known", added[1].item.item_id)
    catalog.add_items("news", [picture() for _ in range(2)])
    assert views.reading().embeddings_in(space) == 9
    with pytest.raises(SpaceMismatch):
        views.reading().embeddings_in(SpaceId("other"))


def test_no_queries_find_nothing(views: Views, catalog: Catalog, picture: Picture, space: SpaceId) -> None:
    item_id = catalog.add_item("known", picture()).item.item_id
    assert views.search(space, np.empty((0, 16), np.float32), 3) == []
    assert views.search_pdq(np.empty((0, 32), np.uint8), 3) == []
    assert views.scores_of(space, np.empty((0, 16), np.float32), [item_id]) == {}
    assert views.distances_of(np.empty((0, 32), np.uint8), [item_id]) == {}
