"""An explanation: the upload beside the originals that were found in it."""

import base64
import hashlib
import io
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from PIL import Image

ENOUGH = 12
Encoded = Callable[..., bytes]
RecordOf = Callable[..., Any]  # of conftest.py
Scene = Callable[..., Image.Image]


def bank(client: FlaskClient, data: bytes, name: str = "first") -> str:
    answer = client.post(f"/v1/banks/{name}/items", data=data, content_type="image/png")
    assert answer.status_code == 201, answer.text
    return str(answer.json["item_id"])


def match(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/png")
    assert answer.status_code == 200, answer.text
    return answer.json


def test_an_explanation_is_drawn_when_it_is_asked_for(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    client = verifying(record(near=0.5))
    data = encoded(scene(16), "PNG")
    item_id = bank(client, data)
    assert match(client, data)["explanation"] is None
    explained = match(client, data, "?explain=true")  # also of what is too near to need a look
    assert (explained["explanation"]["item_ids"], explained["explanation"]["missing_originals"]) == ([item_id], [])
    head, _, body = explained["explanation"]["image"].partition(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).format == "PNG"
    assert match(client, encoded(scene(17), "PNG"), "?explain=true")["explanation"] is None


def test_what_was_found_and_did_not_convince_is_told_and_drawn_as_such(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    client = verifying(record(enough=10_000))
    item_id = bank(client, encoded(scene(16), "PNG"))
    answer = match(client, encoded(scene(16).crop((30, 24, 400, 300)), "PNG"), "?explain=true")
    (found,) = answer["matches"]
    assert (found["band"], found["verified"], found["edits"]) == ("related", False, [])
    shape = found["geometry"]
    assert (shape["probability"], shape["threshold"], shape["inliers"] >= ENOUGH) == (0.1, 0.9, True)
    assert 0.8 < shape["agreement"] <= 1
    assert (answer["explanation"]["item_ids"], answer["explanation"]["unverified"]) == ([item_id], [item_id])
    body = answer["explanation"]["image"].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(body))).format == "PNG"


def test_an_original_that_is_gone_from_the_store_is_named_and_the_rest_is_drawn(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene
) -> None:
    client = verifying()
    data = encoded(scene(18), "PNG")
    item_id = bank(client, data)
    client.service.originals.delete(hashlib.sha256(data).hexdigest())
    explained = match(client, data, "?explain=true")
    assert explained["verdict"]["band"] == "exact"
    assert explained["explanation"]["missing_originals"] == [item_id]


def test_only_a_single_upload_can_be_explained(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene
) -> None:
    client = verifying()
    body = {"media": [(io.BytesIO(encoded(scene(1), "PNG")), "a")]}
    refused = client.post("/v1/match/batch?explain=true", data=body)
    assert (refused.status_code, refused.json["type"]) == (422, "/problems/unknown-parameter")
