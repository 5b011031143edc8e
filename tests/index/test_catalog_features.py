"""Local features of banked frames: kept with the item, read for a handful, gone with it."""

from collections.abc import Callable

import pytest

from index.catalog import Catalog
from index.errors import BadCursor
from index.identifiers import new_item_id
from index.records.items import ItemId, ItemKind, LocalFeatures, NewFrame, NewItem

MakeItem = Callable[..., NewItem]
OLD, NEW = "orb-1", "orb-2"


def frame(position_ms: int = 0, data: bytes | None = None, extractor: str = NEW) -> NewFrame:
    kept = None if data is None else LocalFeatures(extractor, len(data), data)
    return NewFrame(position_ms, None, None, features=kept)


def add(catalog: Catalog, new: NewItem, bank: str = "known") -> ItemId:
    return catalog.add_item(bank, new).item.item_id


def test_features_are_kept_with_the_item_and_read_in_the_order_of_its_frames(
    catalog: Catalog, picture: MakeItem
) -> None:
    item_id = add(catalog, picture(frames=(frame(0, b"first"), frame(40, None), frame(80, b"third!"))))
    add(catalog, picture(frames=(frame(0, b"other"),)))
    found = catalog.features.of_items([item_id], NEW)
    assert [(each.frame_no, each.position_ms, each.count, each.data) for each in found[item_id]] == [
        (0, 0, 5, b"first"),
        (2, 80, 6, b"third!"),
    ]


def test_features_of_another_extractor_are_not_read(catalog: Catalog, picture: MakeItem) -> None:
    item_id = add(catalog, picture(frames=(frame(0, b"old", OLD),)))
    assert catalog.features.of_items([item_id], NEW) == {}
    catalog.features.put({item_id: {0: LocalFeatures(NEW, 3, b"new")}})
    assert catalog.features.of_items([item_id], NEW)[item_id][0].data == b"new"
    assert catalog.features.of_items([item_id], OLD)[item_id][0].data == b"old"


def test_an_id_that_is_not_quite_an_item_s_has_no_features(catalog: Catalog, picture: MakeItem) -> None:
    item_id = add(catalog, picture(frames=(frame(0, b"x"),)))
    another = new_item_id(int(item_id[:12], 16))
    assert catalog.features.of_items([another, ItemId("nonsense")], NEW) == {}
    assert catalog.features.put({another: {0: LocalFeatures(NEW, 1, b"y")}, item_id: {}}) == {item_id}
    assert catalog.features.of_items([item_id], NEW)[item_id][0].data == b"x"


def test_features_can_be_put_again(catalog: Catalog, picture: MakeItem) -> None:
    item_id = add(catalog, picture(frames=(frame(0, b"x"),)))
    catalog.features.put({item_id: {0: LocalFeatures(NEW, 2, b"xx")}})
    (only,) = catalog.features.of_items([item_id], NEW)[item_id]
    assert (only.count, only.data) == (2, b"xx")


def test_features_go_with_their_item_and_with_their_bank(catalog: Catalog, picture: MakeItem) -> None:
    first = add(catalog, picture(frames=(frame(0, b"x"),)))
    second = add(catalog, picture(frames=(frame(0, b"x"),)), "news")
    catalog.delete_item("known", first)
    catalog.delete_bank("news")
    assert catalog.features.of_items([first, second], NEW) == {}


def test_features_put_later_change_no_view(catalog: Catalog, picture: MakeItem) -> None:
    item_id = add(catalog, picture(frames=(frame(),)))
    before = catalog.version()
    catalog.features.put({item_id: {0: LocalFeatures(NEW, 1, b"x")}})
    assert catalog.version() == before


def test_items_that_lack_features_are_listed_page_by_page_and_signatures_are_not(
    catalog: Catalog, picture: MakeItem
) -> None:
    lacking = [add(catalog, picture(frames=(frame(0, b"old", OLD),))) for _ in range(3)]
    add(catalog, picture(frames=(frame(0, b"new"),)))
    add(catalog, picture(kind=ItemKind.SIGNATURE, sha256=None, frames=(frame(),)))
    page = catalog.features.lacking(NEW, 2)
    rest = catalog.features.lacking(NEW, 2, page.next)
    assert [*page.items, *rest.items] == lacking
    assert rest.next is None
    with pytest.raises(BadCursor):
        catalog.features.lacking(OLD, 2, page.next)
