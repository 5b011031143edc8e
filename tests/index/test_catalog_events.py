"""The event log as the catalog keeps it."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from index.catalog import Catalog, events
from index.catalog.incident_tables import incident_participants, incidents
from index.records.events import EventKind, EventQuery, NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def tell(catalog: Catalog, *new: NewEvent, at: datetime = NOW) -> int:
    return catalog.database.write(lambda connection: events.append_all(connection, at, new))


def match(platform: str | None = None, incident_key: int | None = None, **data: Any) -> NewEvent:
    return NewEvent(EventKind.MATCH, incident_key, platform, data)


def open_incident(catalog: Catalog, key: int, *participants: str) -> None:
    def write(connection: Connection) -> None:
        given = {"name": "n", "type": "t", "state": "confirmed", "criteria": [], "protocol": {}, "settings": {}}
        times = {"created_at": NOW, "updated_at": NOW}
        row = {"incident_key": key, "incident_id": f"{key:028x}", "shadow": False, "revision": 1, **given, **times}
        connection.execute(insert(incidents).values(**row))
        for name in participants:
            values = {"incident_key": key, "participant": name, "joined_at": NOW}
            connection.execute(insert(incident_participants).values(**values))

    catalog.database.write(write)


def test_events_are_numbered_in_their_order_and_read_as_they_were_told(catalog: Catalog) -> None:
    hostile = "<script>\x1b[2J\u202e\n\ndata: x"
    number = catalog.database.write(
        lambda connection: events.append(
            connection, NOW, EventKind.FEEDBACK, incident_key=None, platform="vid.example", data={"note": hostile}
        )
    )
    assert (number, catalog.events.head()) == (1, 1)
    assert tell(catalog, match("a.example"), match()) == 3
    found = catalog.events.after(0, 10)
    assert [(event.seq, event.kind, event.platform) for event in found.events] == [
        (1, "feedback", "vid.example"),
        (2, "match", "a.example"),
        (3, "match", None),
    ]
    assert (found.events[0].at, found.events[0].data) == (NOW, {"note": hostile})
    assert found.through == 3


def test_an_event_of_a_change_that_fails_was_never_told(catalog: Catalog) -> None:
    def fail(connection: Connection) -> None:
        events.append_all(connection, NOW, [match(), match()])
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - ours
        catalog.database.write(fail)
    assert catalog.events.head() == 0
    assert tell(catalog, match()) == 1


def test_a_piece_says_how_far_it_goes_also_where_nothing_fits(catalog: Catalog) -> None:
    tell(catalog, *[match("a.example"), match("b.example")] * 3)
    only = EventQuery(platform="b.example")
    first = catalog.events.after(0, 2, only)
    assert ([event.seq for event in first.events], first.through) == ([2, 4], 4)
    rest = catalog.events.after(first.through, 2, only)
    assert ([event.seq for event in rest.events], rest.through) == ([6], 6)
    assert catalog.events.after(0, 2, EventQuery(kinds=frozenset({"quarantine"}))).through == 6
    assert catalog.events.after(99, 2).through == 99


def test_an_event_knows_its_incident_and_who_takes_part_in_it(catalog: Catalog) -> None:
    open_incident(catalog, 7, "a.example", "b.example")
    tell(catalog, match(incident_key=7), match(incident_key=8), match())
    of, gone, none = catalog.events.after(0, 10).events
    assert (of.incident_id, of.participants) == (f"{7:028x}", {"a.example", "b.example"})
    assert (gone.incident_key, gone.incident_id) == (8, None)
    assert (none.incident_key, none.incident_id) == (None, None)
    assert [event.seq for event in catalog.events.after(0, 10, EventQuery(incident_key=7)).events] == [1]
    found = catalog.events.incident(f"{7:028x}")
    assert found is not None
    assert found.key == 7
    assert catalog.events.incident("0" * 28) is None


def test_old_events_are_forgotten_and_numbers_never_used_again(catalog: Catalog) -> None:
    week = timedelta(days=7)
    aged = datetime.now(UTC) - timedelta(days=8)
    tell(catalog, match(), match(), at=aged)
    tell(catalog, match(), at=datetime.now(UTC))
    assert not catalog.events.forget(week)
    assert [event.seq for event in catalog.events.after(0, 10).events] == [3]
    assert catalog.events.span().oldest == 3
    assert not catalog.events.forget(timedelta(0))
    assert (catalog.events.span().oldest, catalog.events.span().head) == (4, 3)
    assert tell(catalog, match()) == 4


def test_there_are_never_more_events_than_are_kept_however_young(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_FORGOTTEN_AT_ONCE", 3)
    tell(catalog, *[match()] * 10, at=datetime.now(UTC))
    rounds = 1
    while catalog.events.forget(timedelta(days=7), most=2):
        rounds += 1
    assert [event.seq for event in catalog.events.after(0, 10).events] == [9, 10]
    assert 2 <= rounds <= 4  # a few at a time


def test_whoever_follows_by_number_steps_over_none(catalog: Catalog, url: str) -> None:
    """Several writers at once, in catalogs of their own, while one follows."""
    writers, each = 3, 15

    def write(number: int, mine: Catalog) -> None:
        for turn in range(each):
            tell(mine, *[match(f"{number}.example", turn=turn)] * (1 + turn % 3))

    others = [Catalog.open(url) for _ in range(writers)]
    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(others)]
    for thread in threads:
        thread.start()
    heard: list[int] = []
    through = 0
    while any(thread.is_alive() for thread in threads) or through < catalog.events.head():
        batch = catalog.events.after(through, 7)
        heard += [event.seq for event in batch.events]
        through = batch.through
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    told = writers * sum(1 + turn % 3 for turn in range(each))
    assert heard == list(range(1, told + 1))
