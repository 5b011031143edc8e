from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from index.catalog import Catalog
from index.errors import IdempotencyConflict, UnknownBank
from index.records.banks import Purpose
from index.records.items import Idempotency, NewItem

Picture = Callable[..., NewItem]
REQUEST = Idempotency(key="k", scope="known", request_digest="d1")


def test_a_repeated_request_is_answered_as_the_first_was_and_adds_nothing(catalog: Catalog, picture: Picture) -> None:
    first = catalog.add_item("known", picture(sha256=None, labels={"n": 1}), REQUEST)
    assert catalog.add_item("known", picture(sha256=None), REQUEST) == first
    assert catalog.replayed(REQUEST) == first
    assert catalog.bank("known").items == 1


def test_the_answer_is_the_same_even_when_the_item_has_gone_since(catalog: Catalog, picture: Picture) -> None:
    first = catalog.add_item("known", picture(), REQUEST)
    catalog.delete_item("known", first.item.item_id)
    assert catalog.add_item("known", picture(), REQUEST) == first


def test_a_bank_made_anew_does_not_answer_for_the_one_that_was_removed(catalog: Catalog, picture: Picture) -> None:
    first = catalog.add_item("known", picture(), REQUEST)
    catalog.delete_bank("known")
    catalog.put_bank("known", Purpose.HARMFUL)
    again = catalog.add_item("known", picture(), REQUEST)
    assert again.created
    assert again.item.item_id != first.item.item_id
    assert catalog.bank("known").items == 1


def test_the_same_key_for_another_request_is_a_conflict(catalog: Catalog, picture: Picture) -> None:
    catalog.add_item("known", picture(), REQUEST)
    other = Idempotency(key="k", scope="known", request_digest="d2")
    with pytest.raises(IdempotencyConflict):
        catalog.add_item("known", picture(), other)
    with pytest.raises(IdempotencyConflict):
        catalog.replayed(other)
    assert catalog.bank("known").items == 1


def test_the_same_key_in_another_scope_is_another_request(catalog: Catalog, picture: Picture) -> None:
    catalog.add_item("known", picture(), REQUEST)
    other = Idempotency(key="k", scope="news", request_digest="d1")
    assert catalog.replayed(other) is None
    assert catalog.add_item("news", picture(), other).created


def test_a_request_that_failed_is_not_remembered(catalog: Catalog, picture: Picture) -> None:
    with pytest.raises(UnknownBank):
        catalog.add_item("nowhere", picture(), REQUEST)
    assert catalog.replayed(REQUEST) is None
    assert catalog.add_item("known", picture(), REQUEST).created


def test_a_key_is_forgotten_after_a_day(url: str, picture: Picture, space: str) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    catalog = Catalog.open(url, clock=lambda: now[0])
    catalog.register_space(space, 16)  # type: ignore[arg-type]
    catalog.put_bank("known", Purpose.HARMFUL)
    first = catalog.add_item("known", picture(), REQUEST)
    now[0] += timedelta(hours=23, minutes=59)
    assert catalog.replayed(REQUEST) == first
    now[0] += timedelta(minutes=1)
    assert catalog.replayed(REQUEST) is None
    assert catalog.add_item("known", picture(), REQUEST).created
    catalog.close()


def test_labels_may_hold_any_text_that_json_can(catalog: Catalog, picture: Picture) -> None:
    odd = {"zero": "a\x00b", "half": "\ud800", "quote": "'\"\\", "far": "\U0001f600"}
    added = catalog.add_item("known", picture(labels=odd), REQUEST)
    assert dict(catalog.item("known", added.item.item_id).labels) == odd
    assert catalog.replayed(REQUEST) == added
    catalog.delete_bank("known")
    assert catalog.replayed(REQUEST) is None
