"""Which originals are to be deleted: those of the last item of their bytes, and no other."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from index.catalog import Catalog
from index.errors import OriginalBeingRemoved
from index.records.items import NewItem

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def kept(picture: Callable[..., NewItem]) -> Callable[[str], NewItem]:
    return lambda digest: replace(picture(sha256=digest), original_bytes=1000)


def test_an_original_goes_with_the_last_item_of_its_bytes(catalog: Catalog, kept: Callable[[str], NewItem]) -> None:
    first = catalog.add_item("known", kept(ONE)).item
    second = catalog.add_item("news", kept(ONE)).item
    assert (first.original_bytes, catalog.originals.removals(10)) == (1000, [])
    catalog.delete_item("known", first.item_id)
    assert catalog.originals.removals(10) == []
    catalog.delete_item("news", second.item_id)
    assert catalog.originals.removals(10) == [ONE]


def test_originals_of_a_bank_go_with_it_but_for_those_that_others_hold(
    catalog: Catalog, kept: Callable[[str], NewItem], picture: Callable[..., NewItem]
) -> None:
    catalog.add_items("known", [kept(ONE), kept(TWO), picture()])
    catalog.add_item("news", kept(TWO))
    catalog.delete_bank("known")
    assert catalog.originals.removals(10) == [ONE]


def test_a_deletion_is_begun_once_and_again_when_whoever_began_it_died(
    catalog: Catalog, url: str, kept: Callable[[str], NewItem]
) -> None:
    catalog.delete_item("known", catalog.add_item("known", kept(ONE)).item.item_id)
    assert catalog.originals.removals(10) == [ONE]
    assert catalog.originals.removals(10) == []
    with closing(Catalog.open(url, lambda: datetime.now(UTC) + timedelta(hours=1))) as later:
        assert later.originals.removals(10) == [ONE]
        later.originals.removed([ONE])
    with closing(Catalog.open(url, lambda: datetime.now(UTC) + timedelta(hours=2))) as later:
        assert later.originals.removals(10) == []


def test_banking_the_same_bytes_again_calls_their_deletion_off(
    catalog: Catalog, kept: Callable[[str], NewItem]
) -> None:
    catalog.delete_item("known", catalog.add_item("known", kept(ONE)).item.item_id)
    catalog.add_item("known", kept(ONE))
    assert catalog.originals.removals(10) == []


def test_bytes_whose_original_is_being_deleted_are_not_banked_at_that_moment(
    catalog: Catalog, kept: Callable[[str], NewItem]
) -> None:
    catalog.delete_item("known", catalog.add_item("known", kept(ONE)).item.item_id)
    assert catalog.originals.removals(10) == [ONE]
    with pytest.raises(OriginalBeingRemoved):
        catalog.add_item("known", kept(ONE))
    catalog.originals.removed([ONE])
    assert catalog.add_item("known", kept(ONE)).created
