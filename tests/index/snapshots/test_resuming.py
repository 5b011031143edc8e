"""Views that begin from files, take over those of others, and find what they found before."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.catalog import Catalog
from index.records.items import ItemId, ItemState, NewItem
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.view import EventKind

Site = Any  # of conftest.py
Picture = Callable[..., NewItem]


def test_a_view_resumes_from_its_snapshot_and_the_log_since(site: Site) -> None:
    before = site.bank(40)
    first = site.open()
    first.follow()
    gone, disabled, back, *_ = before
    site.catalog.set_item("known", back, state=ItemState.DISABLED)
    first.follow()
    first.fold()
    site.catalog.delete_item("known", gone)
    site.catalog.set_item("known", disabled, state=ItemState.DISABLED)
    site.catalog.set_item("known", back, state=ItemState.ACTIVE)
    since = site.bank(3)
    resumed = site.open()
    for item_id, new in (before | since).items():
        expected = set() if item_id in {gone, disabled} else {item_id}
        assert site.found(resumed, new) == site.found(first, new) == expected
    part = site.part(resumed)
    assert (part.rows, part.live_rows) == (39, 4)
    assert site.part(resumed, "pdq").manifest is not None
    assert resumed.version == first.version == site.catalog.version()


def test_the_first_of_many_rows_goes_to_the_disk_and_few_stay_in_memory(site: Site) -> None:
    site.bank(5)
    small = site.open()
    small.follow()
    small.fold()
    assert site.store.newest(site.space) == 0
    site.bank(20)
    site.open().follow()
    assert site.store.newest(site.space) == site.store.newest("pdq") == 1


def test_another_process_takes_a_new_snapshot_over_with_all_that_happened_meanwhile(site: Site) -> None:
    items = site.bank(30)
    builder, other = site.open(), site.open()
    builder.follow()
    other.follow()
    reading = other.reading()
    items |= site.bank(10)
    builder.follow()
    builder.fold()
    gone = next(iter(items))
    site.catalog.delete_item("known", gone)
    late = site.bank(2)
    other.follow()
    other.tend()
    other.close()
    part = site.part(other)
    assert (part.rows, part.live_rows) == (40, 2)
    for item_id, new in (items | late).items():
        assert site.found(other, new) == (set() if item_id == gone else {item_id})
    assert reading.embeddings_in(site.space) == 30


@pytest.mark.parametrize("bound", ["_FAR_BEHIND", "_TOO_FAR_BEHIND"])
def test_a_snapshot_far_behind_the_catalog_is_written_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    items = site.bank(12)
    site.open().follow()
    items |= site.bank(20)
    monkeypatch.setattr(f"index.views.keeper.{bound}", 0)
    views = site.open()
    assert site.finds_all(views, items)
    part = site.part(views)
    assert (part.rows, part.live_rows) == (32, 0)


def test_an_emptied_view_finds_nothing_and_fills_again(site: Site) -> None:
    items = site.bank(12)
    views = site.open()
    views.follow()
    for item_id in items:
        site.catalog.delete_item("known", item_id)
    views.compact()
    assert site.finds_none(views, items)
    later = site.bank(12)
    views.compact()
    assert site.finds_all(views, later)
    resumed = site.open()
    assert site.finds_all(resumed, later)


def test_a_space_can_be_added_and_dropped_while_others_are_searched(site: Site, picture: Picture) -> None:
    views = site.open()
    more = SpaceId("more-000000000000")
    site.catalog.register_space(more, 4)
    rows = np.eye(4, dtype=np.float32)
    frame = picture().frames[0]
    both = picture(frames=[type(frame)(0, frame.pdq, 90, {**frame.embeddings, more: rows[:1]})])
    item_id = site.catalog.add_item("known", both).item.item_id
    views.follow()
    reading = views.reading()
    views.add_space(more, 4)
    views.add_space(more, 4)
    assert [hit.item_id for hit in views.search(more, rows[:1], 1)] == [item_id]
    assert more not in reading.semantic
    assert [record.space for record in views.reading().spaces] == [site.space, more]
    views.drop_space(more)
    assert more not in views.reading().semantic
    assert [hit.item_id for hit in views.search(site.space, frame.embeddings[site.space], 1)] == [item_id]


def test_searches_go_on_while_a_space_is_folded_again_and_again(site: Site) -> None:
    items = site.bank(30)
    views = site.open()
    wrong: list[ItemId] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            wrong.extend(item_id for item_id, new in items.items() if site.found(views, new) != {item_id})

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for searcher in searchers:
        searcher.start()
    for _ in range(6):
        site.bank(3)
        views.compact()
    done.set()
    for searcher in searchers:
        searcher.join()
    assert wrong == []


def test_a_snapshot_is_said_to_be_of_the_version_whose_rows_it_holds(site: Site) -> None:
    """Else a catalog that is set back to a version between the two would trust rows that it does not have."""
    site.bank(30)
    builder, other = site.open(), site.open()
    builder.follow()
    other.follow()
    builder.compact()
    since = site.bank(2)
    other.tend()  # takes over, and is ahead of what it has published
    other.close()
    assert other.version < site.catalog.version()
    other.fold()
    manifest = site.part(other).manifest
    assert (manifest.rows, manifest.version) == (32, site.catalog.version())
    assert site.finds_all(other, since)


class SetBack:
    """One catalog, and from some moment on an older state of it, as when its files are exchanged under a service."""

    def __init__(self, catalog: Catalog) -> None:
        self.now = catalog

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


def test_a_catalog_set_back_while_it_is_searched_is_loaded_anew(site: Site, tmp_path: Path) -> None:
    kept = site.bank(10)
    gone = next(iter(kept))
    (tmp_path / "before").mkdir()
    for file in tmp_path.glob("catalog.db*"):
        shutil.copy(file, tmp_path / "before" / file.name)
    before = Catalog.open(f"sqlite:///{tmp_path / 'before' / 'catalog.db'}")
    lost = site.bank(10)
    site.catalog.delete_item("known", gone)
    catalog = SetBack(site.catalog)
    views = site.open(catalog)
    assert site.finds_all(views, lost)
    catalog.now = before
    assert site.finds_none(views, lost)
    assert site.finds_all(views, kept)
    assert views.version == before.version()
    later = site.bank(3, before)
    assert site.finds_all(views, later)
    before.close()


def test_a_snapshot_far_behind_is_better_than_none_when_there_is_no_room_for_another(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    items = site.bank(12)
    site.open().follow()
    items |= site.bank(20)
    monkeypatch.setattr("index.views.keeper._FAR_BEHIND", 0)
    monkeypatch.setattr("index.views.columns.ColumnWriter.append", full)
    views = site.open(fold_rows=1000)
    assert site.finds_all(views, items)
    assert (site.part(views).rows, site.part(views).live_rows) == (12, 20)


def test_a_folder_that_cannot_be_read_for_a_while_fails_no_search(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    items = site.bank(12)
    views = site.open()
    views.follow()
    with monkeypatch.context() as patched:
        patched.setattr("index.views.snapshots.os.scandir", refuse)
        items |= site.bank(2)
        assert site.finds_all(views, items)
        assert site.finds_all(site.open(), items)


def test_what_is_left_of_a_dropped_space_is_swept_away(site: Site) -> None:
    site.bank(12)
    views = site.open()
    views.follow()
    home = site.store.home(site.space)
    left = home.with_name(f".aside-old-{home.name}-killed")
    home.rename(left)
    assert site.store.views() == ["pdq"]
    views.compact()
    assert not left.exists()


def test_a_space_dropped_while_its_snapshot_is_built_leaves_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bank(12)
    views = site.open()
    views.follow()
    write = SnapshotStore.writing

    def writing_late(store: SnapshotStore, view: str) -> Any:
        if view == site.space:
            views.drop_space(site.space)
        return write(store, view)

    monkeypatch.setattr(SnapshotStore, "writing", writing_late)
    site.bank(20)
    views.follow()
    site.settle()
    assert site.store.views() == ["pdq"]
    assert site.heard(EventKind.FAILED) == []
