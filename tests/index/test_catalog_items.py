from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from index.catalog import Catalog
from index.errors import BadEmbedding, SpaceMismatch, UnknownBank, UnknownItem
from index.records.changes import Version
from index.records.items import ItemId, ItemKind, ItemState, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId

Picture = Callable[..., NewItem]


def test_an_item_is_there_as_it_was_added(catalog: Catalog, picture: Picture, space: SpaceId) -> None:
    added = catalog.add_item("known", picture(labels={"case": "x"}, media_format="jpeg", duration_ms=40))
    item = added.item
    assert added.created
    assert added.index_version == catalog.version()
    assert catalog.item("known", item.item_id) == item
    assert (item.bank, item.kind, item.state) == ("known", ItemKind.IMAGE, ItemState.ACTIVE)
    assert (item.labels, item.frames, item.duration_ms, item.spaces) == ({"case": "x"}, 1, 40, (space,))
    assert catalog.bank("known").items == 1


def test_the_same_bytes_are_banked_once_in_a_bank(catalog: Catalog, picture: Picture) -> None:
    new = picture()
    first = catalog.add_item("known", new)
    again = catalog.add_item("known", replace(new, labels={"other": 1}))
    assert not again.created
    assert again.item == first.item
    assert catalog.add_item("news", new).created
    assert catalog.bank("known").items == 1


def test_adding_the_bytes_of_a_disabled_item_leaves_it_disabled(catalog: Catalog, picture: Picture) -> None:
    new = picture()
    added = catalog.add_item("known", new)
    catalog.set_item("known", added.item.item_id, state=ItemState.DISABLED)
    again = catalog.add_item("known", new)
    assert (again.created, again.item.state) == (False, ItemState.DISABLED)


def test_items_without_bytes_are_never_the_same(catalog: Catalog, picture: Picture) -> None:
    new = picture(sha256=None, kind=ItemKind.SIGNATURE)
    assert catalog.add_item("known", new).created
    assert catalog.add_item("known", new).created


def test_many_items_are_added_at_once_with_an_outcome_for_each(catalog: Catalog, picture: Picture) -> None:
    held, twice = picture(), picture()
    catalog.add_item("known", held)
    outcomes = catalog.add_items("known", [held, twice, picture(), twice])
    assert [outcome.created for outcome in outcomes] == [False, True, True, False]
    assert outcomes[1].item == outcomes[3].item
    assert outcomes[2].index_version == catalog.version()
    assert catalog.bank("known").items == 3
    assert catalog.add_items("known", []) == []


def test_after_an_error_none_of_many_items_is_there(catalog: Catalog, picture: Picture, space: SpaceId) -> None:
    bad = picture(frames=(NewFrame(0, None, None, {space: np.full((1, 16), np.nan, np.float32)}),))
    before = catalog.version()
    with pytest.raises(BadEmbedding):
        catalog.add_items("known", [picture(), bad])
    assert catalog.items("known", 10).items == ()
    assert catalog.version() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows[:, :-1],
        lambda rows: rows * 1.01,
        lambda rows: rows * np.nan,
        lambda rows: rows * np.inf,
        lambda rows: rows[:0],
        lambda rows: rows[0],
    ],
    ids=["short", "long norm", "nan", "inf", "none", "flat"],
)
def test_what_is_no_embedding_of_the_space_is_refused(
    catalog: Catalog,
    picture: Picture,
    space: SpaceId,
    unit_rows: Callable[[int], Embeddings],
    spoil: Callable[[Embeddings], Embeddings],
) -> None:
    with pytest.raises(BadEmbedding):
        catalog.add_item("known", picture(frames=(NewFrame(0, None, None, {space: spoil(unit_rows(1))}),)))


def test_embeddings_of_an_unregistered_space_are_refused(
    catalog: Catalog, picture: Picture, unit_rows: Callable[[int], Embeddings]
) -> None:
    with pytest.raises(SpaceMismatch):
        catalog.add_item("known", picture(frames=(NewFrame(0, None, None, {SpaceId("other"): unit_rows(1)}),)))


def test_a_hash_of_another_length_is_refused(catalog: Catalog, picture: Picture) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        catalog.add_item("known", picture(frames=(NewFrame(0, b"short", 90),)))


def test_a_space_keeps_the_length_of_its_embeddings(catalog: Catalog, space: SpaceId) -> None:
    catalog.register_space(space, 16)
    with pytest.raises(SpaceMismatch):
        catalog.register_space(space, 17)
    assert [(state.space, state.dim) for state in catalog.spaces()] == [(space, 16)]


def test_changing_an_item_changes_what_was_asked_and_no_more(catalog: Catalog, picture: Picture) -> None:
    item = catalog.add_item("known", picture(labels={"a": 1})).item
    changed, version = catalog.set_item("known", item.item_id, labels={"b": 2})
    assert (changed.labels, changed.state) == ({"b": 2}, ItemState.ACTIVE)
    assert version == catalog.version()
    changed, version = catalog.set_item("known", item.item_id, state=ItemState.DISABLED)
    assert (changed.labels, changed.state) == ({"b": 2}, ItemState.DISABLED)
    assert catalog.set_item("known", item.item_id, ItemState.DISABLED, {"b": 2}) == (changed, version)
    assert catalog.version() == version


def test_a_label_that_only_compares_equal_is_changed(catalog: Catalog, picture: Picture) -> None:
    item = catalog.add_item("known", picture(labels={"seen": 1})).item
    changed, _ = catalog.set_item("known", item.item_id, labels={"seen": True})
    assert changed.labels["seen"] is True


def test_a_deleted_item_is_gone(catalog: Catalog, picture: Picture) -> None:
    new = picture()
    item = catalog.add_item("known", new).item
    assert catalog.delete_item("known", item.item_id) == catalog.version()
    with pytest.raises(UnknownItem):
        catalog.item("known", item.item_id)
    assert catalog.bank("known").items == 0
    assert catalog.spaces()[0].frames == 0
    assert catalog.add_item("known", new).created


def test_an_item_belongs_to_one_bank_only(catalog: Catalog, picture: Picture) -> None:
    item_id = catalog.add_item("known", picture()).item.item_id
    for ask in (catalog.item, catalog.delete_item, catalog.set_item):
        with pytest.raises(UnknownItem):
            ask("news", item_id)
        with pytest.raises(UnknownBank):
            ask("nowhere", item_id)


@pytest.mark.parametrize("item_id", ["", "nonsense", "0" * 28, "f" * 28])
def test_an_id_that_names_nothing_is_an_unknown_item(catalog: Catalog, item_id: str) -> None:
    with pytest.raises(UnknownItem):
        catalog.item("known", ItemId(item_id))


def test_an_id_with_the_right_key_and_the_wrong_rest_is_unknown(catalog: Catalog, picture: Picture) -> None:
    item_id = catalog.add_item("known", picture()).item.item_id
    forged = ItemId(item_id[:-1] + ("0" if item_id[-1] != "0" else "1"))
    with pytest.raises(UnknownItem):
        catalog.item("known", forged)
    assert catalog.items_by_id([forged]) == {}


def test_pages_of_items_give_every_item_once_though_some_go_between_pages(catalog: Catalog, picture: Picture) -> None:
    added = [outcome.item.item_id for outcome in catalog.add_items("known", [picture() for _ in range(10)])]
    catalog.add_item("news", picture())
    first = catalog.items("known", 4)
    catalog.delete_item("known", first.items[-1].item_id)
    catalog.delete_item("known", added[6])
    late = catalog.add_item("known", picture()).item.item_id
    second = catalog.items("known", 4, first.next)
    third = catalog.items("known", 4, second.next)
    assert third.next is None
    seen = [item.item_id for page in (first, second, third) for item in page.items]
    assert seen == [*added[:6], *added[7:], late]


def test_items_are_found_by_their_bytes(catalog: Catalog, picture: Picture) -> None:
    one, two, none = picture(), picture(), picture()
    here = catalog.add_item("known", one).item
    there = catalog.add_item("news", one).item
    catalog.add_item("known", two)
    assert one.sha256
    assert two.sha256
    assert none.sha256
    assert catalog.known_sha256("known", [one.sha256, none.sha256]) == {one.sha256}
    assert catalog.bank_knowing("known", [one.sha256, none.sha256]) == (catalog.bank("known"), {one.sha256})
    assert catalog.item_by_sha256("known", one.sha256) == here
    assert catalog.item_by_sha256("news", two.sha256) is None
    assert catalog.active_items_by_sha256(one.sha256) == (here, there)
    assert catalog.active_items_by_sha256(one.sha256, ["news"]) == (there,)
    disabled, _ = catalog.set_item("known", here.item_id, state=ItemState.DISABLED)
    assert catalog.active_items_by_sha256(one.sha256) == (there,)
    assert catalog.item_by_sha256("known", one.sha256) == disabled


def test_more_items_than_fit_one_statement_can_be_read_at_once(catalog: Catalog, picture: Picture) -> None:
    added = catalog.add_items("known", [picture() for _ in range(1200)])
    found = catalog.items_by_id([outcome.item.item_id for outcome in added])
    assert found == {outcome.item.item_id: outcome.item for outcome in added}


def test_embeddings_are_read_as_unit_rows_near_those_that_were_written(
    catalog: Catalog, picture: Picture, space: SpaceId, unit_rows: Callable[[int], Embeddings]
) -> None:
    views = unit_rows(3)
    catalog.add_item("known", picture(frames=(NewFrame(70, None, None, {space: views}),)))
    rows = catalog.changes(Version(0), [space]).semantic[space]
    np.testing.assert_allclose(rows.embeddings, views, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(rows.embeddings, axis=1), 1, atol=1e-6)
    assert rows.origins.positions.tolist() == [70, 70, 70]
