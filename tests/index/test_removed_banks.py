"""Removing a bank: hidden at once, deleted step by step."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.schema import Table

from index.catalog import Catalog
from index.catalog.incident_tables import incident_banks, incidents
from index.catalog.tables import banks, embeddings, frames, items
from index.errors import UnknownBank
from index.records.banks import Purpose
from index.records.items import Added, ItemKind, NewItem
from index.records.spaces import SpaceId
from index.views.views import Views

DIM = 16
SPACE = SpaceId("test-000000000000")
NEW = SpaceId("test-111111111111")
STEP = 2


class Died(BaseException):
    """What a process that is killed does not get to see."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.catalog.banks.rows._PURGED_AT_ONCE", STEP)


@pytest.fixture
def stored(catalog: Catalog, picture: Callable[..., NewItem]) -> list[Added]:
    """Five items of the bank `known`, with originals, and one that stays."""
    catalog.add_item("news", picture())
    return catalog.add_items("known", [picture(original_bytes=10) for _ in range(5)])


@pytest.fixture
def views(catalog: Catalog) -> Iterator[Views]:
    with_items = Views(catalog, {SPACE: DIM})
    yield with_items
    with_items.close()


def count(catalog: Catalog, table: Table) -> int:
    with catalog.database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def after_steps(steps: int) -> Callable[[], bool]:
    answers = iter([False] * steps + [True])
    return lambda: next(answers)


def test_nothing_of_a_removed_bank_is_found_while_its_rows_are_still_there(
    catalog: Catalog, views: Views, stored: list[Added]
) -> None:
    everything = np.eye(DIM, dtype=np.float32)
    assert len(views.search(SPACE, everything, 10)) == 6
    version = catalog.delete_bank("known")
    assert count(catalog, items) == 1 + 5 - STEP
    late = Views(catalog, {SPACE: DIM})  # reads the tables, where the others read the log
    for each in (views, late):
        assert each.follow() == version
        assert len(each.search(SPACE, everything, 10)) == 1
        assert set(each.banks) == {"news"}
    late.close()
    assert catalog.items_by_id([added.item.item_id for added in stored]) == {}
    assert catalog.active_items_by_sha256(stored[4].item.sha256 or "") == ()
    assert [bank.name for bank in catalog.banks(10).items] == ["news"]
    assert {rule.name for rule in catalog.state().banks.values()} == {"news"}
    with pytest.raises(UnknownBank):
        catalog.item("known", stored[4].item.item_id)
    with pytest.raises(UnknownBank):
        catalog.delete_bank("known")


def test_what_is_left_is_deleted_in_small_steps_and_the_version_stays(catalog: Catalog, stored: list[Added]) -> None:
    del stored
    version = catalog.delete_bank("known")
    left = []
    while not catalog.purge_removed(after_steps(1)):
        left.append(count(catalog, items))
    assert left == [2]
    assert catalog.purge_removed()
    assert [count(catalog, table) for table in (banks, items, frames, embeddings)] == [1, 1, 1, 1]
    assert catalog.version() == version


def test_a_bank_that_fills_its_last_step_is_deleted_too(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    catalog.add_items("known", [picture() for _ in range(2 * STEP)])
    catalog.delete_bank("known")
    catalog.purge_removed()
    assert (count(catalog, banks), count(catalog, items)) == (1, 0)


def test_a_step_is_bounded_by_frames_and_a_long_video_is_one(
    catalog: Catalog, picture: Callable[..., NewItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a bank of videos would be deleted in transactions that others wait minutes for."""
    monkeypatch.setattr("index.catalog.banks.rows._PURGED_AT_ONCE", 4)
    frame = picture().frames[0]
    for frames_of_it in (9, 2, 2, 3, 1):
        long = tuple(replace(frame, position_ms=number) for number in range(frames_of_it))
        catalog.add_item("known", picture(kind=ItemKind.VIDEO, frames=long))
    catalog.delete_bank("known")
    left = [count(catalog, frames)]
    while not catalog.purge_removed(after_steps(1)):
        left.append(count(catalog, frames))
    assert left == [8, 4]
    assert (count(catalog, banks), count(catalog, frames)) == (1, 0)


def test_another_process_goes_on_after_one_died_between_two_steps(
    catalog: Catalog, url: str, stored: list[Added]
) -> None:
    del stored
    catalog.delete_bank("known")

    def die() -> bool:
        raise Died

    with pytest.raises(Died):
        catalog.purge_removed(die)
    other = Catalog.open(url)
    assert other.purge_removed()
    assert (count(other, banks), count(other, items)) == (1, 1)
    other.close()


def test_a_step_that_fails_leaves_everything_for_the_next(
    catalog: Catalog, stored: list[Added], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.delete_bank("known")

    def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr("index.catalog.banks.rows.delete", fail)  # once the step has noted its originals
        with pytest.raises(RuntimeError):
            catalog.purge_removed()
    assert count(catalog, items) == 1 + 5 - STEP
    assert catalog.purge_removed()
    assert set(catalog.originals.removals(10)) == {added.item.sha256 for added in stored}


def test_a_bank_of_the_same_name_may_be_made_and_filled_meanwhile(
    catalog: Catalog, views: Views, stored: list[Added], picture: Callable[..., NewItem]
) -> None:
    catalog.delete_bank("known")
    bank, created, _ = catalog.put_bank("known", Purpose.PUBLIC_INTEREST)
    assert (created, bank.items) == (True, 0)
    again = picture(sha256=stored[4].item.sha256, original_bytes=10)
    added = catalog.add_item("known", again)
    assert added.created
    assert catalog.purge_removed()
    assert [item.item_id for item in catalog.items("known", 10).items] == [added.item.item_id]
    assert catalog.bank("known").items == 1
    assert len(views.search(SPACE, np.eye(DIM, dtype=np.float32), 10)) == 2
    # What the new bank holds keeps its original; the others are given up.
    assert set(catalog.originals.removals(10)) == {one.item.sha256 for one in stored[:4]}


def test_the_same_name_can_be_removed_again_before_the_first_is_gone(
    catalog: Catalog, picture: Callable[..., NewItem]
) -> None:
    for _ in range(2):
        catalog.put_bank("known", Purpose.HARMFUL)
        catalog.add_items("known", [picture() for _ in range(2 * STEP)])
        catalog.delete_bank("known")
    assert count(catalog, banks) == 3
    assert catalog.purge_removed()
    assert (count(catalog, banks), count(catalog, items)) == (1, 0)


def test_a_removed_bank_belongs_to_no_incident_and_waits_for_no_new_space(
    catalog: Catalog, stored: list[Added]
) -> None:
    del stored
    catalog.register_space(NEW, DIM)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    with catalog.database.writing() as connection:
        key = connection.execute(select(banks.c.bank_key).where(banks.c.name == "known")).scalar_one()
        made = {"name": "n", "type": "t", "state": "open", "criteria": {}, "protocol": {}, "settings": {}}
        rest = {"shadow": False, "revision": 1, "created_at": at, "updated_at": at}
        connection.execute(insert(incidents).values(incident_key=1, incident_id="i", **made, **rest))
        connection.execute(insert(incident_banks).values(incident_key=1, bank_key=key))
    assert (catalog.moves.coverage(NEW).lacking, len(catalog.moves.lacking(NEW, 0, 100, 10))) == (5, 5)
    catalog.delete_bank("known")
    assert count(catalog, incident_banks) == 0
    coverage = catalog.moves.coverage(NEW)
    assert (coverage.lacking, coverage.without_original) == (0, 1)
    assert catalog.moves.lacking(NEW, 0, 100, 10) == []
