"""`/v1/match`: the pinned answer, and what is in it."""

import io
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from models.errors import DeadlinePassed
from service.matching.matcher import MatchOptions

SPACE = "toy-0123456789ab"
DIM = 48
PINNED = {
    "request_id", "index_version", "embedder_id", "calibrated", "device", "degraded", "media", "verdict", "matches",
    "sighting_id", "explanation", "timings_ms",
}  # fmt: skip
PINNED_MATCH = {
    "item_id", "bank", "incident", "kind", "labels", "band", "semantic", "perceptual", "verified", "geometry", "edits",
    "query_ms", "reference_ms", "segments",
}  # fmt: skip
MakeBank = Callable[..., str]
Jpeg = Callable[[int], bytes]


def match(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/jpeg")
    assert answer.status_code == 200, answer.text
    return answer.json


def bank(client: FlaskClient, data: bytes, name: str = "first") -> str:
    answer = client.post(f"/v1/banks/{name}/items", data=data, content_type="image/jpeg")
    assert answer.status_code == 201, answer.text
    return str(answer.json["item_id"])


def towards(score: float, axis: int = 0) -> list[float]:
    """A unit embedding whose cosine with that of axis 47 is the score."""
    row = [0.0] * DIM
    row[DIM - 1] = score
    row[axis] = math.sqrt(1 - score * score)
    return row


def ask(client: FlaskClient, query: str = "", **body: object) -> Any:
    answer = client.post(f"/v1/match/embeddings{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json


def bank_embedding(client: FlaskClient, row: list[float], name: str = "first") -> str:
    answer = client.post(f"/v1/banks/{name}/items", json={"embedder_id": SPACE, "embeddings": [row]})
    assert answer.status_code == 201, answer.text
    return str(answer.json["item_id"])


def assert_pinned(answer: Any) -> None:
    assert set(answer) == PINNED
    assert set(answer["media"]) == {"kind", "frames", "duration_ms", "sha256", "low_information"}
    assert set(answer["verdict"]) == {"band", "suggested_action", "reasons"}
    assert set(answer["timings_ms"]) == {"decode", "embed", "search", "verify", "total"}
    for each in answer["matches"]:
        assert set(each) == PINNED_MATCH
        assert each["semantic"] is None or set(each["semantic"]) == {
            "embedder_id",
            "score",
            "threshold",
            "expected_fpr",
        }
        assert each["perceptual"] is None or set(each["perceptual"]) == {"algorithm", "distance", "threshold"}


def test_every_form_of_input_is_answered_with_the_same_object(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank()
    bank(client, jpeg(1))
    bank_embedding(client, towards(1.0))
    raw = match(client, jpeg(1))
    multipart = client.post("/v1/match", data={"media": (io.BytesIO(jpeg(1)), "x.jpg")}).json
    batch = client.post(
        "/v1/match/batch", data={"media": [(io.BytesIO(jpeg(1)), "a"), (io.BytesIO(jpeg(2)), "b")]}
    ).json
    for answer in (raw, multipart, *batch["results"], ask(client, embedder_id=SPACE, embeddings=[towards(0.9)])):
        assert_pinned(answer)
    for answer in (raw, multipart, batch["results"][0]):
        assert answer["verdict"] == {
            "band": "exact",
            "suggested_action": "block",
            "reasons": ["same_bytes", "perceptual_exact", "semantic_variant"],
        }
        (found,) = answer["matches"]
        assert found["perceptual"] == {"algorithm": "pdq", "distance": 0, "threshold": 31}
        assert found["semantic"]["score"] == pytest.approx(1.0, abs=1e-3)


def test_no_match_is_an_answer_with_an_empty_list(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank()
    bank(client, jpeg(1))
    answer = match(client, jpeg(2))
    assert answer["matches"] == []
    assert answer["verdict"] == {"band": "none", "suggested_action": "none", "reasons": []}


def test_a_framed_copy_that_pdq_cannot_see_is_a_variant(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg, encoded: Callable[..., bytes]
) -> None:
    make_bank()
    item_id = bank(client, jpeg(1))
    original = Image.open(io.BytesIO(jpeg(1)))
    cropped = original.crop((14, 8, 154, 116)).resize((200, 160))
    answer = match(client, encoded(cropped, quality=60))
    (found,) = answer["matches"]
    assert (found["item_id"], found["band"]) == (item_id, "variant")
    assert found["perceptual"]["distance"] > 31
    assert found["semantic"]["score"] >= found["semantic"]["threshold"] == 0.8
    assert found["verified"], "by the bundled record, although the space is another"
    assert found["geometry"]["expected_fpr"] is None, "nobody measured a rate in this space"
    assert answer["verdict"]["suggested_action"] == "review"


def test_a_re_encoded_copy_is_exact_by_pdq(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg, encoded: Callable[..., bytes]
) -> None:
    make_bank()
    bank(client, jpeg(1))
    copy = encoded(Image.open(io.BytesIO(jpeg(1))), "PNG")
    answer = match(client, copy)
    assert answer["verdict"]["band"] == "exact"
    assert "same_bytes" not in answer["verdict"]["reasons"]


def test_public_interest_as_near_as_the_harmful_item_caps_the_action(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank("harm")
    make_bank("news", "public_interest")
    bank(client, jpeg(1), "harm")
    assert match(client, jpeg(1))["verdict"]["suggested_action"] == "block"
    bank(client, jpeg(1), "news")
    for query in ("", "?bank=harm"):
        said = match(client, jpeg(1), query)["verdict"]
        assert said["suggested_action"] == "review"
        assert "public_interest_cap" in said["reasons"]
    assert match(client, jpeg(1), "?bank=news")["verdict"]["suggested_action"] == "none"


def test_a_publisher_the_operator_trusts_caps_the_action(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank()
    bank(client, jpeg(1))
    trusted = match(client, jpeg(1), "?publisher=broadcaster.example&context=news")["verdict"]
    assert (trusted["suggested_action"], trusted["reasons"][-1]) == ("review", "public_interest_cap")
    assert match(client, jpeg(1), "?publisher=somebody.example")["verdict"]["suggested_action"] == "block"


def test_a_blank_picture_is_flagged_and_matches_nothing_but_its_own_bytes(
    client: FlaskClient, make_bank: MakeBank, encoded: Callable[..., bytes]
) -> None:
    make_bank()
    black, white = (encoded(Image.new("RGB", (64, 64), colour)) for colour in ("black", "white"))
    refused = client.post("/v1/banks/first/items", data=black, content_type="image/jpeg")
    assert (refused.status_code, refused.json["type"]) == (422, "/problems/low-information")
    assert client.post("/v1/banks/first/items?force=true", data=black, content_type="image/jpeg").status_code == 201
    answer = match(client, white, "?min_band=none")
    assert answer["media"]["low_information"] is True
    assert answer["matches"] == []
    assert answer["verdict"]["reasons"] == ["low_information"]
    assert match(client, black)["verdict"]["reasons"] == ["same_bytes", "low_information"]


def test_a_hash_alone_can_be_banked_and_found(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank()
    bank(client, jpeg(1))
    (seen,) = match(client, jpeg(1))["matches"]
    assert seen["kind"] == "image"
    make_bank("hashes")
    pdq = "f" * 32 + "0" * 32
    item_id = client.post("/v1/banks/hashes/items", json={"pdq": pdq, "labels": {"list": "x"}}).json["item_id"]
    near = pdq[:-1] + "f"
    answer = ask(client, pdq=[near])
    (found,) = answer["matches"]
    assert (found["item_id"], found["kind"], found["labels"]) == (item_id, "signature", {"list": "x"})
    assert found["perceptual"]["distance"] == 4
    assert found["semantic"] is None
    assert answer["media"] == {
        "kind": "signature", "frames": 1, "duration_ms": None, "sha256": None, "low_information": False
    }  # fmt: skip


def test_the_index_version_asked_for_is_waited_for_and_then_refused(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank()
    version = client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg").json["index_version"]
    assert match(client, jpeg(1), f"?min_index_version={version}")["index_version"] >= version
    late = client.post(f"/v1/match?min_index_version={version + 1}", data=jpeg(1), content_type="image/jpeg")
    assert (late.status_code, late.json["type"]) == (503, "/problems/index-behind")
    assert late.headers["Retry-After"]


def test_recording_and_verifying_go_together(client: FlaskClient, jpeg: Jpeg) -> None:
    query = "?record=true&verify=always&platform=example&upload_id=42&observed_at=2026-11-22T10:00:00Z&context=news"
    assert match(client, jpeg(1), query)["sighting_id"] is not None


def test_there_is_no_incident_yet(client: FlaskClient, jpeg: Jpeg) -> None:
    refused = client.post("/v1/match?incident=i-1", data=jpeg(1), content_type="image/jpeg")
    assert (refused.status_code, refused.json["type"]) == (404, "/problems/unknown-incident")


def test_who_comes_too_late_is_dropped_before_it_costs_anything(
    open_service: Callable[..., Any], toy: Callable[..., Any], jpeg: Jpeg
) -> None:
    embedder = toy()
    service = open_service(embedder)
    with pytest.raises(DeadlinePassed):
        service.matcher.match(jpeg(1), MatchOptions(deadline=time.monotonic() - 1))
    assert embedder.embedded == 0


def test_a_bad_file_of_a_batch_fails_alone(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    make_bank()
    item_id = bank(client, jpeg(1))
    files = [
        (io.BytesIO(data), name) for data, name in ((jpeg(1), "a"), (b"nonsense", "b"), (b"", "c"), (jpeg(2), "d"))
    ]
    answer = client.post("/v1/match/batch", data={"media": files}, headers={"X-Request-ID": "b-1"})
    assert answer.status_code == 200
    good, nonsense, empty, other = answer.json["results"]
    assert good["matches"][0]["item_id"] == item_id
    assert other["matches"] == []
    assert (nonsense["status"], nonsense["type"]) == (415, "/problems/unsupported-media")
    assert (empty["status"], empty["type"]) == (400, "/problems/empty-body")
    assert {each.get("request_id") or each["instance"] for each in answer.json["results"]} == {"b-1"}
