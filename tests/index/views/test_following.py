"""When it can be found: from one version to the next, by several at once, and when something fails on the way."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from index.catalog import Catalog
from index.engines.flat import FlatIndex
from index.errors import IndexBehind
from index.records.banks import BankSettings, Purpose
from index.records.changes import Changes, Version
from index.records.items import ItemId, ItemState, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.views import ViewOptions, Views

Picture = Callable[..., NewItem]
UnitRows = Callable[[int], Embeddings]
Finder = Any  # of conftest.py
FinderOf = Callable[[Views], Finder]


def test_two_processes_on_one_catalog_see_each_others_writes(
    catalog: Catalog, url: str, finder: Finder, picture: Picture, *, finder_of: FinderOf, space: SpaceId
) -> None:
    other = Catalog.open(url)
    others_finder = finder_of(Views(other, {space: 16}))
    new, theirs = picture(), picture()
    mine = catalog.add_item("known", new).item.item_id
    assert others_finder.finds(new, mine)
    their_id = other.add_item("news", theirs).item.item_id
    assert finder.finds(theirs, their_id)
    other.delete_item("known", mine)
    assert not finder.finds(new, mine)
    other.close()


def test_the_banks_follow_the_log(catalog: Catalog, views: Views) -> None:
    views.follow()
    assert set(views.banks) == {"known", "news"}
    catalog.put_bank("a", Purpose.HARMFUL, settings=BankSettings(variant_score=0.5))
    catalog.delete_bank("news")
    views.follow()
    assert set(views.banks) == {"known", "a"}
    assert views.banks["a"].settings.variant_score == 0.5


def test_a_reading_never_changes(
    catalog: Catalog, views: Views, space: SpaceId, picture: Picture, unit_rows: UnitRows
) -> None:
    catalog.add_items("known", [picture() for _ in range(5)])
    reading, asked = views.reading(), unit_rows(1)
    before = reading.search(space, asked, 50)
    for item in catalog.items("known", 3).items:
        catalog.delete_item("known", item.item_id)
    catalog.add_items("known", [picture() for _ in range(30)])
    views.follow()
    views.fold()
    assert reading.search(space, asked, 50) == before
    assert len(views.search(space, asked, 50)) == 32
    assert views.version > reading.version


def test_a_search_told_not_to_follow_answers_from_what_is_published(
    catalog: Catalog, views: Views, space: SpaceId, picture: Picture, unit_rows: UnitRows
) -> None:
    views.follow()
    catalog.add_item("known", picture())
    assert views.search(space, unit_rows(1), 1, follow=False) == []
    assert len(views.search(space, unit_rows(1), 1)) == 1


def test_a_version_that_exists_is_reached_and_one_that_does_not_is_not(
    catalog: Catalog, views: Views, picture: Picture
) -> None:
    added = catalog.add_item("known", picture())
    assert views.reach(added.index_version, timeout_s=0) == added.index_version
    with pytest.raises(IndexBehind):
        views.reach(Version(added.index_version + 1), timeout_s=0.005)


def test_a_version_that_comes_while_one_waits_is_reached(catalog: Catalog, views: Views, picture: Picture) -> None:
    target = Version(catalog.version() + 1)
    writer = threading.Timer(0.01, lambda: catalog.add_item("known", picture()))
    writer.start()
    assert views.reach(target, timeout_s=20) == target
    writer.join()


def test_views_that_are_far_behind_start_over_instead_of_reading_the_log(
    catalog: Catalog, views: Views, finder: Finder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = picture(), picture()
    gone = catalog.add_item("known", old).item.item_id
    assert finder.finds(old, gone)
    behind, changes, read = views.version, catalog.changes, list[Version]()

    def changes_since(since: Version, *rest: Any, **more: Any) -> Changes:
        read.append(since)
        return changes(since, *rest, **more)

    monkeypatch.setattr("index.views.following._FAR_BEHIND", 4)
    monkeypatch.setattr(catalog, "changes", changes_since)
    catalog.delete_item("known", gone)
    catalog.delete_bank("news")
    added = catalog.add_items("known", [picture(), picture(), new])[-1]
    assert finder.finds(new, added.item.item_id)
    assert not finder.finds(old, gone)
    assert (views.version, set(views.banks)) == (catalog.version(), {"known"})
    assert behind not in read
    catalog.delete_item("known", added.item.item_id)
    assert not finder.finds(new, added.item.item_id)
    assert added.index_version in read


def test_a_first_load_that_fails_half_way_leaves_nothing_behind(
    catalog: Catalog, views: Views, picture: Picture, space: SpaceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add_items("known", [picture() for _ in range(3)])

    def fail(*_: object) -> None:
        raise MemoryError

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr("index.engines.perceptual.PdqIndex.__init__", fail)
            with pytest.raises(MemoryError):
                views.follow()
    assert views.reading().embeddings_in(space) == 3


def test_when_no_thread_can_be_started_to_fold_searching_goes_on_and_it_is_tried_again(
    catalog: Catalog, views: Views, finder: Finder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    views.follow()
    new = picture()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(9):
            catalog.add_item("known", picture())
            views.follow()
    item_id = catalog.add_item("known", new).item.item_id
    assert finder.finds(new, item_id)
    views.close()
    (large, live) = views.reading(follow=False).perceptual
    assert (len(large.index), len(live.index)) == (10, 0)


def test_an_engine_that_cannot_be_built_leaves_the_live_part_serving(
    catalog: Catalog, space: SpaceId, finder_of: FinderOf, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    def build(embeddings: Embeddings) -> FlatIndex:
        if len(embeddings):
            raise MemoryError
        return FlatIndex(embeddings)

    views = Views(catalog, {space: 16}, options=ViewOptions(build_index=build, fold_rows=4))
    finder = finder_of(views)
    news = [picture() for _ in range(3)]
    ids = [added.item.item_id for added in catalog.add_items("known", news)]
    views.follow()
    late = picture()
    late_id = catalog.add_item("known", late).item.item_id
    views.follow()
    views.close()
    assert "could not be folded" in caplog.text
    assert all(finder.finds(new, item_id) for new, item_id in zip([*news, late], [*ids, late_id], strict=True))


def test_no_answer_given_after_a_removal_contains_the_item_while_everything_goes_on_at_once(
    catalog: Catalog, views: Views, space: SpaceId, picture: Picture, unit_rows: UnitRows
) -> None:
    ids = [added.item.item_id for added in catalog.add_items("known", [picture() for _ in range(120)])]
    removed: set[ItemId] = set()
    wrong: list[ItemId] = []
    asked, done = unit_rows(3), threading.Event()

    def search() -> None:
        while not done.is_set():
            gone_before = set(removed)
            found = {hit.item_id for hit in views.search(space, asked, 200)}
            wrong.extend(found & gone_before)

    searchers = [threading.Thread(target=search) for _ in range(3)]
    for searcher in searchers:
        searcher.start()
    for place, item_id in enumerate(ids[:40]):
        if place % 2:
            catalog.delete_item("known", item_id)
        else:
            catalog.set_item("known", item_id, state=ItemState.DISABLED)
        removed.add(item_id)
        catalog.add_item("known", picture())
        if place % 10 == 0:
            views.fold()
    done.set()
    for searcher in searchers:
        searcher.join()
    assert wrong == []
    assert len(views.search(space, asked, 500)) == 120
