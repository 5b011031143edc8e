from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from index.catalog import Catalog
from index.errors import BadCursor, BankPurposeConflict, UnknownBank
from index.records.banks import BankSettings, Purpose
from index.records.items import NewItem


def test_a_new_bank_is_there_as_it_was_put(catalog: Catalog) -> None:
    settings = BankSettings(variant_score=0.7, block_on_semantic=True)
    bank, created, version = catalog.put_bank("incident-1", Purpose.HARMFUL, {"case": 7, "note": "é"}, settings)
    assert created
    assert version == catalog.version()
    assert catalog.bank("incident-1") == bank
    assert (bank.purpose, bank.labels, bank.settings) == (Purpose.HARMFUL, {"case": 7, "note": "é"}, settings)
    assert bank.items == 0
    assert bank.created_at == bank.updated_at <= datetime.now(UTC)


def test_putting_a_bank_again_changes_its_labels_and_settings(catalog: Catalog) -> None:
    before, _, _ = catalog.put_bank("a", Purpose.HARMFUL, {"x": 1})
    after, created, version = catalog.put_bank("a", Purpose.HARMFUL, {"x": 2}, BankSettings(related_score=0.4))
    assert not created
    assert version == catalog.version()
    assert after.labels == {"x": 2}
    assert after.settings.related_score == 0.4
    assert after.created_at == before.created_at


def test_putting_the_same_bank_again_changes_nothing(catalog: Catalog) -> None:
    first, _, version = catalog.put_bank("a", Purpose.HARMFUL, {"x": 1})
    assert catalog.put_bank("a", Purpose.HARMFUL, {"x": 1}) == (first, False, version)


def test_a_label_that_only_compares_equal_is_changed(catalog: Catalog) -> None:
    catalog.put_bank("a", Purpose.HARMFUL, {"seen": 1})
    bank, _, _ = catalog.put_bank("a", Purpose.HARMFUL, {"seen": True})
    assert bank.labels["seen"] is True


def test_a_bank_keeps_its_purpose(catalog: Catalog) -> None:
    with pytest.raises(BankPurposeConflict):
        catalog.put_bank("known", Purpose.PUBLIC_INTEREST)
    assert catalog.bank("known").purpose is Purpose.HARMFUL


def test_a_bank_that_nobody_made_is_unknown(catalog: Catalog) -> None:
    for ask in (catalog.bank, catalog.delete_bank, lambda name: catalog.items(name, 1)):
        with pytest.raises(UnknownBank):
            ask("nowhere")


def test_a_deleted_bank_is_gone_with_its_items(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    added = catalog.add_item("known", picture())
    version = catalog.delete_bank("known")
    assert version == catalog.version()
    with pytest.raises(UnknownBank):
        catalog.bank("known")
    assert catalog.items_by_id([added.item.item_id]) == {}
    assert [space.frames for space in catalog.spaces()] == [0]


def test_a_bank_made_anew_under_an_old_name_is_empty_and_may_have_another_purpose(
    catalog: Catalog, picture: Callable[..., NewItem]
) -> None:
    item = picture()
    catalog.add_item("known", item)
    catalog.delete_bank("known")
    bank, created, _ = catalog.put_bank("known", Purpose.PUBLIC_INTEREST)
    assert (created, bank.items) == (True, 0)
    assert catalog.add_item("known", item).created


def test_pages_of_banks_give_every_bank_once_in_the_order_of_names(catalog: Catalog) -> None:
    for name in ("b", "a", "c", "émigré", "Z"):
        catalog.put_bank(name, Purpose.HARMFUL)
    names, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = catalog.banks(3, cursor)
        names += [bank.name for bank in page.items]
        cursor, pages = page.next, pages + 1
    assert names == sorted(["b", "a", "c", "émigré", "Z", "known", "news"])
    assert pages == 3


def test_a_page_that_is_exactly_full_at_the_end_says_so(catalog: Catalog) -> None:
    assert catalog.banks(2).next is None


def test_a_cursor_of_the_items_does_not_page_the_banks(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    catalog.add_items("known", [picture(), picture()])
    cursor = catalog.items("known", 1).next
    assert cursor is not None
    with pytest.raises(BadCursor):
        catalog.banks(1, cursor)
    with pytest.raises(BadCursor):
        catalog.items("news", 1, cursor)


def test_the_rules_of_all_banks_can_be_had_at_once(catalog: Catalog) -> None:
    catalog.put_bank("a", Purpose.HARMFUL, settings=BankSettings(variant_score=0.9))
    rules = {rule.name: rule for rule in catalog.state().banks.values()}
    assert set(rules) == {"known", "news", "a"}
    assert rules["a"].settings.variant_score == 0.9
    assert rules["news"].purpose is Purpose.PUBLIC_INTEREST
