"""Duties over recorded uploads: linking those that look alike, and finding what was banked too late."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from index.catalog import Catalog
from index.errors import CatalogUnavailable
from index.records.changes import Version
from index.records.sightings import NewSighting
from index.records.spaces import SpaceStage
from service.app import create_app
from service.duties.every_duty import duty_keeper
from service.runtime import Runtime
from service.sightings import comparing, retention, retro_scan
from service.sightings.memory import SightingMemory
from service.sightings.retention import Forget

Jpeg = Callable[[int], bytes]
Picture = Callable[..., Image.Image]
Encoded = Callable[..., bytes]


def recorded(client: FlaskClient, data: bytes, **query: Any) -> str:
    query = {"record": "true", "platform": "alpha"} | query
    answer = client.post("/v1/match", query_string=query, data=data, content_type="image/jpeg").json
    return str(answer["sighting_id"])


def detail(client: FlaskClient, sighting_id: str) -> Any:
    return client.get(f"/v1/sightings/{sighting_id}").json


def banked(client: FlaskClient, bank: str, data: bytes) -> str:
    return str(client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg").json["item_id"])


def events(service: Runtime, kind: str) -> list[Any]:
    return [event for event in service.catalog.events.after(0, 1000).events if event.kind == kind]


def test_uploads_that_look_alike_are_linked_to_the_earlier_ones(
    client: FlaskClient, service: Runtime, picture: Picture, encoded: Encoded
) -> None:
    first = recorded(client, encoded(picture(1), quality=92))
    other = recorded(client, encoded(picture(2), quality=92))
    copy = recorded(client, encoded(picture(1).crop((4, 4, 156, 116)), quality=40), platform="beta")
    service.duties.work_through()
    (edge,) = detail(client, copy)["edges"]
    assert (edge["sighting_id"], edge["platform"], edge["earlier"]) == (first, "alpha", True)
    assert edge["score"] > 0.8
    assert edge["distance"] is not None
    assert [edge["sighting_id"] for edge in detail(client, first)["edges"]] == [copy]
    assert detail(client, other)["edges"] == []


def test_a_flood_of_the_same_gives_none_more_edges_than_its_share(
    client: FlaskClient, service: Runtime, jpeg: Jpeg
) -> None:
    """Whoever floods has its own uploads linked, and bounds what the others' links cost."""
    for _ in range(40):
        recorded(client, jpeg(1))
    service.duties.work_through()
    last = recorded(client, jpeg(1), platform="beta")
    service.duties.work_through()
    edges = service.catalog.sightings.edges_between(0, 100)
    assert np.unique(edges.keys, return_counts=True)[1].max() == 16
    assert len(detail(client, last)["edges"]) == 16


def test_what_is_banked_too_late_is_found_among_what_was_recorded(
    client: FlaskClient, service: Runtime, picture: Picture, encoded: Encoded, make_bank: Callable[..., str]
) -> None:
    make_bank()
    copy = recorded(client, encoded(picture(1).resize((90, 70)), quality=50), upload_id="a-7")
    recorded(client, encoded(picture(2)))
    service.duties.work_through()
    item_id = banked(client, "first", encoded(picture(1), quality=92))
    service.duties.work_through()
    (match,) = detail(client, copy)["matches"]
    assert (match["item_id"], match["means"]) == (item_id, "retro_scan")
    assert match["band"] in {"exact", "variant"}
    (told,) = events(service, "retro_match")
    assert told.platform == "alpha"
    assert (told.data["sighting_id"], told.data["item_id"], told.data["upload_id"]) == (copy, item_id, "a-7")
    client.patch(f"/v1/banks/first/items/{item_id}", json={"state": "disabled"})
    client.patch(f"/v1/banks/first/items/{item_id}", json={"state": "active"})
    service.duties.work_through()
    assert len(events(service, "retro_match")) == 1, "nothing is told twice"


def test_an_upload_answered_just_before_and_linked_after_something_was_banked_is_not_missed(
    client: FlaskClient, service: Runtime, picture: Picture, encoded: Encoded, make_bank: Callable[..., str]
) -> None:
    """The item is looked back for before the sighting is held, and the sighting was answered before the item came."""
    make_bank()
    recorded(client, encoded(picture(3)))
    service.duties.work_through()
    copy = recorded(client, encoded(picture(1), quality=50))
    item_id = banked(client, "first", encoded(picture(1), quality=92))
    service.duties.work_through()
    assert [match["item_id"] for match in detail(client, copy)["matches"]] == [item_id]


def test_what_is_of_public_interest_is_not_looked_for(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, make_bank: Callable[..., str]
) -> None:
    make_bank("news", purpose="public_interest")
    sighting = recorded(client, jpeg(1))
    service.duties.work_through()
    banked(client, "news", jpeg(1))
    service.duties.work_through()
    assert detail(client, sighting)["matches"] == []


def test_an_incident_does_not_wait_behind_a_million_items_that_are_banked(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, make_bank: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retro_scan, "_CHANGES", 2)
    monkeypatch.setattr(retro_scan, "_ITEMS", 1)
    make_bank("plenty")
    make_bank("footage")
    first, second = recorded(client, jpeg(1)), recorded(client, jpeg(2))
    service.duties.work_through()
    for number in range(8):
        banked(client, "plenty", jpeg(10 + number))
    early = banked(client, "footage", jpeg(1))
    asked = {"name": "an event", "type": "other", "banks": ["footage"], "participant": "one"}
    made = client.post("/v1/incidents", json=asked).json["incident_id"]
    for state, participant in (("assessing", "one"), ("confirmed", "one"), ("confirmed", "two")):
        advance = {"to": state, "reason": "seen", "participant": participant}
        client.post(f"/v1/incidents/{made}/transitions", json=advance, headers={"If-Match": "*"})
    service.duties.round()
    assert [match["item_id"] for match in detail(client, first)["matches"]] == [early]
    late = banked(client, "footage", jpeg(2))
    service.duties.round()
    assert [match["item_id"] for match in detail(client, second)["matches"]] == [late]
    assert service.catalog.duties.cursor("look_back") < service.catalog.version() - 4
    service.duties.work_through()
    assert service.catalog.duties.cursor("look_back") == service.catalog.version()
    assert len(events(service, "retro_match")) == 2


def test_what_is_in_shadow_is_told_to_nobody_until_it_leaves_it(
    client: FlaskClient, service: Runtime, picture: Picture, encoded: Encoded, make_bank: Callable[..., str]
) -> None:
    make_bank("tried", shadow=True)
    make_bank("footage")
    asked = {"name": "a rehearsal", "type": "other", "banks": ["footage"], "shadow": True}
    made = client.post("/v1/incidents", json=asked | {"participant": "one"}).json["incident_id"]
    for state, participant in (("assessing", "one"), ("confirmed", "one"), ("confirmed", "two")):
        advance = {"to": state, "reason": "seen", "participant": participant}
        client.post(f"/v1/incidents/{made}/transitions", json=advance, headers={"If-Match": "*"})
    assert client.get(f"/v1/incidents/{made}").json["state"] == "confirmed"
    sighting = recorded(client, encoded(picture(1)))
    service.duties.work_through()
    banked(client, "tried", encoded(picture(1)))
    item_id = banked(client, "footage", encoded(picture(1)))
    service.duties.work_through()
    assert events(service, "retro_match") == []
    seen = detail(client, sighting)
    assert (seen["matches"], seen["incident"]) == ([], None)
    client.patch(f"/v1/incidents/{made}", json={"shadow": False}, headers={"If-Match": "*"})
    service.duties.work_through()
    assert [event.data["item_id"] for event in events(service, "retro_match")] == [item_id]
    assert detail(client, sighting)["incident"] == made
    banked(client, "footage", encoded(picture(1), quality=60))
    service.duties.work_through()
    assert len(detail(client, sighting)["matches"]) == 2
    report = client.get(f"/v1/incidents/{made}/report").json
    assert report["uploads"]["total"] == 1, "an upload counts once for an incident, however many items it matches"


def test_a_bank_with_a_threshold_of_its_own_is_looked_for_by_that(
    client: FlaskClient, service: Runtime, picture: Picture, encoded: Encoded, make_bank: Callable[..., str]
) -> None:
    make_bank("strict", variant_score=1.0, related_score=0.99)
    sighting = recorded(client, encoded(picture(1).crop((20, 20, 150, 110)), quality=50))
    service.duties.work_through()
    banked(client, "strict", encoded(picture(1), quality=92))
    service.duties.work_through()
    assert detail(client, sighting)["matches"] == []


def test_a_flood_of_sightings_is_found_in_bounded_steps_and_told_once_each(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, make_bank: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retro_scan, "_WRITTEN", 3)
    monkeypatch.setattr(comparing, "_AT_ONCE", 2)
    make_bank()
    sightings = {recorded(client, jpeg(1)) for _ in range(8)}
    service.duties.work_through()
    banked(client, "first", jpeg(1))
    service.duties.round()
    assert len(events(service, "retro_match")) == 3
    service.duties.work_through()
    assert {event.data["sighting_id"] for event in events(service, "retro_match")} == sightings


def test_a_step_back_that_fails_loses_nothing(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, make_bank: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retro_scan, "_WRITTEN", 3)
    make_bank()
    sightings = {recorded(client, jpeg(1)) for _ in range(8)}
    keeper = duty_keeper(service, itertools.count(step=4.0).__next__)
    keeper.work_through()
    banked(client, "first", jpeg(1))
    keeper.round()

    def unavailable(*_: object) -> None:
        raise CatalogUnavailable("The catalog is away.")

    with monkeypatch.context() as away:
        away.setattr(service.catalog.sightings, "note_found", unavailable)
        keeper.round()
    assert len(events(service, "retro_match")) == 3
    keeper.round()
    keeper.work_through()
    keeper.close()
    assert {event.data["sighting_id"] for event in events(service, "retro_match")} == sightings


def test_a_link_that_was_written_although_it_seemed_to_fail_is_not_written_again(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after the commit and before the answer."""
    keeper = duty_keeper(service, itertools.count(step=4.0).__next__)
    first, second = recorded(client, jpeg(1)), recorded(client, jpeg(1))
    link = service.catalog.sightings.link

    def lost(*given: Any) -> None:
        link(*given)
        raise CatalogUnavailable("The connection was lost.")

    with monkeypatch.context() as breaking:
        breaking.setattr(service.catalog.sightings, "link", lost)
        keeper.round()
    third = recorded(client, jpeg(1))
    keeper.round()
    keeper.work_through()
    keeper.close()
    assert {edge["sighting_id"] for edge in detail(client, third)["edges"]} == {first, second}


def test_another_process_goes_on_where_one_was(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, make_bank: Callable[..., str]
) -> None:
    """What the first held in memory is read again: the copy is linked, and found, by the second."""
    make_bank()
    first = recorded(client, jpeg(1))
    service.duties.work_through()
    service.duties.close()
    copy = recorded(client, jpeg(1))
    item_id = banked(client, "first", jpeg(1))
    other = duty_keeper(service)
    other.work_through()
    assert [edge["sighting_id"] for edge in detail(client, copy)["edges"]] == [first]
    assert [match["item_id"] for match in detail(client, first)["matches"]] == [item_id]
    assert not service.duties.round(), "it is the other's turn"
    other.close()


def test_what_was_kept_long_enough_is_forgotten_with_all_that_hangs_on_it(
    client: FlaskClient, service: Runtime, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [recorded(client, jpeg(1)) for _ in range(5)]
    service.duties.work_through()
    monkeypatch.setattr(retention, "_AT_ONCE", 2)
    now = datetime.now(UTC)
    later = Catalog.open(service.settings.catalog_url, lambda: now + timedelta(days=6, hours=23))
    memory = SightingMemory(later, service.settings.data_dir / "other", service.log)
    service.duties.close()
    turn = later.duties.take_turn("another", 15)
    assert turn is not None
    forget = Forget(later, memory, timedelta(days=7), clock=itertools.count(step=10.0).__next__)
    assert not forget.step(turn)
    assert len(client.get("/v1/sightings").json["items"]) == 5
    fresh = NewSighting(
        platform="alpha", upload_id=None, observed_at=None, publisher=None, context=None, kind="image", band="none",
        action="none", reasons=(), index_version=Version(0), frames=(),
    )  # fmt: skip
    kept = later.sightings.record(fresh, timedelta(days=7))
    now += timedelta(days=1)
    steps = 0
    while forget.step(turn):
        steps += 1
    assert steps == 2, "two at a time"
    assert [one["sighting_id"] for one in client.get("/v1/sightings").json["items"]] == [kept]
    assert len(memory.view.hashes) == 0
    assert client.get(f"/v1/sightings/{old[0]}").status_code == 404
    assert later.sightings.edges_between(0, 10**9).keys.size == 0
    memory.let_go()
    later.close()


def test_what_is_recorded_looks_like_nothing_in_a_space_that_was_dropped(
    open_service: Callable[..., Runtime], toy: Callable[..., Any], jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = open_service(toy(), toy("other-0123456789ab"))
    client = create_app(service).test_client()
    sighting = recorded(client, jpeg(1))
    service.duties.work_through()
    assert detail(client, sighting)["spaces"] == ["other-0123456789ab", "toy-0123456789ab"]
    records = [
        replace(one, stage=SpaceStage.DROPPED) if one.space == "other-0123456789ab" else one
        for one in service.catalog.moves.records()
    ]
    monkeypatch.setattr(service.catalog.moves, "records", lambda: records)
    keeper = duty_keeper(service, itertools.count(step=10.0).__next__)
    service.duties.close()
    keeper.work_through()
    assert detail(client, sighting)["spaces"] == ["toy-0123456789ab"]
    keeper.close()
