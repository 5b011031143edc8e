"""`/v1/banks`: made, listed, changed and removed."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

MakeBank = Callable[..., str]


def test_a_bank_is_made_once_and_changed_after(client: FlaskClient) -> None:
    body = {"purpose": "harmful", "labels": {"source": "list 7"}, "settings": {"variant_score": 0.7}}
    made = client.put("/v1/banks/first", json=body)
    assert (made.status_code, made.json["index_version"]) == (201, 1)
    again = client.put("/v1/banks/first", json={"purpose": "harmful"})
    assert again.status_code == 200
    bank = client.get("/v1/banks/first").json
    assert set(bank) == {"bank", "purpose", "labels", "settings", "items", "created_at", "updated_at"}
    assert (bank["labels"], bank["items"]) == ({}, 0)
    scores = {"variant_score": None, "related_score": None}
    assert bank["settings"] == {**scores, "block_on_semantic": False, "shadow": False, "tiles": 0}


def test_a_bank_keeps_its_purpose(client: FlaskClient, make_bank: MakeBank) -> None:
    make_bank()
    refused = client.put("/v1/banks/first", json={"purpose": "public_interest"})
    assert (refused.status_code, refused.json["type"]) == (409, "/problems/bank-purpose-conflict")


def test_banks_are_listed_in_pieces_with_none_twice_and_none_left_out(client: FlaskClient, make_bank: MakeBank) -> None:
    names = sorted(make_bank(f"bank-{i}") for i in range(5))
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/v1/banks?limit=2{cursor}").json
        assert set(page) == {"items", "next"}
        seen += [bank["bank"] for bank in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == names


def test_a_removed_bank_takes_its_items_out_of_every_answer(
    client: FlaskClient, make_bank: MakeBank, jpeg: Callable[[int], bytes]
) -> None:
    make_bank()
    client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg")
    removed = client.delete("/v1/banks/first")
    assert removed.status_code == 200
    answer = client.post("/v1/match?min_band=none", data=jpeg(1), content_type="image/jpeg").json
    assert (answer["matches"], answer["index_version"]) == ([], removed.json["index_version"])
    assert client.get("/v1/banks/first").status_code == 404
    assert client.delete("/v1/banks/first").status_code == 404


@pytest.mark.parametrize("name", ["-first", ".first", "a b", "a" * 65, "b%C3%A4nk"])
def test_a_bank_cannot_have_every_name(client: FlaskClient, name: str) -> None:
    refused = client.put(f"/v1/banks/{name}", json={"purpose": "harmful"})
    assert (refused.status_code, refused.json["errors"][0]["where"]) == (422, "path")
    assert client.get(f"/v1/banks/{name}").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/purpose"),
        ({"purpose": "good"}, "/purpose"),
        ({"purpose": "harmful", "labels": {"a": []}}, "/labels/a"),
        ({"purpose": "harmful", "labels": {"a/b": {}}}, "/labels/a~1b"),
        ({"purpose": "harmful", "settings": {"variant_score": 2}}, "/settings/variant_score"),
        ({"purpose": "harmful", "settings": {"block_on_semantic": "false"}}, "/settings/block_on_semantic"),
        ({"purpose": "harmful", "colour": "red"}, "/colour"),
    ],
)
def test_a_bad_field_is_pointed_at(client: FlaskClient, body: object, pointer: str) -> None:
    refused = client.put("/v1/banks/first", json=body)
    assert (refused.status_code, refused.json["type"]) == (422, "/problems/invalid-field")
    assert [fault["pointer"] for fault in refused.json["errors"]] == [pointer]


def test_a_cursor_of_another_list_is_refused(client: FlaskClient, make_bank: MakeBank) -> None:
    make_bank("one")
    make_bank("two")
    cursor = client.get("/v1/banks?limit=1").json["next"]
    refused = client.get(f"/v1/banks/one/items?cursor={cursor}")
    assert (refused.status_code, refused.json["type"]) == (404, "/problems/bad-cursor")
