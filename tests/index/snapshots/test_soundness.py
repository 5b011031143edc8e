"""What is not sound, or not of this catalog, is refused loudly and built again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from index.catalog import Catalog
from index.views.snapshots import FORMAT, MANIFEST
from index.views.view import EventKind

Site = Any  # of conftest.py


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def said_to_be_newer(path: Path) -> None:
    manifest = path.with_name(MANIFEST)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": FORMAT + 1}))


SPOILT = {
    "damaged": damage,
    "cut short": cut_short,
    "missing": Path.unlink,
    "newer": said_to_be_newer,
    "manifest damaged": lambda path: damage(path.with_name(MANIFEST)),
    "manifest cut short": lambda path: cut_short(path.with_name(MANIFEST)),
    "manifest missing": lambda path: path.with_name(MANIFEST).unlink(),
}


@pytest.mark.parametrize(
    ("how", "file"),
    [*((how, "embeddings.npy") for how in SPOILT), ("damaged", "items.npy"), ("cut short", "flat.faiss")],
)
def test_a_snapshot_that_is_not_sound_is_refused_loudly_and_rebuilt(site: Site, how: str, file: str) -> None:
    items = site.bank(12)
    site.open().follow()
    (folder,) = site.folders(site.space)
    SPOILT[how](folder / file)
    views = site.open()
    assert site.finds_all(views, items)
    (refused,) = site.heard(EventKind.REFUSED)
    assert folder.name in refused.says
    assert site.folders(site.space)[0] != folder


def test_when_the_newest_is_spoilt_the_one_before_it_serves(site: Site) -> None:
    items = site.bank(12)
    views = site.open()
    views.follow()
    items |= site.bank(3)
    views.follow()
    views.fold()
    newest, before = site.folders(site.space)
    damage(newest / "embeddings.npy")
    again = site.open()
    assert site.finds_all(again, items)
    assert site.part(again).rows == 12
    assert len(site.heard(EventKind.REFUSED)) == 1
    assert site.folders(site.space) == [newest, before]


def test_a_snapshot_of_another_catalog_or_of_a_state_it_was_set_back_from_is_refused(
    site: Site, tmp_path: Path
) -> None:
    site.bank(10)
    backup = tmp_path / "backup" / "catalog.db"
    backup.parent.mkdir()
    for file in tmp_path.glob("catalog.db*"):
        shutil.copy(file, backup.with_name(file.name))
    lost = site.bank(10)
    site.open().follow()
    older = Catalog.open(f"sqlite:///{backup}")
    assert site.finds_none(site.open(older), lost)
    assert {refused.view for refused in site.heard(EventKind.REFUSED)} == {site.space, "pdq"}
    other = site.bank(10, older)
    assert older.version() == site.catalog.version()
    resumed = site.open(older)
    assert site.finds_all(resumed, other)
    assert site.finds_none(resumed, lost)
    older.close()


def test_a_snapshot_of_another_space_in_its_place_is_refused(site: Site) -> None:
    site.bank(12)
    site.open().follow()
    (folder,) = site.folders(site.space)
    shutil.rmtree(folder)
    shutil.copytree(site.folders("pdq")[0], folder)
    views = site.open()
    views.follow()
    (refused,) = site.heard(EventKind.REFUSED)
    assert "another space" in refused.says
    assert views.reading().embeddings_in(site.space) == 12


def test_two_are_kept_and_what_a_killed_builder_left_is_swept_away(site: Site) -> None:
    site.bank(12)
    views = site.open()
    views.follow()
    (first,) = site.folders(site.space)
    left = first.with_name(".aside-killed")
    left.mkdir()
    (left / "embeddings.npy").write_bytes(b"half of it")
    for _ in range(3):
        site.bank(1)
        views.compact()
    assert len(site.folders(site.space)) == len(site.folders("pdq")) == 2
    assert sorted(path.name for path in first.parent.iterdir()) == sorted(
        folder.name for folder in site.folders(site.space)
    )
