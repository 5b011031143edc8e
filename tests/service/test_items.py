"""`/v1/banks/{bank}/items`: banked once, found at once, gone at once."""

import io
import json
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

from service.app import create_app

MakeBank = Callable[..., str]
Jpeg = Callable[[int], bytes]
ITEMS = "/v1/banks/first/items"


def found(client: FlaskClient, data: bytes) -> list[str]:
    answer = client.post("/v1/match", data=data, content_type="image/jpeg")
    return [match["item_id"] for match in answer.json["matches"]]


def test_the_same_bytes_again_are_the_same_item(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank()
    first = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg")
    again = client.post(ITEMS, data={"media": (io.BytesIO(jpeg(1)), "copy.jpg")})
    assert (first.status_code, again.status_code) == (201, 200)
    assert set(first.json) == {"item_id", "kind", "frames", "index_version"}
    assert first.json["item_id"] == again.json["item_id"]
    assert client.get("/v1/banks/first").json["items"] == 1


def test_an_idempotency_key_is_answered_once(client: FlaskClient, make_bank: MakeBank) -> None:
    make_bank()
    key = {"Idempotency-Key": "k-1"}
    first = client.post(ITEMS, json={"pdq": "a" * 64}, headers=key)
    again = client.post(ITEMS, json={"pdq": "a" * 64}, headers=key)
    other = client.post(ITEMS, json={"pdq": "b" * 64}, headers=key)
    without = client.post(ITEMS, json={"pdq": "a" * 64})
    assert first.json == again.json
    assert (other.status_code, other.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert without.json["item_id"] != first.json["item_id"]


def test_an_idempotency_key_is_remembered_also_when_the_bytes_were_banked_before(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank()
    banked = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg").json["item_id"]
    key = {"Idempotency-Key": "k-3"}
    first = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg", headers=key)
    assert (first.status_code, first.json["item_id"]) == (200, banked)
    client.post(ITEMS, json={"pdq": "a" * 64})
    assert client.post(ITEMS, data=jpeg(1), content_type="image/jpeg", headers=key).json == first.json
    other = client.post(ITEMS, data=jpeg(2), content_type="image/jpeg", headers=key)
    assert (other.status_code, other.json["type"]) == (422, "/problems/idempotency-key-reused")


def test_how_a_file_was_packed_is_no_part_of_an_idempotent_request(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank()
    key = {"Idempotency-Key": "k-2"}
    raw = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg", headers=key)
    packed = client.post(ITEMS, data={"media": (io.BytesIO(jpeg(1)), "a.jpg")}, headers=key)
    assert packed.json == raw.json


def test_an_item_is_read_listed_changed_and_removed(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank()
    labels = {"case": 7, "note": "seen before", "sure": True}
    upload = {"media": (io.BytesIO(jpeg(1)), "a.jpg"), "labels": json.dumps(labels)}
    item_id = client.post(ITEMS, data=upload).json["item_id"]
    item = client.get(f"{ITEMS}/{item_id}").json
    assert (item["labels"], item["state"], item["kind"], item["frames"]) == (labels, "active", "image", 1)
    assert client.get(ITEMS).json == {"items": [item], "next": None}
    changed = client.patch(f"{ITEMS}/{item_id}", json={"labels": {"case": 8}}).json
    assert (changed["labels"], changed["state"]) == ({"case": 8}, "active")
    assert client.delete(f"{ITEMS}/{item_id}").status_code == 200
    assert client.get(f"{ITEMS}/{item_id}").status_code == 404
    assert client.get(ITEMS).json["items"] == []


def test_a_disabled_item_is_in_no_answer_until_it_is_enabled(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank()
    item_id = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg").json["item_id"]
    assert found(client, jpeg(1)) == [item_id]
    client.patch(f"{ITEMS}/{item_id}", json={"state": "disabled"})
    assert found(client, jpeg(1)) == []
    client.patch(f"{ITEMS}/{item_id}", json={"state": "active"})
    assert found(client, jpeg(1)) == [item_id]


def test_what_one_worker_does_every_worker_answers_with(open_service: Callable[..., Any], jpeg: Jpeg) -> None:
    one, other = (create_app(open_service()).test_client() for _ in range(2))
    one.put("/v1/banks/first", json={"purpose": "harmful"})
    item_id = one.post(ITEMS, data=jpeg(1), content_type="image/jpeg").json["item_id"]
    assert found(other, jpeg(1)) == found(one, jpeg(1)) == [item_id]
    other.delete(f"{ITEMS}/{item_id}")
    assert found(one, jpeg(1)) == found(other, jpeg(1)) == []


def test_nothing_is_embedded_for_bytes_that_are_banked(
    open_service: Callable[..., Any], toy: Callable[..., Any], jpeg: Jpeg
) -> None:
    embedder = toy()
    client = create_app(open_service(embedder)).test_client()
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    for _ in range(3):
        client.post(ITEMS, data=jpeg(1), content_type="image/jpeg")
    assert embedder.embedded == 1


def test_an_item_of_another_bank_is_not_here(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank("first")
    make_bank("second")
    item_id = client.post(ITEMS, data=jpeg(1), content_type="image/jpeg").json["item_id"]
    elsewhere = client.get(f"/v1/banks/second/items/{item_id}")
    assert (elsewhere.status_code, elsewhere.json["type"]) == (404, "/problems/unknown-item")
    assert client.get(f"{ITEMS}/nonsense").json["type"] == "/problems/unknown-item"


def test_an_animated_picture_is_banked_with_its_frames(
    client: FlaskClient, make_bank: MakeBank, picture: Callable[..., Any], encoded: Callable[..., bytes]
) -> None:
    make_bank()
    frames = [picture(seed) for seed in (1, 2, 3)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    banked = client.post(ITEMS, data=gif, content_type="image/gif").json
    assert banked["frames"] == 3
    still = encoded(frames[2], quality=90)
    answer = client.post("/v1/match", data=still, content_type="image/jpeg").json
    assert [match["item_id"] for match in answer["matches"]] == [banked["item_id"]]
    assert answer["matches"][0]["reference_ms"] == 200
