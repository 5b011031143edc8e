"""Keys over HTTP: made, listed, replaced and ended by whoever may."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.runtime import Runtime


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def admin(client: FlaskClient) -> dict[str, str]:
    """The first key, made while none was needed."""
    answer = client.post("/v1/keys", json={"participant": "center", "role": "center", "scopes": ["admin", "read"]})
    assert answer.status_code == 201
    return bearer(answer.json["key"])


def test_the_first_key_shuts_the_door_behind_it(client: FlaskClient, admin: dict[str, str]) -> None:
    assert client.post("/v1/keys", json={"participant": "me"}).status_code == 401
    assert client.post("/v1/keys", json={"participant": "me"}, headers=admin).status_code == 201


def test_a_key_works_as_it_was_made_and_is_shown_once(client: FlaskClient, admin: dict[str, str]) -> None:
    wanted = {
        "participant": "vid.example",
        "role": "platform",
        "scopes": ["read"],
        "note": "the <b>night</b> shift\x1b",
        "expires_at": "2031-01-01T00:00:00+01:00",
        "rate_per_s": 0.5,
        "queries_per_day": 7,
    }
    made = client.post("/v1/keys", json=wanted, headers=admin).json
    key = made.pop("key")
    assert made["expires_at"] == "2030-12-31T23:00:00Z"
    assert {name: made[name] for name in wanted if name != "expires_at"} == {
        name: value for name, value in wanted.items() if name != "expires_at"
    }
    assert client.get("/v1/banks", headers=bearer(key)).status_code == 200
    listed = client.get("/v1/keys", headers=admin)
    assert listed.json["items"][1] == made
    assert key.rpartition("_")[2] not in listed.text


def test_a_key_is_replaced_and_ended(client: FlaskClient, admin: dict[str, str]) -> None:
    made = client.post("/v1/keys", json={"participant": "a", "scopes": ["read"]}, headers=admin).json
    address = f"/v1/keys/{made['key_id']}"
    fresh = client.post(f"{address}/rotation", json={"grace_s": 0}, headers=admin)
    assert fresh.status_code == 201
    assert client.get("/v1/banks", headers=bearer(made["key"])).status_code == 401
    assert client.get("/v1/banks", headers=bearer(fresh.json["key"])).status_code == 200
    again = client.post(f"{address}/rotation", json={}, headers=admin)
    assert (again.status_code, again.json["type"]) == (409, "/problems/key-unusable")
    ended = client.delete(f"/v1/keys/{fresh.json['key_id']}", headers=admin)
    assert (ended.status_code, ended.json["revoked_at"] is None) == (200, False)
    assert client.get("/v1/banks", headers=bearer(fresh.json["key"])).status_code == 401


def test_the_list_is_paged(client: FlaskClient, admin: dict[str, str]) -> None:
    for number in range(3):
        client.post("/v1/keys", json={"participant": f"p{number}"}, headers=admin)
    first = client.get("/v1/keys?limit=3", headers=admin).json
    rest = client.get("/v1/keys", query_string={"cursor": first["next"]}, headers=admin).json
    names = [key["participant"] for page in (first, rest) for key in page["items"]]
    assert (names, rest["next"]) == (["center", "p0", "p1", "p2"], None)


def test_only_admin_touches_keys(client: FlaskClient, admin: dict[str, str]) -> None:
    all_others = ["match", "record", "curate", "incident", "confirm", "read", "audit"]
    other = bearer(client.post("/v1/keys", json={"participant": "a", "scopes": all_others}, headers=admin).json["key"])
    assert client.get("/v1/keys", headers=other).status_code == 403
    assert client.post("/v1/keys", json={"participant": "a", "scopes": ["admin"]}, headers=other).status_code == 403
    assert client.delete("/v1/keys/aaaaaaaaaaaa", headers=other).status_code == 403


WRONG: list[dict[str, Any]] = [
    {},
    {"participant": ""},
    {"participant": "<script>"},
    {"participant": "a\nb"},
    {"participant": "a", "role": "king"},
    {"participant": "a", "scopes": []},
    {"participant": "a", "scopes": ["everything"]},
    {"participant": "a", "note": "x" * 257},
    {"participant": "a", "note": "\x00"},
    {"participant": "a", "expires_at": "tomorrow"},
    {"participant": "a", "expires_at": "2031-01-01T00:00:00"},
    {"participant": "a", "rate_per_s": -1},
    {"participant": "a", "rate_per_s": "1"},
    {"participant": "a", "queries_per_day": 1.5},
    {"participant": "a", "digest": "x"},
]


def test_a_key_that_makes_no_sense_is_refused_and_not_made(client: FlaskClient, admin: dict[str, str]) -> None:
    for wrong in WRONG:
        assert client.post("/v1/keys", json=wrong, headers=admin).status_code == 422, wrong
    assert len(client.get("/v1/keys", headers=admin).json["items"]) == 1


@pytest.mark.parametrize("ends", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_instants_at_the_ends_of_time_harm_nobody(client: FlaskClient, admin: dict[str, str], ends: str) -> None:
    made = client.post("/v1/keys", json={"participant": "a", "scopes": ["read"], "expires_at": ends}, headers=admin)
    assert made.status_code == 201
    assert client.get("/v1/keys", headers=admin).status_code == 200
    expected = 401 if ends.startswith("0001") else 200
    assert client.get("/v1/banks", headers=bearer(made.json["key"])).status_code == expected


def test_a_participant_keeps_its_role(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = client.post("/v1/keys", json={"participant": "center", "role": "auditor"}, headers=admin)
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/role-conflict")


def test_a_key_that_is_not_there_is_404(client: FlaskClient, admin: dict[str, str]) -> None:
    for name in ("aaaaaaaaaaaa", "x", "AAAAAAAAAAAA", "%00"):
        assert client.delete(f"/v1/keys/{name}", headers=admin).status_code == 404
        assert client.post(f"/v1/keys/{name}/rotation", json={}, headers=admin).status_code == 404


def test_who_made_a_key_is_in_the_audit_log(client: FlaskClient, service: Runtime, admin: dict[str, str]) -> None:
    client.post("/v1/keys", json={"participant": "a"}, headers=admin)
    first, second = service.catalog.audit.rows(0)
    assert (first.participant, second.participant, second.action) == (None, "center", "key.created")
