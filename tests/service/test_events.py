"""Event streams: who hears what, in which order, and for how long."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from index.catalog import events
from index.catalog.incident_tables import incident_participants, incidents
from index.errors import CatalogUnavailable
from index.records.events import EventKind, EventQuery, NewEvent
from index.records.keys import NewKey, Role, Scope
from service.app import create_app
from service.errors import BudgetSpent, NotReady, TooManyStreams
from service.events.fan_out import EventHub, EventStream
from service.events.listeners import Listener, StreamRules
from service.keys.keyring import make_key
from service.keys.viewer import Viewer
from service.runtime import Runtime

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
INCIDENT = f"{7:028x}"


def tell(service: Runtime, *new: NewEvent) -> int:
    return service.catalog.database.write(lambda connection: events.append_all(connection, NOW, new))


def match(platform: str | None = None, incident_key: int | None = None, **data: Any) -> NewEvent:
    return NewEvent(EventKind.MATCH, incident_key, platform, data)


def open_incident(service: Runtime, *participants: str) -> None:
    given = {"name": "n", "type": "t", "state": "confirmed", "criteria": [], "protocol": {}, "settings": {}}
    times = {"created_at": NOW, "updated_at": NOW}
    row = {"incident_key": 7, "incident_id": INCIDENT, "shadow": False, "revision": 1, **given, **times}
    members = [{"incident_key": 7, "participant": name, "joined_at": NOW} for name in participants]

    def write(connection: Any) -> None:
        connection.execute(insert(incidents).values(**row))
        connection.execute(insert(incident_participants), members)

    service.catalog.database.write(write)


def heard(text: bytes | str) -> list[dict[str, Any]]:
    """The events of a stream, as a client reads them."""
    found = []
    for block in (text.decode() if isinstance(text, bytes) else text).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in fields:
            found.append({"id": fields["id"], "event": fields["event"], **json.loads(fields["data"])})
    return found


def now(client: FlaskClient, query: str = "", **headers: str) -> list[dict[str, Any]]:
    """What is told of what has happened so far."""
    answer = client.get(f"/v1/events?follow=false&last_event_id=0{query}", headers=headers)
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    return heard(answer.data)


def key(service: Runtime, participant: str, role: Role, *scopes: Scope, **rest: Any) -> dict[str, str]:
    text, secret = make_key()
    service.catalog.keys.create(NewKey(participant, role, frozenset(scopes), **rest), secret)
    return {"Authorization": f"Bearer {text}"}


def everyone(**changes: Any) -> Listener:
    return Listener(**({"query": EventQuery(), "viewer": Viewer(), "admitted": lambda: True} | changes))


@pytest.fixture
def hub(service: Runtime) -> Iterator[EventHub]:
    rules = StreamRules(3, 2, heartbeat_s=0.01, look_again_s=0.01, remembered=4)
    hub = EventHub(service.catalog.events, service.catalog.identity, rules, service.metrics, service.log)
    yield hub
    hub.close()


@pytest.fixture
def watchful(service: Runtime) -> None:
    """Streams that look often whether they may go on."""
    service.events.rules = replace(service.events.rules, look_again_s=0.01)


def next_event(stream: EventStream) -> dict[str, Any]:
    """The next event, past greetings and heartbeats."""
    while True:
        found = heard(next(stream))
        if found:
            return found[0]


def test_a_stream_tells_what_happened_and_what_happens(service: Runtime, hub: EventHub) -> None:
    tell(service, match(score=0.5))
    with closing(hub.stream(everyone(), "0")) as stream:
        assert next_event(stream)["data"] == {"score": 0.5}
        tell(service, match("a.example", item_id="x"))
        event = next_event(stream)
    assert (event["event"], event["seq"], event["platform"]) == ("match", 2, "a.example")
    assert event["at"] == "2026-11-22T12:00:00Z"


def test_without_an_id_a_stream_begins_with_what_is_to_come(service: Runtime, hub: EventHub) -> None:
    tell(service, match())
    with closing(hub.stream(everyone(), None)) as stream:
        assert next(stream).startswith(b"retry: 2000\nid: 1-")
        tell(service, match())
        assert next_event(stream)["seq"] == 2


def test_a_stream_goes_on_after_the_last_event_that_was_heard(client: FlaskClient, service: Runtime) -> None:
    tell(service, *[match()] * 3)
    first = now(client)
    tell(service, *[match()] * 2)
    again = now(client, **{"Last-Event-ID": first[-1]["id"]})
    assert [event["seq"] for event in again] == [4, 5]


def test_whoever_comes_too_late_is_told_that_something_is_missing(client: FlaskClient, service: Runtime) -> None:
    tell(service, *[match()] * 3)
    heard_last = [event["id"] for event in now(client)]
    service.catalog.events.forget(timedelta(days=36500), most=1)
    assert [event["seq"] for event in now(client, **{"Last-Event-ID": heard_last[1]})] == [3]
    first, *rest = now(client, **{"Last-Event-ID": heard_last[0]})
    assert (first["event"], first["reason"]) == ("gap", "no_longer_kept")
    assert [event["seq"] for event in rest] == [3]


def test_an_id_of_another_log_is_told_apart_from_ours(client: FlaskClient, service: Runtime) -> None:
    tell(service, *[match()] * 2)
    for other in ("1-00000000", "3"):
        first, *rest = now(client, **{"Last-Event-ID": other})
        assert (first["event"], first["reason"]) == ("gap", "another_log")
        assert [event["seq"] for event in rest] == [1, 2]


@pytest.mark.parametrize("nonsense", ["x", "-1", "1-xyz", "1" * 30, "1-" + "0" * 9])
def test_an_id_that_is_none_is_refused(client: FlaskClient, nonsense: str) -> None:
    answer = client.get("/v1/events", headers={"Last-Event-ID": nonsense})
    assert (answer.status_code, answer.json["errors"][0]["where"]) == (422, "header")


def test_a_stream_can_be_of_one_incident_platform_or_kind(client: FlaskClient, service: Runtime) -> None:
    open_incident(service, "a.example")
    tell(service, match("a.example"), match("b.example", 7), NewEvent(EventKind.QUARANTINE, None, None, {}))
    assert [event["seq"] for event in now(client, f"&incident={INCIDENT}")] == [2]
    assert now(client, f"&incident={INCIDENT}")[0]["incident_id"] == INCIDENT
    assert [event["seq"] for event in now(client, "&platform=a.example")] == [1]
    assert [event["seq"] for event in now(client, "&kind=quarantine&kind=feedback")] == [3]
    assert client.get("/v1/events?incident=none").status_code == 404
    assert client.get("/v1/events?kind=gossip").status_code == 422


def test_nothing_in_an_event_can_end_its_line_or_begin_another(client: FlaskClient, service: Runtime) -> None:
    hostile = "</script>\x1b[2J\r\n\r\nid: 9\u2028\u202edata: {}\x00"
    tell(service, match(note=hostile))
    (event,) = now(client)
    assert event["data"]["note"] == hostile
    assert event["id"].startswith("1-")


def test_a_platform_hears_what_is_its_own_and_what_concerns_all_of_its_incidents(
    client: FlaskClient, service: Runtime
) -> None:
    open_incident(service, "a.example", "b.example")
    a, b, c = (key(service, f"{name}.example", Role.PLATFORM, Scope.READ) for name in "abc")
    center = key(service, "center", Role.CENTER, Scope.READ)
    tell(service, match("a.example", 7), match(None, 7), match(None, None), match("c.example"))
    seqs = [[event["seq"] for event in now(client, **who)] for who in (a, b, c, center)]
    assert seqs == [[1, 2, 3], [2, 3], [3, 4], [1, 2, 3, 4]]
    assert client.get(f"/v1/events?incident={INCIDENT}&follow=false", headers=c).status_code == 404


def test_whoever_records_hears_of_its_uploads_without_their_scores(client: FlaskClient, service: Runtime) -> None:
    records = key(service, "a.example", Role.PLATFORM, Scope.RECORD, Scope.MATCH)
    reads = key(service, "a.example", Role.PLATFORM, Scope.READ)
    matches = key(service, "a.example", Role.PLATFORM, Scope.MATCH)
    tell(service, match("a.example", score=0.81, distance=40, item_id="x"))
    assert now(client, **records)[0]["data"] == {"item_id": "x"}
    assert now(client, **reads)[0]["data"] == {"item_id": "x", "score": 0.81, "distance": 40}
    assert client.get("/v1/events", headers=matches).status_code == 403


@pytest.mark.usefixtures("watchful")
def test_a_stream_ends_when_its_key_does(client: FlaskClient, service: Runtime) -> None:
    shown = key(service, "center", Role.CENTER, Scope.READ)
    (key_id,) = service.catalog.keys.ring().keys
    stream = client.get("/v1/events", headers=shown, buffered=False).response
    next(iter(stream))
    service.catalog.keys.revoke(key_id)
    assert heard(b"".join(stream)) == []  # it ends by itself


def test_a_stream_that_catches_up_ends_with_its_key_too(service: Runtime, hub: EventHub, monkeypatch: Any) -> None:
    monkeypatch.setattr("service.events.fan_out._READ_AT_ONCE", 1)
    hub.rules = replace(hub.rules, look_again_s=0.0)
    tell(service, *(match() for _ in range(20)))
    with closing(hub.stream(everyone(admitted=lambda: False), "0")) as stream:
        assert len(heard(b"".join(stream))) == 1


def test_whoever_asks_for_the_oldest_event_misses_none(client: FlaskClient, service: Runtime) -> None:
    tell(service, match(), match())
    service.catalog.events.forget(timedelta(0), most=1)
    tell(service, match())
    assert [event["event"] for event in now(client)] == ["match"]


@pytest.mark.usefixtures("watchful")
def test_a_stream_without_a_key_ends_when_keys_are_needed(client: FlaskClient, service: Runtime) -> None:
    stream = client.get("/v1/events", buffered=False).response
    next(iter(stream))
    key(service, "center", Role.CENTER, Scope.READ)
    assert heard(b"".join(stream)) == []


def test_there_are_only_so_many_streams_and_an_ended_one_makes_room(service: Runtime, hub: EventHub) -> None:
    streams = [hub.stream(everyone(), None) for _ in range(3)]
    with pytest.raises(TooManyStreams):
        hub.stream(everyone(), None)
    streams[0].close()
    streams[0].close()
    hub.stream(everyone(), None).close()
    for stream in streams:
        stream.close()
    assert service.metrics.event_streams.collect()[0].samples[0].value == 0


def test_one_key_cannot_take_every_stream(hub: EventHub) -> None:
    mine = [hub.stream(everyone(holder="mine"), None) for _ in range(2)]
    with pytest.raises(BudgetSpent):
        hub.stream(everyone(holder="mine"), None)
    hub.stream(everyone(holder="other"), None).close()
    for stream in mine:
        stream.close()


def test_too_many_streams_are_told_when_to_come_again(client: FlaskClient, service: Runtime) -> None:
    open_ones = [client.get("/v1/events", buffered=False) for _ in range(service.settings.event_streams)]
    refused = client.get("/v1/events")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json["type"] == "/problems/too-many-streams"
    assert client.head("/v1/events").status_code == 200  # which opens none
    for answer in open_ones:
        answer.close()
    assert now(client) == []


def test_a_stream_that_falls_behind_the_memory_misses_nothing(service: Runtime, hub: EventHub) -> None:
    with closing(hub.stream(everyone(), None)) as slow, closing(hub.stream(everyone(), None)) as fast:
        next(slow)
        for seq in range(1, 13):  # the hub remembers four
            tell(service, match())
            assert next_event(fast)["seq"] == seq
        seen: list[int] = []
        while len(seen) < 12:
            seen += [event["seq"] for event in heard(next(slow))]
    assert seen == list(range(1, 13))


def test_a_heartbeat_moves_the_place_to_resume_from_past_what_was_not_wanted(service: Runtime, hub: EventHub) -> None:
    with closing(hub.stream(everyone(query=EventQuery(platform="a.example")), None)) as stream:
        next(stream)
        tell(service, match("b.example"))
        while (beat := next(stream)) != f": \nid: {hub.mark(1)}\n\n".encode():
            assert heard(beat) == []


def test_when_a_worker_ends_its_streams_end_and_no_other_begins(hub: EventHub) -> None:
    stream = hub.stream(everyone(), None)
    next(stream)
    reading = threading.Thread(target=lambda: list(stream))
    reading.start()
    hub.end()
    reading.join(10)
    assert not reading.is_alive()
    with pytest.raises(NotReady):
        hub.stream(everyone(), None)


def test_a_catalog_that_is_away_for_a_moment_ends_no_stream(
    service: Runtime, hub: EventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True
    head = service.catalog.events.head

    def sometimes() -> int:
        if away:
            raise CatalogUnavailable("away")
        return head()

    with closing(hub.stream(everyone(admitted=lambda: service.catalog.events.head() >= 0), None)) as stream:
        next(stream)
        monkeypatch.setattr(service.catalog.events, "head", sometimes)
        assert heard(next(stream)) == []
        away = False
        tell(service, match())
        assert next_event(stream)["seq"] == 1


def test_a_listener_that_hung_up_gives_its_place_back(hub: EventHub) -> None:
    class HungUp:
        def sending(self) -> Any:
            return closing(self)

        def close(self) -> None:
            pass

        def gone(self) -> bool:
            return True

    stream = hub.stream(everyone(connection=HungUp()), None)
    assert [heard(piece) for piece in stream][-1] == []
    hub.stream(everyone(), None).close()


def test_another_worker_hears_of_what_this_one_tells(service: Runtime, open_service: Callable[..., Runtime]) -> None:
    other = open_service()
    answer = create_app(other).test_client().get("/v1/events", buffered=False)
    stream = iter(answer.response)
    next(stream)
    tell(service, match())
    piece = b""
    while not heard(piece):
        piece = next(stream)
    assert heard(piece)[0]["seq"] == 1
    answer.close()
    other.events.close()
