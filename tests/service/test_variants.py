"""Variants of an incident, and clusters that nobody has banked yet."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from index.catalog.duties import Step
from index.catalog.events import append_all
from index.records.events import EventKind, NewEvent
from index.records.keys import NewKey, Role, Scope
from service.keys.keyring import make_key
from service.runtime import Runtime
from service.variants.clustering import TidyUp

SPACE = "toy-0123456789ab"
DIM = 48
Row = NDArray[np.float64]


def direction(seed: int) -> Row:
    row = np.random.default_rng(seed).standard_normal(DIM)
    return np.asarray(row / np.linalg.norm(row))


def near(row: Row, score: float, seed: int) -> Row:
    """Another row whose cosine with this one is the score."""
    away = direction(seed)
    away -= (away @ row) * row
    away /= np.linalg.norm(away)
    return np.asarray(score * row + np.sqrt(1 - score**2) * away)


def ask(client: FlaskClient, row: Row, platform: str = "alpha", headers: Any = None, **query: Any) -> Any:
    answer = client.post(
        "/v1/match/embeddings",
        query_string={"record": "true", "platform": platform} | query,
        json={"embedder_id": SPACE, "embeddings": [row.tolist()]},
        headers=headers,
    )
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def record(client: FlaskClient, row: Row, platform: str = "alpha", **query: Any) -> str:
    return str(ask(client, row, platform, **query)["sighting_id"])


def events(service: Runtime, kind: str) -> list[Any]:
    return [event for event in service.catalog.events.after(0, 1000).events if event.kind == kind]


def clusters(client: FlaskClient, query: str = "", headers: Any = None) -> list[Any]:
    answer = client.get(f"/v1/clusters{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["items"])


def variants(client: FlaskClient, incident: str, query: str = "", headers: Any = None) -> list[Any]:
    answer = client.get(f"/v1/incidents/{incident}/variants{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["items"])


def bank(client: FlaskClient, incident: str, sighting_id: str, status: int = 201, **options: Any) -> Any:
    answer = client.post(f"/v1/incidents/{incident}/variants/{sighting_id}/bank", **options)
    assert answer.status_code == status, answer.text
    return answer.get_json()


ORIGINAL = direction(1)


@pytest.fixture
def incident(client: FlaskClient, make_bank: Callable[..., str]) -> str:
    """Confirmed, with a bank `footage` that holds one item."""
    make_bank("footage")
    body = {"embedder_id": SPACE, "embeddings": [ORIGINAL.tolist()]}
    assert client.post("/v1/banks/footage/items", json=body).status_code == 201
    made = client.post("/v1/incidents", json={"name": "attack", "type": "exercise", "banks": ["footage"]}).get_json()
    for to, participant in (("assessing", None), ("confirmed", "north"), ("confirmed", "south")):
        step = {"to": to, "reason": "why", "participant": participant}
        client.post(f"/v1/incidents/{made['incident_id']}/transitions", json=step)
    return str(made["incident_id"])


def test_uploads_alike_that_match_nothing_are_a_cluster_and_told_of_when_they_emerge(
    client: FlaskClient, service: Runtime
) -> None:
    fresh = direction(50)
    ids = [
        record(client, near(fresh, 0.95, 60 + turn), ("alpha", "beta")[turn % 2], observed_at="2020-01-01T10:20:00Z")
        for turn in range(4)
    ]
    record(client, direction(51))
    service.duties.work_through()
    assert events(service, "emerging_cluster") == []
    ids.append(record(client, near(fresh, 0.95, 70), "beta"))
    service.duties.work_through()
    (told,) = events(service, "emerging_cluster")
    assert (told.data["cluster_id"], told.data["sightings"], told.data["platforms"]) == (ids[0], 5, 2)
    (cluster,) = clusters(client)
    assert (cluster["cluster_id"], cluster["sightings"], cluster["matched"]) == (ids[0], 5, 0)
    assert (cluster["first_seen"]["platform"], cluster["bands"]) == ("alpha", {"none": 5})
    assert sum(count["sightings"] for count in cluster["counts"]) == 5
    assert {count["platform"] for count in cluster["counts"]} == {"alpha", "beta"}
    assert 0.8 < cluster["weakest_link"]["strength"] < 1
    assert client.get("/v1/clusters").get_json()["behind"] == 0
    for turn in range(5):
        record(client, near(fresh, 0.95, 80 + turn), "beta")
    service.duties.work_through()
    assert [event.data["sightings"] for event in events(service, "emerging_cluster")] == [5, 10]


def test_what_one_platform_alone_sends_is_listed_and_not_announced(client: FlaskClient, service: Runtime) -> None:
    for turn in range(12):
        record(client, near(direction(50), 0.95, 60 + turn))
    service.duties.work_through()
    assert events(service, "emerging_cluster") == []
    assert clusters(client)[0]["sightings"] == 12


def test_variants_of_an_incident_say_what_was_caught_and_what_was_not(
    client: FlaskClient, service: Runtime, incident: str
) -> None:
    caught = near(ORIGINAL, 0.82, 2)
    first = record(client, caught, "alpha")
    service.duties.work_through()
    (new,) = events(service, "new_variant")
    assert (new.incident_id, new.data["sighting_id"], new.platform) == (incident, first, None)
    uncaught = 0.9 * caught - np.sqrt(1 - 0.81) * _across(ORIGINAL, caught)
    second = record(client, uncaught, "beta", upload_id="b-1")
    service.duties.work_through()
    (near_one,) = events(service, "near_variant")
    assert (near_one.incident_id, near_one.platform, near_one.data["sighting_id"]) == (incident, "beta", second)
    assert near_one.data["relative_id"] == first
    (variant,) = variants(client, incident)
    assert (variant["cluster_id"], variant["sightings"], variant["matched"]) == (first, 2, 1)
    (outlier,) = variant["frontier"]
    assert (outlier["sighting_id"], outlier["platform"], outlier["inside"]) == (second, "beta", True)
    assert variant["banked"] == []


def _across(one: Row, other: Row) -> Row:
    """The direction of one as far as it is not the other's."""
    rest = one - (one @ other) * other
    return np.asarray(rest / np.linalg.norm(rest))


def test_an_upload_without_a_near_copy_is_a_variant_by_itself(
    client: FlaskClient, service: Runtime, incident: str
) -> None:
    only = record(client, near(ORIGINAL, 0.9, 2), "alpha")
    service.duties.work_through()
    (variant,) = variants(client, incident)
    assert (variant["cluster_id"], variant["sightings"], variant["weakest_link"]) == (only, 1, None)
    assert variant["first_seen"]["platform"] == "alpha"


def test_a_variant_is_banked_from_a_sighting_once_and_finds_the_others(
    client: FlaskClient, service: Runtime, incident: str
) -> None:
    far = near(ORIGINAL, 0.3, 9)
    first = record(client, far, "alpha")
    record(client, near(far, 0.9, 10), "beta")
    service.duties.work_through()
    assert clusters(client)[0]["cluster_id"] == first
    made = bank(client, incident, first)
    assert made["kind"] == "signature"
    assert bank(client, incident, first, status=200, json={"bank": "footage"})["item_id"] == made["item_id"]
    service.duties.work_through()
    assert len(events(service, "variant_banked")) == 1
    (retro,) = events(service, "retro_match")
    assert (retro.platform, retro.data["item_id"]) == ("beta", made["item_id"])
    assert clusters(client) == []
    (variant,) = variants(client, incident)
    assert (variant["matched"], variant["banked"]) == (2, [{"item_id": made["item_id"], "bank": "footage"}])
    again = ask(client, near(far, 0.95, 11))
    assert again["matches"][0]["item_id"] == made["item_id"]
    detail = client.get(f"/v1/sightings/{first}").get_json()
    assert [match["means"] for match in detail["matches"]] == ["variant"]
    assert client.get("/v1/audit?action=items.added&order=newest").get_json()["items"][0]["subject"] == "banks/footage"


def test_a_removed_item_leaves_its_variant_unbanked(client: FlaskClient, service: Runtime, incident: str) -> None:
    first = record(client, near(ORIGINAL, 0.9, 9), "alpha")
    service.duties.work_through()
    made = bank(client, incident, first)
    client.delete(f"/v1/banks/footage/items/{made['item_id']}")
    assert variants(client, incident)[0]["banked"] == []
    assert bank(client, incident, first)["item_id"] != made["item_id"]


def test_a_cluster_is_banked_by_its_first_upload_or_another_of_its_own(client: FlaskClient, service: Runtime) -> None:
    client.put("/v1/banks/found", json={"purpose": "harmful"})
    ids = [record(client, near(direction(50), 0.95, 60 + turn), f"p{turn}") for turn in range(2)]
    other = record(client, direction(51))
    service.duties.work_through()
    path = f"/v1/clusters/{ids[0]}/bank"
    made = client.post(path, json={"bank": "found"})
    assert made.status_code == 201
    assert (
        client.post(path, json={"bank": "found", "sighting_id": ids[0]}).get_json()["item_id"] == made.json["item_id"]
    )
    assert client.post(path, json={"bank": "found", "sighting_id": ids[1]}).status_code == 201
    assert client.post(path, json={"bank": "found", "sighting_id": other}).status_code == 404
    assert client.post(path, json={"bank": "none"}).status_code == 404


def test_a_body_that_comes_in_chunks_is_read(client: FlaskClient, service: Runtime, incident: str) -> None:
    caught = record(client, near(ORIGINAL, 0.82, 2))
    path = f"/v1/incidents/{incident}/variants/{caught}/bank"
    piece = io.BytesIO(b'{"bank": "another"}')
    chunks = {"wsgi.input_terminated": True, "wsgi.input": piece, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.post(path, content_type="application/json", environ_overrides=chunks)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/bank")
    assert service.catalog.bank("footage").items == 1


def test_what_cannot_be_banked_is_refused(client: FlaskClient, incident: str) -> None:
    client.put("/v1/banks/other", json={"purpose": "harmful"})
    first = record(client, near(ORIGINAL, 0.9, 2))
    assert bank(client, incident, "0" * 28, 404)["type"] == "/problems/unknown-sighting"
    assert bank(client, "0" * 28, first, 404)["type"] == "/problems/unknown-incident"
    assert bank(client, incident, first, 422, json={"bank": "other"})["type"] == "/problems/invalid-field"
    assert bank(client, incident, first, 422, json={"benk": "footage"})["type"] == "/problems/invalid-field"
    nothing = client.post("/v1/match/embeddings?record=true&platform=a", json={"pdq": ["0" * 64]}).get_json()[
        "sighting_id"
    ]
    assert bank(client, incident, nothing, 201)["kind"] == "signature"


def test_lists_go_on_where_they_ended_and_come_in_one_order(
    client: FlaskClient, service: Runtime, incident: str
) -> None:
    for seed, count in ((3, 1), (4, 3), (5, 2)):
        for turn in range(count):
            record(client, near(near(ORIGINAL, 0.81, seed), 0.97, 100 + turn), f"p{turn}")
    service.duties.work_through()
    whole = variants(client, incident)
    assert [one["sightings"] for one in whole] == [3, 2, 1]
    found, query = [], "?limit=1"
    while True:
        page = client.get(f"/v1/incidents/{incident}/variants{query}").get_json()
        found += page["items"]
        if page["next"] is None:
            break
        query = f"?limit=1&cursor={page['next']}"
    assert [one["cluster_id"] for one in found] == [one["cluster_id"] for one in whole]
    cursor = client.get(f"/v1/incidents/{incident}/variants?limit=1").get_json()["next"]
    assert client.get(f"/v1/clusters?cursor={cursor}").get_json()["type"] == "/problems/bad-cursor"
    bank(client, incident, whole[0]["cluster_id"])
    assert [one["sightings"] for one in variants(client, incident)] == [2, 1, 3]


def test_a_cluster_falls_into_parts_at_a_tighter_threshold(client: FlaskClient, service: Runtime) -> None:
    row = direction(50)
    tight = [record(client, near(row, 0.995, 60 + turn), "alpha") for turn in range(3)]
    other = near(row, 0.85, 70)
    loose = [record(client, near(other, 0.995, 80 + turn), "beta") for turn in range(2)]
    service.duties.work_through()
    (cluster,) = clusters(client)
    path = f"/v1/clusters/{cluster['cluster_id']}"
    assert client.get(path).get_json()["parts"] == []
    whole = client.get(f"{path}?threshold=0.8").get_json()["parts"]
    assert [(part["sightings"], part["first_sighting_id"]) for part in whole] == [(5, tight[0])]
    parts = client.get(f"{path}?threshold=0.95").get_json()["parts"]
    assert [(part["sightings"], part["first_sighting_id"]) for part in parts] == [(3, tight[0]), (2, loose[0])]
    assert client.get(f"{path}?threshold=2").status_code == 422
    assert client.get("/v1/clusters/" + "0" * 28).status_code == 404


def test_a_platform_sees_its_own_part_and_nobody_elses_name(client: FlaskClient, service: Runtime) -> None:
    def key(participant: str, role: Role) -> dict[str, str]:
        text, secret = make_key()
        service.catalog.keys.create(NewKey(participant, role, frozenset(Scope)), secret)
        return {"Authorization": f"Bearer {text}"}

    alpha, beta, gamma = (key(name, Role.PLATFORM) for name in ("alpha", "beta", "gamma"))
    for turn, who in enumerate((alpha, beta, beta)):
        answer = client.post(
            "/v1/match/embeddings?record=true",
            json={"embedder_id": SPACE, "embeddings": [near(direction(50), 0.95, 60 + turn).tolist()]},
            headers=who,
        )
        assert answer.get_json()["sighting_id"] is not None
    service.duties.work_through()
    (cluster,) = clusters(client, headers=beta)
    assert {(count["platform"], count["sightings"]) for count in cluster["counts"]} == {(None, 1), ("beta", 2)}
    assert cluster["first_seen"]["platform"] is None
    assert clusters(client, headers=gamma) == []
    assert client.get(f"/v1/clusters/{cluster['cluster_id']}", headers=gamma).status_code == 404
    path = f"/v1/clusters/{cluster['cluster_id']}/bank"
    client.put("/v1/banks/found", json={"purpose": "harmful"}, headers=beta)
    assert client.post(path, json={"bank": "found"}, headers=beta).status_code == 404  # the first is alpha's


def test_what_matched_something_that_is_gone_is_unknown_again(client: FlaskClient, service: Runtime) -> None:
    client.put("/v1/banks/found", json={"purpose": "harmful"})
    fresh = direction(50)
    first = record(client, near(fresh, 0.95, 60), "alpha")
    for turn in range(5):
        record(client, near(fresh, 0.95, 61 + turn), "beta")
    service.duties.work_through()
    assert [event.data["sightings"] for event in events(service, "emerging_cluster")] == [6]
    assert client.post(f"/v1/clusters/{first}/bank", json={"bank": "found"}).status_code == 201
    service.duties.work_through()
    assert clusters(client) == []
    client.delete("/v1/banks/found")
    assert [one["cluster_id"] for one in clusters(client)] == [first]
    record(client, near(fresh, 0.95, 70), "alpha")
    service.duties.work_through()
    assert [event.data["sightings"] for event in events(service, "emerging_cluster")] == [6, 7]


def test_old_events_and_clusters_without_sightings_are_tidied_up_now_and_then(
    client: FlaskClient, service: Runtime
) -> None:
    for turn in range(2):
        record(client, near(direction(50), 0.95, 60 + turn), f"p{turn}")
    service.duties.work_through()
    turn_taken = service.catalog.duties.take_turn(service.duties.owner, 60)
    assert turn_taken is not None
    service.catalog.database.write(
        lambda connection: append_all(connection, datetime.now(UTC), [NewEvent(EventKind.MATCH)] * 3)
    )
    now = 0.0
    tidy = TidyUp(service.catalog, timedelta(0), timedelta(0), clock=lambda: now)
    assert not tidy.step(turn_taken)
    assert service.catalog.events.after(0, 10).events == ()
    assert len(clusters(client)) == 1
    service.catalog.sightings.forget(Step(turn_taken, "forget", 0), timedelta(0), 10)
    tidy.step(turn_taken)
    assert len(clusters(client)) == 1, "it looks only now and then"
    now = 60.0
    tidy.step(turn_taken)
    assert clusters(client) == []
