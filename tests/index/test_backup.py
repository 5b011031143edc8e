"""Copies of a catalog in use, and a catalog set back to one."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from index.catalog import Catalog
from index.catalog.backup import back_up, restore
from index.errors import BackupRefused, CatalogTooNew, CatalogUnavailable
from index.records.banks import Purpose
from index.records.items import NewItem
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.views import ViewOptions, Views

Picture = Callable[..., NewItem]
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""Where the copying is ours; on PostgreSQL it is pg_dump's, and takes longer."""


def unheard(_: int, __: int) -> None:
    pass


def ids_in(catalog: Catalog) -> set[str]:
    return {item.item_id for item in catalog.items("known", 10_000).items}


def test_a_catalog_set_back_is_as_it_was_when_it_was_copied(
    catalog: Catalog, url: str, picture: Picture, tmp_path: Path
) -> None:
    kept = [catalog.add_item("known", picture(labels={"n": n})).item for n in range(3)]
    copied = back_up(url, tmp_path / "copy", unheard)
    assert copied.version == catalog.version()
    assert copied.size_bytes == (tmp_path / "copy").stat().st_size
    identity = catalog.identity()
    catalog.delete_item("known", kept[0].item_id)
    catalog.add_item("known", picture())
    catalog.put_bank("later", Purpose.HARMFUL)
    catalog.close()
    assert restore(tmp_path / "copy", url, replace=True, report=unheard).version == copied.version
    again = Catalog.open(url)
    assert list(again.items("known", 10).items) == kept
    assert [bank.name for bank in again.banks(10).items] == ["known", "news"]
    assert again.identity() != identity
    assert again.audit.verify().broken is None
    assert again.audit.rows(0)[-1].action == "catalog.restored"
    assert again.add_item("known", picture()).index_version == copied.version + 1
    again.close()


@ON_SQLITE
def test_a_copy_of_a_catalog_that_is_written_is_of_one_instant(
    catalog: Catalog, url: str, picture: Picture, tmp_path: Path
) -> None:
    ended = threading.Event()
    pictures = [picture() for _ in range(3000)]

    def write() -> None:
        for first, second in zip(pictures[::2], pictures[1::2], strict=True):
            if ended.is_set():
                return
            catalog.add_items("known", [first, second])  # together, or not at all

    writer = threading.Thread(target=write)
    writer.start()
    before = catalog.version()
    copied = back_up(url, tmp_path / "copy", unheard)
    ended.set()
    writer.join()
    after = ids_in(catalog)
    catalog.close()
    restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    assert before <= copied.version
    assert len(ids_in(again)) % 2 == 0
    assert len(ids_in(again)) == again.bank("known").items
    assert ids_in(again) <= after
    again.close()


@ON_SQLITE
def test_views_of_the_catalog_that_was_replaced_are_not_taken_for_the_new_ones(
    catalog: Catalog, url: str, picture: Picture, space: SpaceId, tmp_path: Path
) -> None:
    options = ViewOptions(fold_rows=2, stored_rows=1)
    store = SnapshotStore(tmp_path / "snapshots")
    stays = catalog.add_item("known", picture()).item
    back_up(url, tmp_path / "copy", unheard)
    gone = [catalog.add_item("known", picture()).item for _ in range(6)]
    views = Views(catalog, {space: 16}, snapshots=store, options=options)
    views.compact()
    views.close()
    catalog.close()
    restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    other = [again.add_item("known", picture()).item for _ in range(6)]  # to the same version as before
    views = Views(again, {space: 16}, snapshots=store, options=options)
    asked = next(iter(picture().frames[0].embeddings.values()))
    found = views.scores_of(space, asked, [item.item_id for item in (stays, *gone, *other)])
    assert set(found) == {item.item_id for item in (stays, *other)}
    views.close()
    again.close()


def test_nothing_is_replaced_unless_that_was_said(catalog: Catalog, url: str, picture: Picture, tmp_path: Path) -> None:
    back_up(url, tmp_path / "copy", unheard)
    added = catalog.add_item("known", picture()).item
    catalog.close()
    with pytest.raises(BackupRefused, match="already"):
        restore(tmp_path / "copy", url, replace=False, report=unheard)
    again = Catalog.open(url)
    assert ids_in(again) == {added.item_id}
    again.close()


def test_a_catalog_in_use_is_not_replaced(catalog: Catalog, url: str, tmp_path: Path) -> None:
    back_up(url, tmp_path / "copy", unheard)
    catalog.version()
    with pytest.raises(BackupRefused, match="in use"):
        restore(tmp_path / "copy", url, replace=True, report=unheard)
    catalog.check_writable()


def test_what_is_no_backup_is_refused(catalog: Catalog, url: str, tmp_path: Path) -> None:
    catalog.close()
    (tmp_path / "letter").write_text("this is a letter to my aunt")
    with pytest.raises(BackupRefused, match="not a backup"):
        restore(tmp_path / "letter", url, replace=True, report=unheard)
    Catalog.open(url).close()


@ON_SQLITE
def test_a_damaged_backup_replaces_nothing(catalog: Catalog, url: str, picture: Picture, tmp_path: Path) -> None:
    added = {one.item.item_id for one in catalog.add_items("known", [picture() for _ in range(50)])}
    back_up(url, tmp_path / "copy", unheard)
    catalog.close()
    data = (tmp_path / "copy").read_bytes()
    (tmp_path / "copy").write_bytes(data[: len(data) // 2])
    with pytest.raises((BackupRefused, CatalogUnavailable)):
        restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    assert ids_in(again) == added
    again.close()


def test_a_backup_of_a_newer_release_replaces_nothing(
    catalog: Catalog, url: str, picture: Picture, tmp_path: Path
) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        now = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    back_up(url, tmp_path / "copy", unheard)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :now"), {"now": now})
    engine.dispose()
    added = catalog.add_item("known", picture()).item
    catalog.close()
    with pytest.raises(CatalogTooNew, match="9999"):
        restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    assert ids_in(again) == {added.item_id}
    again.close()


def test_a_backup_of_an_earlier_release_replaces_a_catalog_of_this_one(
    url: str, load_golden: Callable[[str], None], tmp_path: Path
) -> None:
    load_golden("0001")
    back_up(url, tmp_path / "copy", unheard)
    catalog = Catalog.open(url)  # which brings it up to date
    identity = catalog.identity()
    catalog.put_bank("later", Purpose.HARMFUL)
    catalog.close()
    restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    assert [bank.name for bank in again.banks(10).items] == ["known", "news"]
    assert again.identity() != identity
    assert again.audit.verify().broken is None
    again.close()


@ON_SQLITE
def test_a_catalog_that_is_beyond_reading_can_be_replaced_and_is_kept(
    catalog: Catalog, url: str, picture: Picture, tmp_path: Path
) -> None:
    added = catalog.add_item("known", picture()).item
    back_up(url, tmp_path / "copy", unheard)
    catalog.close()
    (tmp_path / "catalog.db").write_bytes(b"this is a letter to my aunt" * 1000)
    (tmp_path / "catalog.db-wal").write_bytes(b"and what was to be said besides" * 1000)
    restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    assert ids_in(again) == {added.item_id}
    again.close()
    (kept,) = tmp_path.glob("catalog.db.replaced-*Z")
    assert kept.read_bytes().startswith(b"this is a letter")


@ON_SQLITE
def test_what_is_replaced_is_kept_whole(catalog: Catalog, url: str, picture: Picture, tmp_path: Path) -> None:
    back_up(url, tmp_path / "copy", unheard)
    added = catalog.add_item("known", picture()).item
    catalog.close()
    restore(tmp_path / "copy", url, replace=True, report=unheard)
    (kept,) = tmp_path.glob("catalog.db.replaced-*Z")
    with sqlite3.connect(kept) as connection:
        assert connection.execute("SELECT item_id FROM items").fetchall() == [(added.item_id,)]
    connection.close()


@ON_SQLITE
def test_a_log_that_was_left_behind_is_not_taken_for_the_new_ones(
    catalog: Catalog, url: str, picture: Picture, tmp_path: Path
) -> None:
    stays = catalog.add_item("known", picture()).item
    back_up(url, tmp_path / "copy", unheard)
    catalog.add_item("known", picture())
    (tmp_path / "log").write_bytes((tmp_path / "catalog.db-wal").read_bytes())
    catalog.close()
    (tmp_path / "catalog.db").unlink()  # by somebody who knows of this file alone
    (tmp_path / "log").rename(tmp_path / "catalog.db-wal")
    restore(tmp_path / "copy", url, replace=False, report=unheard)
    again = Catalog.open(url)
    assert ids_in(again) == {stays.item_id}
    again.close()


@ON_SQLITE
@pytest.mark.parametrize("name", ["catalog.db", "linked.db", "catalog.db-wal", "catalog.db.lock"])
def test_a_copy_does_not_take_the_place_of_the_catalog_itself(
    catalog: Catalog, url: str, picture: Picture, tmp_path: Path, name: str
) -> None:
    (tmp_path / "linked.db").symlink_to(tmp_path / "catalog.db")
    with pytest.raises(BackupRefused, match="itself"):
        back_up(url, tmp_path / name, unheard)
    assert catalog.add_item("known", picture()).created


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_dump_that_breaks_off_replaces_nothing(catalog: Catalog, url: str, picture: Picture, tmp_path: Path) -> None:
    added = {one.item.item_id for one in catalog.add_items("known", [picture() for _ in range(50)])}
    back_up(url, tmp_path / "copy", unheard)
    catalog.close()
    data = (tmp_path / "copy").read_bytes()
    (tmp_path / "copy").write_bytes(data[: len(data) * 9 // 10])
    with pytest.raises((BackupRefused, CatalogUnavailable)):
        restore(tmp_path / "copy", url, replace=True, report=unheard)
    again = Catalog.open(url)
    assert ids_in(again) == added
    again.close()
