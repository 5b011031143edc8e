"""What is found in an upload with certainty, what that makes of its band, and where nobody looks."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageOps

from index.records.hits import SemanticHit
from index.records.items import ItemId
from index.records.spaces import SpaceId
from service.matching.policy import Judged, SemanticFinding, Thresholds
from service.matching.verification import Weighing, bundled_weighing

Encoded = Callable[..., bytes]
RecordOf = Callable[..., Any]  # of conftest.py
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


def test_a_crop_that_the_score_misses_is_found_and_says_where_it_lies(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, cropped: Cropped
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


def test_a_mirrored_copy_is_told_as_such(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    client = verifying(record(far=-1.0))
    bank(client, encoded(scene(2), "PNG"))
    (found,) = match(client, encoded(ImageOps.mirror(scene(2)), "PNG"))["matches"]
    assert found["geometry"]["mirrored"] is True
    assert "mirrored" in found["edits"]
    # The original's left corners are on the right of the upload.
    assert np.asarray(found["geometry"]["query_quad"])[:, 0] == pytest.approx([1, 0, 0, 1], abs=0.02)


@pytest.mark.parametrize("turn", [lambda image: image, ImageOps.mirror, ImageOps.flip], ids=["same", "mirror", "flip"])
def test_an_untouched_picture_is_seen_as_a_whole(
    verifying: Callable[..., FlaskClient],
    encoded: Encoded,
    turn: Callable[[Image.Image], Image.Image],
    record: RecordOf,
    scene: Scene,
) -> None:
    client = verifying(record(far=-1.0))
    bank(client, encoded(scene(2), "PNG"))
    (found,) = match(client, encoded(turn(scene(2)), "PNG"), "?verify=always")["matches"]
    assert found["geometry"]["coverage"] == pytest.approx(1.0, abs=0.02)
    assert "cropped" not in found["edits"]


def test_what_is_near_but_not_the_same_is_related_and_no_copy(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, softened: Scene
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
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene, softened: Scene
) -> None:
    client = verifying(record(embedder_id="elsewhere"))
    item_id = bank(client, encoded(scene(3), "PNG"))
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["item_id"], found["band"], found["verified"]) == (item_id, "related", False)
    (found,) = match(client, encoded(scene(3).crop((10, 8, 410, 312)), "PNG"))["matches"]
    assert (found["band"], found["verified"]) in {("variant", True), ("exact", None)}


def test_a_bank_s_own_threshold_has_the_last_word(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, softened: Scene
) -> None:
    client = verifying()
    settings = {"variant_score": 0.7}
    client.put("/v1/banks/loose", json={"purpose": "harmful", "settings": settings})
    bank(client, encoded(scene(3), "PNG"), "loose")
    (found,) = match(client, encoded(softened(3), "PNG"))["matches"]
    assert (found["band"], found["verified"]) == ("variant", False)


def test_the_clearly_near_and_the_clearly_far_are_not_looked_at(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    client = verifying(record(near=0.95))
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
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    """Else whoever floods a service with look-alikes of an item would have its clear copies held for review."""
    client = verifying(record(near=0.95))
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


def test_two_originals_in_one_upload_are_both_found(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    client = verifying(record(far=-1.0))
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


def test_frames_of_an_animation_are_verified_where_they_are(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene, cropped: Cropped
) -> None:
    client = verifying(record(far=-1.0))
    held = io.BytesIO()
    frames = [scene(seed) for seed in (13, 14, 15)]
    frames[0].save(held, "WEBP", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    bank(client, held.getvalue())
    (found,) = match(client, encoded(cropped(scene(14)), "PNG"))["matches"]
    assert (found["verified"], found["reference_ms"]) == (True, 100)


def test_what_chance_arranges_is_not_told(
    verifying: Callable[..., FlaskClient], encoded: Encoded, scene: Scene, softened: Scene
) -> None:
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


def test_public_interest_that_is_found_in_the_upload_as_surely_caps_what_is_suggested(
    verifying: Callable[..., FlaskClient], encoded: Encoded, record: RecordOf, scene: Scene
) -> None:
    client = verifying(record(far=-1.0))
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
