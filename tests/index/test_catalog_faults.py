"""What the catalog says when its database fails."""

import gc
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from index.catalog import Catalog
from index.catalog.storage.database import Database
from index.catalog.storage.information import hazard_of
from index.catalog.storage.writelock import WriteLock
from index.catalog.tables import REVISION
from index.errors import CatalogUnavailable, StorageFull
from index.records.items import NewItem


@pytest.fixture
def database() -> str:
    """What is SQLite's own; test_catalog_recovery.py has the faults of both."""
    return "sqlite"


@pytest.mark.parametrize(
    "url", ["nonsense", "", "sqlite://", "sqlite:///:memory:", "mysql://host/name", "oracle+none://x"]
)
def test_a_url_that_is_no_file_of_sqlite_is_refused_in_words(url: str) -> None:
    with pytest.raises(CatalogUnavailable, match="catalog"):
        Catalog.open(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"this is a letter to my aunt" * 100)
    with pytest.raises(CatalogUnavailable, match="SQLITE_NOTADB"):
        Catalog.open(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"this is a letter")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogUnavailable):
        Catalog.open(f"sqlite:///{tmp_path / 'file' / 'catalog.db'}")


def test_a_folder_is_made_when_it_is_missing(tmp_path: Path) -> None:
    Catalog.open(f"sqlite:///{tmp_path / 'a' / 'b' / 'catalog.db'}").close()
    assert (tmp_path / "a" / "b" / "catalog.db").exists()


def test_a_full_disk_is_told_apart_and_leaves_no_half_of_anything(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE notes (note TEXT)"))

    def fill() -> None:
        with database.writing() as connection:
            connection.execute(text("PRAGMA max_page_count = 4"))
            connection.execute(text("INSERT INTO notes VALUES ('first')"))
            connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": "x" * 100_000})

    with pytest.raises(StorageFull):
        fill()
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM notes")).scalar_one() == 0
    database.close()


def test_errors_hold_nothing_of_what_was_being_written(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    added = catalog.add_item("known", picture(labels={"secret": "the-label"}))
    with sqlite3.connect(catalog.info().facts.place) as other:
        other.execute("DROP TABLE frames")
    other.close()
    with pytest.raises(CatalogUnavailable) as caught:
        catalog.add_item("known", picture(labels={"secret": "the-label"}))
    assert "the-label" not in f"{caught.value} {caught.value.__cause__}"
    assert added.item.item_id not in str(caught.value)


def test_nothing_is_acknowledged_that_would_go_into_a_deleted_file(
    catalog: Catalog, picture: Callable[..., NewItem], tmp_path: Path
) -> None:
    catalog.add_item("known", picture())
    (tmp_path / "catalog.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(CatalogUnavailable, match="moved"):
        catalog.add_item("known", picture())
    with pytest.raises(CatalogUnavailable, match="moved"):
        catalog.check_writable()
    (tmp_path / "elsewhere.db").rename(tmp_path / "catalog.db")
    assert catalog.add_item("known", picture()).created


def test_a_closed_catalog_says_so_and_may_be_closed_again(catalog: Catalog) -> None:
    catalog.close()
    catalog.close()
    for ask in (catalog.version, catalog.check_writable, catalog.spaces):
        with pytest.raises(CatalogUnavailable, match="closed"):
            ask()


def test_a_writer_who_waited_while_the_catalog_was_closed_is_told_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    told: list[Exception] = []

    def write() -> None:
        with database.writing():
            pass

    def wait_and_write() -> None:
        try:
            write()
        except CatalogUnavailable as error:
            told.append(error)

    lock = database._store._lock  # type: ignore[attr-defined]  # noqa: SLF001
    with lock.held():
        writer = threading.Thread(target=wait_and_write)
        writer.start()
        database._closed = True  # noqa: SLF001 what `close` does before it waits for its turn
    writer.join()
    database._closed = False  # noqa: SLF001
    database.close()
    with pytest.raises(CatalogUnavailable, match="closed"), lock.held():
        pass
    assert [str(error) for error in told] == ["The catalog is closed."]


def test_a_writer_does_not_wait_for_ever_for_another(tmp_path: Path) -> None:
    first = WriteLock(tmp_path / "lock", timeout_s=1.0)
    second = WriteLock(tmp_path / "lock", timeout_s=0.02)
    with first.held(), pytest.raises(CatalogUnavailable, match="busy"), second.held():
        pass
    with second.held():
        pass
    first.close()
    second.close()


def test_threads_of_one_process_wait_for_each_other_too(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock", timeout_s=0.02)
    with lock.held(), pytest.raises(CatalogUnavailable, match="busy"), lock.held():
        pass
    lock.close()


def test_checking_that_it_can_be_written_is_no_change(catalog: Catalog) -> None:
    before = catalog.version()
    catalog.check_writable()
    assert catalog.version() == before


def test_the_catalog_reports_on_itself(catalog: Catalog, tmp_path: Path) -> None:
    info = catalog.info()
    assert info.facts.place == str(tmp_path / "catalog.db")
    assert info.facts.size_bytes > 0
    assert (info.facts.durability, info.schema_revision) == ("journal wal, synchronous full", REVISION)
    assert info.facts.database == f"SQLite {sqlite3.sqlite_version}"
    assert info.catalog_id == catalog.identity() != ""


@pytest.mark.parametrize(
    ("version", "hazardous"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((4, 0, 0), False),
    ],
)
def test_versions_of_sqlite_with_the_defect_are_named(version: tuple[int, int, int], *, hazardous: bool) -> None:
    hazard = hazard_of(version)
    assert (hazard is not None) == hazardous
    assert hazard is None or ".".join(map(str, version)) in hazard


def test_a_catalog_that_was_forgotten_keeps_nobody_waiting(catalog: Catalog, url: str) -> None:
    forgotten = Catalog.open(url)
    forgotten.version()

    def forget(_: object) -> float:
        nonlocal forgotten
        began = time.monotonic()
        del forgotten
        gc.collect()
        return time.monotonic() - began

    assert catalog.database.write(forget) < 5  # the lock's time-out is 15
    catalog.check_writable()


def test_closing_while_another_writes_does_not_fail(
    catalog: Catalog, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Catalog.open(url)
    other.version()
    store = other.database._store  # noqa: SLF001
    monkeypatch.setattr(store._lock, "_timeout_s", 0.02)  # type: ignore[attr-defined]  # noqa: SLF001
    with catalog.database.writing():
        other.close()
    catalog.check_writable()


@pytest.mark.parametrize("statement", ["UPDATE log_head SET seq = 0", "PRAGMA wal_checkpoint(TRUNCATE)"])
def test_readers_can_neither_write_nor_checkpoint(
    catalog: Catalog, picture: Callable[..., NewItem], tmp_path: Path, statement: str
) -> None:
    catalog.add_item("known", picture())
    files = [tmp_path / "catalog.db", tmp_path / "catalog.db-wal"]
    before = [file.read_bytes() for file in files]
    with pytest.raises(CatalogUnavailable):
        catalog.database.scalar(statement)
    with pytest.raises(CatalogUnavailable), catalog.database.reading() as connection:
        connection.execute(text(statement))
    assert [file.read_bytes() for file in files] == before
    assert catalog.bank("known").items == 1


def test_the_log_of_sqlite_is_shortened_though_readers_never_leave_it(
    catalog: Catalog, picture: Callable[..., NewItem], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("index.catalog.storage.sqlite._LONG_LOG_BYTES", 1)
    catalog.add_item("known", picture())
    assert (tmp_path / "catalog.db-wal").stat().st_size == 0
    monkeypatch.setattr("index.catalog.storage.sqlite._SHORTEN_EVERY_S", 0.0)
    with catalog.database.reading() as connection:  # one that needs the log
        connection.execute(text("SELECT * FROM log_head"))
        began = time.monotonic()
        catalog.add_item("known", picture())
        assert time.monotonic() - began < 5
    catalog.add_item("known", picture())
    assert (tmp_path / "catalog.db-wal").stat().st_size == 0
    assert catalog.bank("known").items == 3
