"""Where nothing can be verified: without features, time, texture or the picture; and what makes features later."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from index.records.items import ItemId, LocalFeatures
from models.features import EXTRACTOR
from service.jobs.features import FeatureTools, FillFeatures
from service.matching.local_features import features_of

SPACE = "toy-0123456789ab"
Encoded = Callable[..., bytes]
Scene = Callable[..., Image.Image]
Cropped = Callable[[Image.Image], Image.Image]


def bank(client: FlaskClient, data: bytes, name: str = "first") -> str:
    answer = client.post(f"/v1/banks/{name}/items", data=data, content_type="image/png")
    assert answer.status_code == 201, answer.text
    return str(answer.json["item_id"])


def match(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/png")
    assert answer.status_code == 200, answer.text
    return answer.json


def test_features_of_another_version_are_not_compared_until_they_are_made_anew(
    verifying: Callable[..., FlaskClient],
    encoded: Encoded,
    monkeypatch: pytest.MonkeyPatch,
    scene: Scene,
    cropped: Cropped,
) -> None:
    client = verifying()
    data = encoded(scene(10), "PNG")
    with monkeypatch.context() as before:
        before.setattr("service.matching.local_features.EXTRACTOR", "orb-of-old")
        item_id = bank(client, data)
    upload = encoded(cropped(scene(10)), "PNG")
    assert match(client, upload)["matches"] == []
    media = client.service.decoder.decode(data)
    client.service.catalog.features.put({ItemId(item_id): features_of(media)})
    assert [each["verified"] for each in match(client, upload)["matches"]] == [True]


def test_damaged_features_are_as_none(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, softened: Scene
) -> None:
    client = verifying()
    item_id = ItemId(bank(client, encoded(scene(11), "PNG")))
    (kept,) = client.service.catalog.features.of_items([item_id], EXTRACTOR)[item_id]
    damaged = LocalFeatures(EXTRACTOR, kept.count, kept.data[:-7])
    client.service.catalog.features.put({item_id: {0: damaged}})
    assert {each["verified"] for each in match(client, encoded(softened(11), "PNG"))["matches"]} == {None}


@pytest.mark.parametrize("settings", [{"features": "none"}], indirect=True)
def test_without_kept_features_nothing_is_verified_and_nothing_lowered(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, softened: Scene
) -> None:
    client = verifying()
    bank(client, encoded(scene(3), "PNG"))
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["band"], found["verified"], found["geometry"]) == ("variant", None, None)


def test_a_picture_with_little_texture_keeps_the_band_of_its_score(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying()
    dull = Image.fromarray(np.random.default_rng(1).integers(0, 256, (4, 4, 3), np.uint8)).resize((400, 300))
    bank(client, encoded(dull, "PNG"))
    other = Image.blend(dull, Image.new("RGB", dull.size, (90, 120, 60)), 0.15).crop((20, 10, 390, 290))
    (found,) = match(client, encoded(other, "PNG"))["matches"]
    assert (found["band"], found["verified"]) in {("variant", None), ("exact", None)}


@pytest.mark.parametrize("settings", [{"verify_budget_ms": 0}], indirect=True)
def test_past_the_time_budget_the_answer_comes_without_verification(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, softened: Scene
) -> None:
    client = verifying()
    bank(client, encoded(scene(3), "PNG"))
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["band"], found["verified"]) == ("variant", None)


def test_signatures_are_matched_without_verification(verifying: Callable[..., FlaskClient]) -> None:
    client = verifying()
    row = [0.0] * 47 + [1.0]
    client.post("/v1/banks/first/items", json={"embedder_id": SPACE, "embeddings": [row]})
    answer = client.post("/v1/match/embeddings?verify=always", json={"embedder_id": SPACE, "embeddings": [row]})
    assert [(each["band"], each["verified"]) for each in answer.json["matches"]] == [("variant", None)]


def test_a_removed_original_is_verified_no_more(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, cropped: Cropped
) -> None:
    client = verifying()
    item_id = bank(client, encoded(scene(12), "PNG"))
    upload = encoded(cropped(scene(12)), "PNG")
    assert match(client, upload)["matches"]
    client.delete(f"/v1/banks/first/items/{item_id}")
    assert match(client, upload)["matches"] == []


class FakeTask:
    """Keeps what a part of a job says of itself."""

    def __init__(self) -> None:
        self.cursor: Any = None
        self.counts: Counter[str] = Counter()

    def checkpoint(self, cursor: Any, **counts: int) -> None:
        self.cursor = cursor
        self.counts.update(counts)


@pytest.mark.parametrize("settings", [{"features": "none"}], indirect=True)
def test_a_job_makes_the_features_that_are_lacking_from_the_originals(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, cropped: Cropped
) -> None:
    client = verifying()
    service = client.service
    data = [encoded(scene(seed), "PNG") for seed in range(30, 33)]
    items = [ItemId(bank(client, each)) for each in data]
    service.originals.delete(hashlib.sha256(data[1]).hexdigest())
    client.post("/v1/banks/first/items", json={"pdq": "0" * 64})
    task = FakeTask()
    FillFeatures(FeatureTools(service.catalog, service.decoder, service.originals, 2)).run(task)
    assert dict(task.counts) == {"done": 3, "filled": 2, "without_original": 1}
    assert set(service.catalog.features.of_items(items, EXTRACTOR)) == {items[0], items[2]}
    assert match(client, encoded(cropped(scene(30)), "PNG"))["matches"][0]["verified"] is True
