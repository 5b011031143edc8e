"""What can be found: when, in which banks, and never again."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from index.catalog import Catalog
from index.errors import BadEmbedding, IndexBehind, SpaceMismatch, UnknownBank
from index.flat import FlatIndex
from index.records import (
    BankSettings,
    Embeddings,
    ItemId,
    ItemKind,
    ItemState,
    NewFrame,
    NewItem,
    Purpose,
    SpaceId,
    Version,
)
from index.views import Views

Picture = Callable[..., NewItem]
UnitRows = Callable[[int], Embeddings]


@pytest.fixture
def views(catalog: Catalog, space: SpaceId) -> Iterator[Views]:
    opened = Views(catalog, {space: 16}, fold_rows=8)
    yield opened
    opened.close()


def embedding_of(new: NewItem, space: SpaceId) -> Embeddings:
    return np.concatenate([frame.embeddings[space] for frame in new.frames])


def hashes_of(new: NewItem) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(frame.pdq or b"" for frame in new.frames), np.uint8).reshape(-1, 32)


class Finder:
    """Asks the views in every way they can be asked; the answers must agree."""

    def __init__(self, views: Views, space: SpaceId) -> None:
        self._views = views
        self._space = space

    def finds(self, new: NewItem, item_id: ItemId, **options: object) -> bool:
        queries, hashes = embedding_of(new, self._space), hashes_of(new)
        reading = self._views.reading()
        semantic = reading.search(self._space, queries, 1, **options)  # type: ignore[arg-type]
        perceptual = reading.search_pdq(hashes, 1, 0, **options)  # type: ignore[arg-type]
        answers = {
            any(hit.item_id == item_id and hit.score > 0.999 for hit in semantic),
            any(hit.item_id == item_id for hit in perceptual),
        }
        if not options:
            answers.add(item_id in reading.scores_of(self._space, queries, [item_id]))
            answers.add(item_id in reading.distances_of(hashes, [item_id]))
        assert len(answers) == 1
        return answers.pop()


@pytest.fixture
def finder(views: Views, space: SpaceId) -> Finder:
    return Finder(views, space)


def test_an_added_item_is_found_at_once(catalog: Catalog, views: Views, finder: Finder, picture: Picture) -> None:
    for _ in range(30):
        new = picture()
        added = catalog.add_item("known", new)
        assert finder.finds(new, added.item.item_id)
        assert views.version == added.index_version


def test_two_processes_on_one_catalog_see_each_others_writes(
    catalog: Catalog, url: str, finder: Finder, picture: Picture, space: SpaceId
) -> None:
    other = Catalog.open(url)
    others_finder = Finder(Views(other, {space: 16}), space)
    new, theirs = picture(), picture()
    mine = catalog.add_item("known", new).item.item_id
    assert others_finder.finds(new, mine)
    their_id = other.add_item("news", theirs).item.item_id
    assert finder.finds(theirs, their_id)
    other.delete_item("known", mine)
    assert not finder.finds(new, mine)
    other.close()


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
    queries = np.concatenate([embedding_of(one, space), embedding_of(two, space)])
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


def test_a_first_load_that_fails_half_way_leaves_nothing_behind(
    catalog: Catalog, views: Views, picture: Picture, space: SpaceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add_items("known", [picture() for _ in range(3)])

    def fail(*_: object) -> None:
        raise MemoryError

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr("index.perceptual.PdqIndex.__init__", fail)
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
    catalog: Catalog, space: SpaceId, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    def build(embeddings: Embeddings) -> FlatIndex:
        if len(embeddings):
            raise MemoryError
        return FlatIndex(embeddings)

    views = Views(catalog, {space: 16}, build_index=build, fold_rows=4)
    finder = Finder(views, space)
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
