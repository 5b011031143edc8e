"""The audit log over HTTP: who did what, and nothing that could pass for something else."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.records.keys import NewKey, Role, Scope
from service.keys.keyring import make_key
from service.runtime import Runtime

Jpeg = Callable[[int], bytes]


@pytest.fixture
def curator(service: Runtime) -> dict[str, str]:
    text, secret = make_key()
    service.catalog.keys.create(NewKey("center", Role.CENTER, frozenset(Scope)), secret)
    return {"Authorization": f"Bearer {text}"}


def listed(client: FlaskClient, headers: dict[str, str] | None = None, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/audit", query_string=query, headers=headers or {})
    assert answer.status_code == 200, answer.json
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_what_is_done_over_http_is_noted_with_its_key_and_its_request(
    client: FlaskClient, curator: dict[str, str], jpeg: Jpeg
) -> None:
    key_id = curator["Authorization"].split("_")[1]
    client.put("/v1/banks/first", json={"purpose": "harmful"}, headers=curator | {"X-Request-ID": "put-1"})
    added = client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg", headers=curator).json
    item = f"/v1/banks/first/items/{added['item_id']}"
    client.patch(item, json={"state": "disabled"}, headers=curator | {"X-Request-ID": "patch-1"})
    client.delete(item, headers=curator | {"X-Request-ID": "delete-1"})
    found = listed(client, curator, participant="center")
    assert [one["action"] for one in found] == ["bank.created", "items.added", "item.changed", "item.deleted"]
    assert {(one["via"], one["participant"], one["key_id"]) for one in found} == {("http", "center", key_id)}
    assert [found[place]["request"] for place in (0, 2, 3)] == ["put-1", "patch-1", "delete-1"]
    assert found[1]["details"] == {"items": {added["item_id"]: hashlib.sha256(jpeg(1)).hexdigest()}}


def test_without_keys_the_request_is_noted_and_nobody(client: FlaskClient) -> None:
    client.put("/v1/banks/first", json={"purpose": "harmful"}, headers={"X-Request-ID": "put-1"})
    (entry,) = listed(client)
    assert (entry["via"], entry["participant"], entry["key_id"], entry["request"]) == ("http", None, None, "put-1")


def test_one_request_is_not_noted_as_the_next_ones(
    client: FlaskClient, curator: dict[str, str], service: Runtime
) -> None:
    client.put("/v1/banks/first", json={"purpose": "harmful"}, headers=curator)
    service.catalog.delete_bank("first")
    assert [one["via"] for one in listed(client, curator, subject="banks/first")] == ["http", "local"]


def test_reading_asking_and_what_fails_is_not_noted(client: FlaskClient, jpeg: Jpeg) -> None:
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    for _ in range(2):
        client.get("/v1/banks")
        client.post("/v1/match", data=jpeg(1), content_type="image/jpeg")
        client.put("/v1/banks/first", json={"purpose": "public_interest"})
        client.delete("/v1/banks/none")
        client.post("/v1/banks/first/items", data=b"no picture", content_type="image/jpeg")
    assert [one["action"] for one in listed(client)] == ["bank.created"]


def test_the_list_is_a_chain_that_ends_at_its_head(client: FlaskClient) -> None:
    for number in range(5):
        client.put(f"/v1/banks/b{number}", json={"purpose": "harmful", "labels": {"é<b>": "\x1b\u2028"}})
    head = client.get("/v1/audit/head").json
    digest, cursor, seen = bytes(32), None, 0
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/audit", query_string=query).json
        for entry in page["items"]:
            told = entry.pop("digest")
            text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
            digest, seen = hashlib.sha256(digest + text.encode()).digest(), seen + 1
            assert (digest.hex(), entry["seq"]) == (told, seen)
        cursor = page["next"]
        if cursor is None:
            break
    assert head == {"seq": 5, "digest": digest.hex()}


def test_what_is_asked_for_is_what_is_listed(client: FlaskClient) -> None:
    for name in ("a", "b"):
        client.put(f"/v1/banks/{name}", json={"purpose": "harmful"})
        client.delete(f"/v1/banks/{name}")
    assert [one["seq"] for one in listed(client, order="newest", limit=2)] == [4, 3]
    assert [one["seq"] for one in listed(client, subject="banks/b")] == [3, 4]
    assert [one["seq"] for one in listed(client, action="bank.deleted")] == [2, 4]
    assert [one["seq"] for one in listed(client, since=listed(client)[2]["at"])] == [3, 4]
    assert [one["seq"] for one in listed(client, until=listed(client)[2]["at"])] == [1, 2]
    assert listed(client, participant="nobody") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("order=random", 422),
        ("since=yesterday", 422),
        ("since=0001-01-01T00:00:00%2B23:59", 200),
        ("until=9999-12-31T23:59:59-23:59", 200),
        ("subject=", 422),
        ("subject=%00", 422),
        ("subject=%27%3B%20DROP%20TABLE%20audit", 200),
        ("subject=%25", 200),
        ("action=<script>", 422),
        ("cursor=x", 404),
        ("who=me", 422),
    ],
)
def test_odd_questions_are_answered_or_refused_and_never_fail(
    shared_client: FlaskClient, query: str, status: int
) -> None:
    answer = shared_client.get(f"/v1/audit?{query}")
    assert answer.status_code == status
    if status == 200 and "subject" in query:
        assert answer.json["items"] == []


@pytest.mark.parametrize("method", ["put", "post", "patch", "delete"])
def test_the_log_cannot_be_written_over_http(shared_client: FlaskClient, method: str) -> None:
    assert getattr(shared_client, method)("/v1/audit").status_code == 405
