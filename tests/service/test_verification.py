"""A closer look: what is verified, what that does to a verdict, and what becomes of what cannot be."""

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageDraw, ImageOps

from index.records import ItemId, LocalFeatures, SemanticHit, SpaceId
from models.calibration import Sample, Threshold
from models.features import EXTRACTOR
from models.verification import Evidence
from service.app import create_app
from service.jobs.features import FeatureTools, FillFeatures
from service.matching.local_features import features_of
from service.matching.policy import Judged, SemanticFinding, Thresholds
from service.matching.verification import Weighing, bundled_weighing
from service.runtime import Runtime
from service.settings import Settings

SPACE = "toy-0123456789ab"
ENOUGH = 12
VARIANT, RELATED = Threshold(0.9, 1e-4, 1e-3), Threshold(0.5, 1e-2, 2e-2)
SAMPLE = Sample(400, 9800, 650)
Encoded = Callable[..., bytes]
OpenService = Callable[..., Runtime]


@dataclass(frozen=True)
class WeighingRecord:
    """Says yes from `enough` agreeing places on; spares nothing but what scores under `far` or over `near`."""

    embedder_id: str = SPACE
    extractor: str = EXTRACTOR
    far: float = 0.2
    near: float = 2.0
    pdq_far: int = 60
    enough: int = ENOUGH
    variant: Threshold = VARIANT
    related: Threshold = RELATED
    sample: Sample = SAMPLE

    def probability(self, evidence: Evidence) -> float:
        return 0.95 if evidence.location is not None and evidence.location.inliers >= self.enough else 0.1

    def judged(self, evidence: Evidence) -> str:
        return "variant" if self.probability(evidence) >= self.variant.score else "none"

    def worth_looking(self, score: float | None, *_: object) -> bool:
        return score is not None and self.far <= score < self.near

    def far_at(self, bank_frames: int) -> float:
        return self.far + 0.0 * bank_frames

    def expected_fpr(self, threshold: Threshold, bank_frames: int) -> float:
        return threshold.fpr * bank_frames / self.sample.bank_frames


def scene(seed: int, size: tuple[int, int] = (420, 320)) -> Image.Image:
    """Many small shapes on soft colours: corners everywhere, as in a photograph."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(150):
        x, y = dice.integers(0, size[0]), dice.integers(0, size[1])
        reach = dice.integers(3, 26, 4)
        shape = [(x - reach[0], y), (x, y - reach[1]), (x + reach[2], y), (x, y + reach[3])]
        draw.polygon([(int(a), int(b)) for a, b in shape], fill=tuple(int(v) for v in dice.integers(0, 256, 3)))
    return image


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 5, height // 6, width * 9 // 10, height * 5 // 6))


def softened(seed: int) -> Image.Image:
    """Its colours with another picture's shapes: near by them, and nowhere the same."""
    colours = scene(seed).resize((7, 5)).resize((420, 320))
    return Image.blend(colours, scene(seed + 100), 0.3)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """With what a test changes."""
    return settings.model_copy(update=getattr(request, "param", {}))


@pytest.fixture
def verifying(open_service: OpenService, toy: Any) -> Callable[..., FlaskClient]:
    """A service whose space has a record of its own."""

    def opened(record: WeighingRecord | None = None, **changes: object) -> FlaskClient:
        embedder = toy()
        embedder.space = replace(embedder.space, verification=record or WeighingRecord(), **changes)
        service = open_service(embedder)
        client = create_app(service).test_client()
        client.service = service
        assert client.put("/v1/banks/first", json={"purpose": "harmful"}).status_code == 201
        return client

    return opened


def bank(client: FlaskClient, data: bytes, name: str = "first") -> str:
    answer = client.post(f"/v1/banks/{name}/items", data=data, content_type="image/png")
    assert answer.status_code == 201, answer.text
    return str(answer.json["item_id"])


def match(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/png")
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_crop_that_the_score_misses_is_found_and_says_where_it_lies(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying()
    item_id = bank(client, encoded(scene(1), "PNG"))
    upload = encoded(cropped(scene(1)), "PNG")
    assert match(client, upload, "?verify=never")["verdict"]["band"] == "none"
    answer = match(client, upload)
    (found,) = answer["matches"]
    assert (found["item_id"], found["band"], found["verified"]) == (item_id, "variant", True)
    assert answer["verdict"]["suggested_action"] == "review"
    assert "geometric_match" in answer["verdict"]["reasons"]
    assert found["edits"] == ["cropped"]
    shape = found["geometry"]
    assert shape["mirrored"] is False
    assert shape["coverage"] == pytest.approx(0.467, abs=0.03)
    expected = [[0.2, 1 / 6], [0.9, 1 / 6], [0.9, 5 / 6], [0.2, 5 / 6]]
    assert np.asarray(shape["reference_quad"]) == pytest.approx(np.asarray(expected), abs=0.02)
    assert (shape["probability"], shape["expected_fpr"] < 1e-4) == (0.95, True)


def test_a_mirrored_copy_is_told_as_such(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying(WeighingRecord(far=-1.0))
    bank(client, encoded(scene(2), "PNG"))
    (found,) = match(client, encoded(ImageOps.mirror(scene(2)), "PNG"))["matches"]
    assert found["geometry"]["mirrored"] is True
    assert "mirrored" in found["edits"]
    # The original's left corners are on the right of the upload.
    assert np.asarray(found["geometry"]["query_quad"])[:, 0] == pytest.approx([1, 0, 0, 1], abs=0.02)


@pytest.mark.parametrize("turn", [lambda image: image, ImageOps.mirror, ImageOps.flip], ids=["same", "mirror", "flip"])
def test_an_untouched_picture_is_seen_as_a_whole(
    verifying: Callable[..., FlaskClient], encoded: Encoded, turn: Callable[[Image.Image], Image.Image]
) -> None:
    client = verifying(WeighingRecord(far=-1.0))
    bank(client, encoded(scene(2), "PNG"))
    (found,) = match(client, encoded(turn(scene(2)), "PNG"), "?verify=always")["matches"]
    assert found["geometry"]["coverage"] == pytest.approx(1.0, abs=0.02)
    assert "cropped" not in found["edits"]


def test_what_is_near_but_not_the_same_is_related_and_no_copy(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying()
    bank(client, encoded(scene(3), "PNG"))
    alone = match(client, encoded(softened(3), "PNG"), "?verify=never")
    assert alone["verdict"]["band"] == "variant"
    answer = match(client, encoded(softened(3), "PNG"))
    (found,) = answer["matches"]
    assert (found["band"], found["verified"], found["edits"]) == ("related", False, [])
    assert answer["verdict"] == {
        "band": "related",
        "suggested_action": "none",
        "reasons": ["semantic_related", "not_confirmed"],
    }


def test_what_another_space_calls_near_is_looked_at_without_a_score_of_the_record_s(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying(WeighingRecord(embedder_id="elsewhere"))
    item_id = bank(client, encoded(scene(3), "PNG"))
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["item_id"], found["band"], found["verified"]) == (item_id, "related", False)
    (found,) = match(client, encoded(scene(3).crop((10, 8, 410, 312)), "PNG"))["matches"]
    assert (found["band"], found["verified"]) in {("variant", True), ("exact", None)}


def test_a_bank_s_own_threshold_has_the_last_word(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying()
    settings = {"variant_score": 0.7}
    client.put("/v1/banks/loose", json={"purpose": "harmful", "settings": settings})
    bank(client, encoded(scene(3), "PNG"), "loose")
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["band"], found["verified"]) == ("variant", False)


def test_the_clearly_near_and_the_clearly_far_are_not_looked_at(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying(WeighingRecord(near=0.95))
    data = encoded(scene(5), "PNG")
    bank(client, data)
    near, far = match(client, encoded(scene(5), "JPEG", quality=90)), match(client, encoded(scene(6), "PNG"))
    assert [each["verified"] for each in near["matches"]] == [None]
    assert far["matches"] == []
    assert "afterimage_uploads_looked_at_total 0.0" in client.get("/metrics").text
    always = match(client, data, "?verify=always")["matches"]
    assert [(each["band"], each["verified"]) for each in always] == [("exact", True)]
    assert 'afterimage_looks_total{outcome="confirmed"} 1.0' in client.get("/metrics").text


def test_an_item_under_quarantine_is_looked_for_so_that_its_copies_are_as_sure_as_ever(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    """Else whoever floods a service with look-alikes of an item would have its clear copies held for review."""
    client = verifying(WeighingRecord(near=0.95))
    client.put("/v1/banks/sure", json={"purpose": "harmful", "settings": {"block_on_semantic": True}})
    item = bank(client, encoded(scene(5), "PNG"), "sure")
    copy = encoded(scene(5).rotate(1.5), "JPEG", quality=70)
    before = match(client, copy)
    client.patch(f"/v1/banks/sure/items/{item}", json={"quarantine": "unconfirmed"})
    after = match(client, copy)
    assert [each["matches"][0]["verified"] for each in (before, after)] == [None, True]
    assert [each["verdict"]["suggested_action"] for each in (before, after)] == ["block", "block"]
    unlooked = match(client, copy, "?verify=never")
    assert unlooked["verdict"]["suggested_action"] == "review"


def test_two_originals_in_one_upload_are_both_found(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying(WeighingRecord(far=-1.0))
    both = {bank(client, encoded(scene(seed), "PNG")): seed for seed in (7, 8)}
    bank(client, encoded(scene(9), "PNG"))
    page = Image.new("RGB", (880, 340), "white")
    page.paste(scene(7), (10, 10))
    page.paste(scene(8), (450, 10))
    found = [each for each in match(client, encoded(page, "PNG"))["matches"] if each["verified"]]
    assert {each["item_id"] for each in found} == set(both)
    for each in found:
        left = min(corner[0] for corner in each["geometry"]["query_quad"])
        assert left == pytest.approx(10 / 880 if both[each["item_id"]] == 7 else 450 / 880, abs=0.02)
        assert each["edits"] == ["inset"]


def test_features_of_another_version_are_not_compared_until_they_are_made_anew(
    verifying: Callable[..., FlaskClient], encoded: Encoded, monkeypatch: pytest.MonkeyPatch
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


def test_damaged_features_are_as_none(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying()
    item_id = ItemId(bank(client, encoded(scene(11), "PNG")))
    (kept,) = client.service.catalog.features.of_items([item_id], EXTRACTOR)[item_id]
    damaged = LocalFeatures(EXTRACTOR, kept.count, kept.data[:-7])
    client.service.catalog.features.put({item_id: {0: damaged}})
    assert {each["verified"] for each in match(client, encoded(softened(11), "PNG"))["matches"]} == {None}


@pytest.mark.parametrize("settings", [{"features": "none"}], indirect=True)
def test_without_kept_features_nothing_is_verified_and_nothing_lowered(
    verifying: Callable[..., FlaskClient], encoded: Encoded
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
    verifying: Callable[..., FlaskClient], encoded: Encoded
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


def test_a_removed_original_is_verified_no_more(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying()
    item_id = bank(client, encoded(scene(12), "PNG"))
    upload = encoded(cropped(scene(12)), "PNG")
    assert match(client, upload)["matches"]
    client.delete(f"/v1/banks/first/items/{item_id}")
    assert match(client, upload)["matches"] == []


def test_frames_of_an_animation_are_verified_where_they_are(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying(WeighingRecord(far=-1.0))
    held = io.BytesIO()
    frames = [scene(seed) for seed in (13, 14, 15)]
    frames[0].save(held, "WEBP", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    bank(client, held.getvalue())
    (found,) = match(client, encoded(cropped(scene(14)), "PNG"))["matches"]
    assert (found["verified"], found["reference_ms"]) == (True, 100)


def test_an_explanation_is_drawn_when_it_is_asked_for(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying(WeighingRecord(near=0.5))
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
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying(WeighingRecord(enough=10_000))
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


def test_what_chance_arranges_is_not_told(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying()
    bank(client, encoded(scene(3), "PNG"))
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["verified"], found["geometry"]) == (False, None)


def test_a_band_of_another_space_is_worth_the_score_that_is_as_rare_in_the_record_s() -> None:
    weighing = bundled_weighing()
    assert weighing is not None
    assert weighing.calibration is not None
    variant, related = weighing.calibration.variant.score, weighing.calibration.related.score
    assert weighing.score(near_by("elsewhere", 0.9)) == variant
    assert weighing.score(near_by("elsewhere", 0.6)) == related
    assert weighing.score(near_by("elsewhere", 0.3)) is None
    assert weighing.score(near_by(weighing.record.embedder_id, 0.3)) == 0.3
    assert Weighing(weighing.record, None).score(near_by("elsewhere", 0.9)) is None


def near_by(space: str, score: float) -> Judged:
    """Of a space with thresholds at 0.8 and 0.5."""
    hit = SemanticHit(item_id=ItemId("item"), query_row=0, score=score, position_ms=0)
    finding = SemanticFinding(SpaceId(space), hit, Thresholds(0.8, 0.5))
    nothing: Any = None
    return Judged(nothing, nothing, same_bytes=False, perceptual=None, perceptual_exact=False, findings=(finding,))


def test_an_original_that_is_gone_from_the_store_is_named_and_the_rest_is_drawn(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying()
    data = encoded(scene(18), "PNG")
    item_id = bank(client, data)
    client.service.originals.delete(hashlib.sha256(data).hexdigest())
    explained = match(client, data, "?explain=true")
    assert explained["verdict"]["band"] == "exact"
    assert explained["explanation"]["missing_originals"] == [item_id]


def test_only_a_single_upload_can_be_explained(verifying: Callable[..., FlaskClient], encoded: Encoded) -> None:
    client = verifying()
    body = {"media": [(io.BytesIO(encoded(scene(1), "PNG")), "a")]}
    refused = client.post("/v1/match/batch?explain=true", data=body)
    assert (refused.status_code, refused.json["type"]) == (422, "/problems/unknown-parameter")


def test_public_interest_that_is_found_in_the_upload_as_surely_caps_what_is_suggested(
    verifying: Callable[..., FlaskClient], encoded: Encoded
) -> None:
    client = verifying(WeighingRecord(far=-1.0))
    client.put("/v1/banks/sure", json={"purpose": "harmful", "settings": {"block_on_semantic": True}})
    client.put("/v1/banks/news", json={"purpose": "public_interest"})
    bank(client, encoded(scene(20, (200, 150)), "PNG"), "sure")
    page = scene(21, (700, 420))
    page.paste(scene(20, (200, 150)), (40, 40))
    upload = encoded(page, "PNG")
    alone = match(client, upload, "?bank=sure")
    assert alone["verdict"]["suggested_action"] == "block"
    bank(client, encoded(scene(21, (700, 420)), "PNG"), "news")
    capped = match(client, upload, "?bank=sure")
    assert [each["verified"] for each in capped["matches"]] == [True]
    assert capped["verdict"]["suggested_action"] == "review"
    assert "public_interest_cap" in capped["verdict"]["reasons"]


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
    verifying: Callable[..., FlaskClient], encoded: Encoded
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
