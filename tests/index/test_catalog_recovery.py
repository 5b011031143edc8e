"""A database server that is restarted, or gone for a while, while the catalog is in use."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from index.catalog import Catalog
from index.catalog.banks import adding
from index.errors import CatalogUnavailable
from index.records.banks import Purpose
from index.records.items import Added, NewItem
from index.records.spaces import SpaceId
from index.views.views import Views

Picture = Callable[..., NewItem]
DIM = 16


@pytest.fixture
def database() -> str:
    """What is PostgreSQL's own; test_catalog_faults.py has a file that goes away."""
    return "postgresql"


def test_a_server_that_went_away_is_said_to_be_and_is_used_again_when_it_is_back(
    postgres_to_stop: Any, catalog: Catalog, picture: Picture, space: SpaceId
) -> None:
    views = Views(catalog, {space: DIM})
    before = catalog.add_item("known", picture()).item
    views.follow()
    postgres_to_stop.stop()
    asks: list[Callable[[], object]] = [
        catalog.version,
        views.follow,
        catalog.check_writable,
        lambda: catalog.bank("known"),
        lambda: catalog.add_item("known", picture()),
    ]
    for ask in asks * 2:
        with pytest.raises(CatalogUnavailable):
            ask()
    postgres_to_stop.start()
    assert catalog.item("known", before.item_id) == before
    added = catalog.add_item("known", picture())
    assert views.follow() == added.index_version == catalog.version()
    asked = next(iter(picture().frames[0].embeddings.values()))
    assert set(views.scores_of(space, asked, [before.item_id, added.item.item_id])) == {
        before.item_id,
        added.item.item_id,
    }
    views.close()


def test_a_restart_that_nobody_asked_anything_in_is_not_noticed(
    postgres_to_stop: Any, catalog: Catalog, picture: Picture
) -> None:
    catalog.add_item("known", picture())
    version = catalog.version()
    postgres_to_stop.stop()
    postgres_to_stop.start()
    assert catalog.version() == version
    assert catalog.bank("known").items == 1
    assert catalog.add_item("known", picture()).created


def test_a_server_restarted_under_load_loses_nothing_that_was_acknowledged(
    postgres_to_stop: Any, catalog: Catalog, picture: Picture
) -> None:
    added: list[Added] = []
    refused: list[CatalogUnavailable] = []
    recovered = [threading.Event() for _ in range(4)]
    began, stopped, started = threading.Event(), threading.Event(), threading.Event()
    pictures = [[picture() for _ in range(2000)] for _ in recovered]

    def write(number: int) -> None:
        for new in pictures[number]:
            back = started.is_set()
            try:
                added.append(catalog.add_item("known", new))
            except CatalogUnavailable as error:
                refused.append(error)
                if stopped.is_set():
                    started.wait(60)
            else:
                began.set()
                if back:
                    recovered[number].set()
                    return

    writers = [threading.Thread(target=write, args=(number,)) for number in range(len(recovered))]
    for writer in writers:
        writer.start()
    assert began.wait(60)
    postgres_to_stop.stop()
    stopped.set()
    postgres_to_stop.start()
    started.set()
    for writer in writers:
        writer.join()
    assert all(event.is_set() for event in recovered)
    assert refused
    ids = [one.item.item_id for one in added]
    assert set(catalog.items_by_id(ids)) == set(ids)
    assert catalog.version() >= max(one.index_version for one in added)
    assert catalog.audit.verify().broken is None


def test_a_writer_that_stands_still_is_cut_off_so_that_others_may_write(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.catalog.storage.postgres._STANDSTILL", "100ms")
    with pytest.raises(CatalogUnavailable):
        stand_still(catalog)
    catalog.check_writable()


def test_who_waited_to_write_sees_what_came_before_whatever_the_server_is_set_to(
    postgres: Any, url: str, picture: Picture, space: SpaceId
) -> None:
    level = "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'"
    postgres.execute(level.format(make_url(url).database))
    first, second = Catalog.open(url), Catalog.open(url)  # as two processes have it
    first.put_bank("known", Purpose.HARMFUL)
    first.register_space(space, DIM)
    new = picture()
    threads = ThreadPoolExecutor(1)
    with first.database.writing() as connection:
        outcome = threads.submit(second.add_item, "known", new)
        while not first.database.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            pass
        (before,) = adding.add(connection, "known", [new], datetime(2026, 11, 22, tzinfo=UTC))
    assert outcome.result(30) == Added(before.item, before.index_version, created=False)
    threads.shutdown()
    first.close()
    second.close()


def test_nobody_queues_for_long_behind_a_question_that_gets_no_answer(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.catalog.storage.postgres._BEHIND_S", 0.02)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(catalog.database.scalar, "SELECT pg_sleep(60)")
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        while not one_of(catalog, running):
            pass
        with pytest.raises(CatalogUnavailable, match="not answer"):
            catalog.version()
        one_of(catalog, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
        with pytest.raises(CatalogUnavailable):
            asked.result(30)
    assert catalog.version()


def one_of(catalog: Catalog, statement: str) -> object:
    """Over a connection of its own."""
    with catalog.database.reading() as connection:
        return connection.execute(text(statement)).scalar()


def stand_still(catalog: Catalog) -> None:
    """In the middle of a write, until the server has enough of it."""
    with catalog.database.writing() as connection:
        writers = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert catalog.database.scalar(writers) == 1
        while catalog.database.scalar(writers):
            pass
        connection.execute(text("SELECT 1"))
