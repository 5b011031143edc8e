"""Group commit: many writers, few commits, and everyone's own outcome."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from index.audit import Actor, acting
from index.catalog import Catalog
from index.catalog.storage.database import Database
from index.catalog.storage.groups import GroupCommit, _Piece
from index.errors import BadEmbedding, CatalogUnavailable, StorageFull, UnknownBank
from index.records.items import Added, NewItem

Picture = Callable[..., NewItem]


class Queue:
    """Writers of one catalog, held back until all of them wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group = database._group  # noqa: SLF001
        self._threads = ThreadPoolExecutor(16)

    @contextmanager
    def held(self) -> Iterator[list[Callable[[], object]]]:
        """What is put into the list is called by a thread each; all of it waits when the block ends."""
        calls: list[Callable[[], object]] = []
        self.outcomes: list[Future[object]] = []
        with self._database.writing():
            yield calls
            for waiting, call in enumerate(calls, start=1):
                self.outcomes.append(self._threads.submit(call))
                while len(self._group._waiting) < waiting:  # noqa: SLF001
                    pass

    def close(self) -> None:
        self._threads.shutdown()


@pytest.fixture
def queue(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr("index.catalog.storage.groups._GROUP_S", 60.0)  # however slow this machine is just now
    made = Queue(catalog.database)
    yield made
    made.close()


def write_note(catalog: Catalog, note: str) -> str:
    def work(connection: Connection) -> str:
        connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": note})
        return note

    return catalog.database.write(work)


def notes(catalog: Catalog) -> list[str]:
    with catalog.database.reading() as connection:
        return list(connection.execute(text("SELECT note FROM notes ORDER BY note")).scalars())


@pytest.fixture
def with_notes(catalog: Catalog) -> Iterator[Catalog]:
    """A table of the test's own."""
    catalog.database.write(lambda connection: connection.execute(text("CREATE TABLE notes (note VARCHAR(200000))")))
    yield catalog
    catalog.database.write(lambda connection: connection.execute(text("DROP TABLE notes")))


def test_what_waits_is_made_durable_by_one_commit(
    with_notes: Catalog, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = []
    group = with_notes.database._group  # noqa: SLF001
    opened = group._transaction  # noqa: SLF001

    @contextmanager
    def counted() -> Iterator[Connection]:
        transactions.append(1)
        with opened() as connection:
            yield connection

    monkeypatch.setattr(group, "_transaction", counted)
    with queue.held() as calls:
        calls += [lambda note=note: write_note(with_notes, note) for note in "abcdefgh"]  # type: ignore[misc]
    assert [outcome.result(30) for outcome in queue.outcomes] == list("abcdefgh")
    assert notes(with_notes) == list("abcdefgh")
    assert len(transactions) == 1


def test_work_that_fails_is_undone_alone(with_notes: Catalog, queue: Queue) -> None:
    def half(connection: Connection) -> None:
        connection.execute(text("INSERT INTO notes VALUES ('half of it')"))
        raise ZeroDivisionError

    with queue.held() as calls:
        calls += [
            lambda: write_note(with_notes, "a"),
            lambda: with_notes.database.write(half),
            lambda: with_notes.database.write(lambda connection: connection.execute(text("INSERT INTO nowhere"))),
            lambda: write_note(with_notes, "b"),
        ]
    errors = [outcome.exception(30) for outcome in queue.outcomes]
    assert [type(error) for error in errors] == [type(None), ZeroDivisionError, CatalogUnavailable, type(None)]
    assert notes(with_notes) == ["a", "b"]


def test_additions_that_wait_are_written_together_each_with_its_own_outcome(
    catalog: Catalog, queue: Queue, picture: Picture
) -> None:
    same = picture()
    with queue.held() as calls:
        calls += [
            lambda: catalog.add_item("known", same),
            lambda: catalog.add_item("news", picture()),
            lambda: catalog.add_item("known", same),
            lambda: catalog.add_item("known", picture()),
        ]
    added = [outcome.result(30) for outcome in queue.outcomes]
    assert all(isinstance(one, Added) for one in added)
    first, _, again, _ = added
    assert (first.created, again.created) == (True, False)  # type: ignore[attr-defined]
    assert first.item.item_id == again.item.item_id  # type: ignore[attr-defined]
    assert [catalog.bank(name).items for name in ("known", "news")] == [2, 1]
    for one in (first, added[1], added[3]):
        assert catalog.item(one.item.bank, one.item.item_id) == one.item  # type: ignore[attr-defined]
    with queue.held() as calls:
        calls += [
            lambda: catalog.add_item("nowhere", picture()),
            lambda: catalog.add_item("known", picture()),
        ]
    assert [type(outcome.exception(30)) for outcome in queue.outcomes] == [UnknownBank, type(None)]
    assert catalog.bank("known").items == 3


def test_additions_of_several_callers_are_noted_as_each_ones_own(
    catalog: Catalog, queue: Queue, picture: Picture
) -> None:
    def add(request: str) -> object:
        with acting(Actor(via="http", request=request)):
            return catalog.add_item("known", picture())

    with queue.held() as calls:
        calls += [lambda: add("first"), lambda: add("second")]
    assert all(outcome.exception(30) is None for outcome in queue.outcomes)
    noted = [row for row in catalog.audit.rows(0) if row.action == "items.added"]
    assert [row.request for row in noted] == ["first", "second"]
    assert catalog.audit.verify().broken is None


def test_work_runs_in_the_context_of_its_caller(with_notes: Catalog, queue: Queue) -> None:
    who: ContextVar[str] = ContextVar("who")

    def ask(name: str) -> str:
        who.set(name)
        return with_notes.database.write(lambda _: who.get())

    with queue.held() as calls:
        calls += [lambda: ask("a"), lambda: ask("b")]
    assert [outcome.result(30) for outcome in queue.outcomes] == ["a", "b"]


def test_work_cannot_write_through_anything_but_its_connection(with_notes: Catalog) -> None:
    with pytest.raises(RuntimeError, match="connection"):
        with_notes.database.write(lambda _: write_note(with_notes, "nested"))
    assert write_note(with_notes, "afterwards") == "afterwards"
    assert notes(with_notes) == ["afterwards"]


def test_when_the_commit_fails_nobody_is_told_otherwise(
    with_notes: Catalog, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = with_notes.database._group  # noqa: SLF001
    opened = group._transaction  # noqa: SLF001

    @contextmanager
    def breaking() -> Iterator[Connection]:
        with opened() as connection:
            yield connection
            raise StorageFull("There is no room left to write the catalog.")

    with queue.held() as calls:
        calls += [lambda: write_note(with_notes, "a"), lambda: write_note(with_notes, "b")]
        monkeypatch.setattr(group, "_transaction", breaking)
    told = [outcome.exception(30) for outcome in queue.outcomes]
    assert [type(error) for error in told] == [StorageFull, StorageFull]
    assert told[0] is not told[1]
    assert notes(with_notes) == []
    monkeypatch.setattr(group, "_transaction", opened)
    assert write_note(with_notes, "c") == "c"


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(with_notes: Catalog, queue: Queue) -> None:
    class Stop(BaseException):
        pass

    def interrupted(_: Connection) -> None:
        raise Stop

    with queue.held() as calls:
        calls += [
            lambda: write_note(with_notes, "a"),
            lambda: with_notes.database.write(interrupted),
            lambda: write_note(with_notes, "b"),
        ]
    # The first leads, so it is in its thread that the second's work is interrupted.
    told = [type(outcome.exception(30)) for outcome in queue.outcomes]
    assert told == [Stop, CatalogUnavailable, type(None)]
    assert notes(with_notes) == ["b"]


def test_a_leader_that_is_interrupted_before_its_turn_leaves_nobody_waiting(
    with_notes: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = with_notes.database._group  # noqa: SLF001

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(group, "_transaction", interrupted)  # while it waits for another process
        with pytest.raises(KeyboardInterrupt):
            write_note(with_notes, "interrupted")
    monkeypatch.setattr(group, "_timeout_s", 0.5)
    assert write_note(with_notes, "afterwards") == "afterwards"
    assert notes(with_notes) == ["afterwards"]


def test_who_is_interrupted_when_it_comes_to_lead_leaves_nobody_waiting(
    with_notes: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = with_notes.database._group  # noqa: SLF001

    def interrupted(piece: _Piece, _: float) -> None:
        piece.leads = True  # the one before has just handed on
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(group, "_led", True)
        patched.setattr(group, "_wait_for_turn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_note(with_notes, "interrupted")
        assert not group._led  # noqa: SLF001
    assert write_note(with_notes, "afterwards") == "afterwards"
    assert notes(with_notes) == ["afterwards"]


def test_who_has_less_patience_goes_without_and_leaves_nothing_behind(
    with_notes: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = with_notes.database._group  # noqa: SLF001

    def work(connection: Connection, values: Sequence[str]) -> list[str]:
        connection.execute(text("INSERT INTO notes VALUES ('too late')"))
        return list(values)

    with monkeypatch.context() as patched:
        patched.setattr(group, "_led", True)  # somebody has been writing since before
        with pytest.raises(CatalogUnavailable, match=r"0\.01 s"):
            with_notes.database.write_alike(work, "too late", patience_s=0.01)
    assert write_note(with_notes, "afterwards") == "afterwards"
    assert notes(with_notes) == ["afterwards"]


def test_work_that_passes_over_a_failure_is_not_taken_for_written(with_notes: Catalog, database: str) -> None:
    def careless(connection: Connection) -> str:
        connection.execute(text("INSERT INTO notes VALUES ('a')"))
        with suppress(SQLAlchemyError):
            if database == "sqlite":  # as a full disk does it
                connection.execute(text("INSERT OR ROLLBACK INTO log_head (one, seq) VALUES (1, 0)"))
            else:
                connection.execute(text("INSERT INTO nowhere VALUES (1)"))
        return "done"

    with pytest.raises(CatalogUnavailable, match="undone"):
        with_notes.database.write(careless)
    assert notes(with_notes) == []
    assert write_note(with_notes, "b") == "b"


def test_whoever_waits_too_long_is_told_and_nothing_of_it_is_written(with_notes: Catalog) -> None:
    group = GroupCommit(with_notes.database.writing, timeout_s=0.02)
    leading, go_on = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        leading.set()
        go_on.wait(30)

    leader = threading.Thread(target=group.write, args=(hold,))
    leader.start()
    assert leading.wait(30)
    with pytest.raises(CatalogUnavailable, match="busy"):
        group.write(lambda connection: connection.execute(text("INSERT INTO notes VALUES ('late')")))
    go_on.set()
    leader.join()
    assert notes(with_notes) == []


class TestOnSqlite:
    @pytest.fixture
    def database(self) -> str:
        """Where a full disk takes the whole transaction, not the statement alone."""
        return "sqlite"

    def test_others_are_written_though_one_took_the_transaction_with_it(
        self, with_notes: Catalog, queue: Queue
    ) -> None:
        def limit(connection: Connection) -> None:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            connection.execute(text(f"PRAGMA max_page_count = {pages + 8}"))

        with_notes.database.write(limit)
        with queue.held() as calls:
            calls += [
                lambda: write_note(with_notes, "a"),
                lambda: write_note(with_notes, "x" * 150_000),
                lambda: write_note(with_notes, "b"),
            ]
        told = [type(outcome.exception(30)) for outcome in queue.outcomes]
        assert told == [type(None), StorageFull, type(None)]
        assert notes(with_notes) == ["a", "b"]
        with_notes.database.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 1000000")))


def test_a_bad_embedding_among_many_is_named(catalog: Catalog, queue: Queue, picture: Picture, space: str) -> None:
    frame = picture().frames[0]
    twice = {space: frame.embeddings[space] * 2}  # type: ignore[index]
    bad = picture(frames=[type(frame)(0, None, None, twice)])  # type: ignore[arg-type]
    with queue.held() as calls:
        calls += [lambda: catalog.add_item("known", bad), lambda: catalog.add_item("known", picture())]
    assert [type(outcome.exception(30)) for outcome in queue.outcomes] == [BadEmbedding, type(None)]
    assert catalog.bank("known").items == 1


def test_a_writer_does_not_wait_for_ever_for_another_process(
    catalog: Catalog, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.catalog.storage.database._WRITE_TIMEOUT_S", 0.1)
    impatient = Database(url)  # as another process would have it: locks of its own
    with catalog.database.writing(), pytest.raises(CatalogUnavailable, match="busy"):
        impatient.write(lambda _: None)
    assert impatient.write(lambda _: "in turn") == "in turn"
    impatient.close()
