"""Building large parts beside serving: where, one at a time, and what happens when it cannot be done."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from index.engines.description import Engine
from index.engines.tuning import RecallTarget
from index.errors import IndexBusy
from index.records.changes import Version
from index.views.building import INPUT, KEPT_FILE, Builder, Task, write_task
from index.views.snapshots import MANIFEST
from index.views.view import EventKind

Site = Any  # of conftest.py


@pytest.mark.parametrize("own_process_rows", [0, 1000])
def test_a_snapshot_is_built_alike_in_this_process_and_in_one_of_its_own(site: Site, own_process_rows: int) -> None:
    items = site.bank(20)
    views = site.open(own_process_rows=own_process_rows)
    views.follow()
    items |= site.bank(5)
    said: list[str] = []
    views.compact(site.space, said.append)
    assert any("gathering" in sentence for sentence in said)
    assert site.finds_all(views, items)
    (newest, _) = site.folders(site.space)
    assert not (newest / INPUT).exists()
    assert json.loads((newest / MANIFEST).read_text())["rows"] == 25


def test_one_process_of_a_data_directory_builds_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bank(12)
    views = site.open()
    views.follow()
    items = site.bank(20)
    lock = os.open(site.store.folder / "builder.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    views.follow()
    views.tend()
    views.close()
    assert site.store.newest(site.space) == 1
    monkeypatch.setattr("index.views.views._BUSY_S", 0.0)
    with pytest.raises(IndexBusy):
        views.compact(site.space)
    os.close(lock)
    assert site.finds_all(views, items)
    views.compact(site.space)
    assert site.store.newest(site.space) == 2


def test_without_room_serving_goes_on_and_once_there_is_room_it_is_built(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    items = site.bank(12)
    with monkeypatch.context() as patched:
        patched.setattr("index.views.columns.ColumnWriter.append", full)
        views = site.open()
        assert site.finds_all(views, items)
        views.close()
    assert site.heard(EventKind.FAILED)
    assert "No space left" in site.heard(EventKind.FAILED)[0].says
    assert site.store.newest(site.space) == 0
    assert not list(site.store.folder.glob("*/.aside*"))
    views.compact()
    assert site.store.newest(site.space) == 1


def test_a_folder_that_cannot_be_written_leaves_the_views_in_memory(site: Site) -> None:
    items = site.bank(12)
    site.store.folder.write_text("not a folder")
    views = site.open()
    assert site.finds_all(views, items)
    assert site.part(views).manifest is None
    with pytest.raises(OSError, match="exists"):
        views.compact()


def test_a_build_that_is_stopped_is_no_failure_and_leaves_nothing_behind(site: Site) -> None:
    site.bank(12)
    views = site.open(own_process_rows=0)
    views.follow()
    site.bank(12)
    views.close()
    with pytest.raises(OSError, match="stopped"):
        views.compact()
    assert site.heard(EventKind.FAILED) == []
    assert site.store.newest(site.space) == 1
    assert not list(site.store.folder.glob("*/.aside*"))


def test_a_build_that_failed_is_tried_again_and_each_time_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def failures_after(wait_s: float) -> int:
        clock.now += wait_s
        views.tend()
        site.settle()
        return sum(event.view == site.space for event in site.heard(EventKind.FAILED))

    site.bank(12)
    views = site.open()
    views.follow()
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now, sleep=None)
    with monkeypatch.context() as patched:
        patched.setattr("index.views.tending.time", clock)
        patched.setattr("index.views.keeper.build", full)
        items = site.bank(12)
        views.follow()
        site.settle()
        assert [failures_after(wait_s) for wait_s in (0.0, 4.9, 0.2, 9.0, 1.1)] == [1, 1, 2, 2, 3]
        assert site.finds_all(views, items)
        patched.undo()
        patched.setattr("index.views.tending.time", clock)
        assert failures_after(20.1) == 3
    assert site.store.newest(site.space) == 2


def test_what_fails_in_a_process_of_its_own_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Builder(tmp_path, threads=1).run(print)


def test_a_build_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / INPUT).mkdir()
    write_task(tmp_path, Task("a view", Version(1), "a mark", 8, ("items.npy",), None, None))
    os.mkfifo(tmp_path / INPUT / KEPT_FILE)  # it waits there for ever
    command = [sys.executable, "-P", "-m", "index.views.building", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as build:
        assert b"gathering" in (build.stdout.readline() if build.stdout else b"")
        assert build.stdin is not None
        build.stdin.close()
        assert build.wait(timeout=60) == 3


def test_a_forced_engine_is_built_beside_serving(site: Site) -> None:
    items = site.bank(600)
    views = site.open(engine=Engine.IVF, fold_rows=100)
    views.follow()
    views.close()
    part = site.part(views)
    assert part.manifest is not None
    assert part.manifest.engine["asked"] == Engine.IVF
    assert all(site.found(views, new) == {item_id} for item_id, new in list(items.items())[::40])


def test_an_engine_that_does_not_find_what_is_demanded_gives_way_to_a_better_one(site: Site) -> None:
    site.bank(600)
    engines = []
    for least in (0.0, 1.01):
        views = site.open(engine=Engine.IVF, fold_rows=100, recall=RecallTarget(least, least, queries=40))
        views.follow()
        views.compact(site.space, lambda _: None)
        views.close()
        part = site.part(views)
        assert part.manifest is not None
        engines.append((part.manifest.engine["asked"], part.manifest.engine["engine"]))
    assert engines == [(Engine.IVF, Engine.IVF), (Engine.IVF, Engine.FLAT)]


def test_a_view_whose_snapshot_was_deleted_is_folded_from_what_is_mapped(site: Site) -> None:
    items = site.bank(12)
    views = site.open()
    views.follow()
    shutil.rmtree(site.store.home(site.space))
    items |= site.bank(3)
    views.compact()
    assert site.finds_all(views, items)
    assert site.finds_all(site.open(), items)
    assert site.part(views).rows == 15


def test_a_view_of_which_nothing_is_left_is_not_tended_again_and_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = site.bank(600)
    views = site.open(engine=Engine.IVF, fold_rows=100)
    views.follow()
    site.settle()
    assert site.part(views).manifest.engine["asked"] == Engine.IVF
    for item_id in items:
        site.catalog.delete_item("known", item_id)
    views.follow()
    site.settle()
    views.close()
    forgetful = site.open()  # chooses by size, and so asks for another engine than the snapshot has
    forgetful.follow()
    site.settle()

    def refuse(_: threading.Thread) -> None:
        pytest.fail("there is nothing to build")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        forgetful.tend()
