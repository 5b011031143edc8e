"""`/v1/match`: which items are found at which scores, and what the thresholds make of them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from models.calibration import Normalisation
from service.app import create_app

SPACE = "toy-0123456789ab"
DIM = 48
MakeBank = Callable[..., str]


def towards(score: float, axis: int = 0) -> list[float]:
    """A unit embedding whose cosine with that of axis 47 is the score."""
    row = [0.0] * DIM
    row[DIM - 1] = score
    row[axis] = math.sqrt(1 - score * score)
    return row


def along(first: float, second: float) -> list[float]:
    """A unit embedding with these shares of two axes, and the rest in a third."""
    return [first, second, math.sqrt(max(0.0, 1 - first**2 - second**2))] + [0.0] * (DIM - 3)


def ask(client: FlaskClient, query: str = "", **body: object) -> Any:
    answer = client.post(f"/v1/match/embeddings{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json


def bank_embedding(client: FlaskClient, row: list[float], name: str = "first") -> str:
    answer = client.post(f"/v1/banks/{name}/items", json={"embedder_id": SPACE, "embeddings": [row]})
    assert answer.status_code == 201, answer.text
    return str(answer.json["item_id"])


def test_matches_come_best_first_one_for_each_item_and_no_more_than_k(client: FlaskClient, make_bank: MakeBank) -> None:
    make_bank()
    scores = [0.65, 0.95, 0.7, 0.85, 0.5]
    by_score = {score: bank_embedding(client, towards(score, axis)) for axis, score in enumerate(scores)}
    query = towards(1.0)
    found = ask(client, embedder_id=SPACE, embeddings=[query, query])["matches"]
    assert [each["item_id"] for each in found] == [by_score[score] for score in (0.95, 0.85, 0.7, 0.65)]
    assert [each["band"] for each in found] == ["variant", "variant", "related", "related"]
    assert [each["item_id"] for each in ask(client, "?k=2", embedder_id=SPACE, embeddings=[query])["matches"]] == [
        by_score[0.95],
        by_score[0.85],
    ]


@pytest.mark.parametrize(
    ("least", "bands"),
    [
        ("none", ["variant", "related", "none"]),
        ("related", ["variant", "related"]),
        ("variant", ["variant"]),
        ("exact", []),
    ],
)
def test_min_band_decides_what_is_listed_and_judged(
    client: FlaskClient, make_bank: MakeBank, least: str, bands: list[str]
) -> None:
    make_bank()
    for axis, score in enumerate((0.9, 0.7, 0.1)):
        bank_embedding(client, towards(score, axis))
    answer = ask(client, f"?min_band={least}", embedder_id=SPACE, embeddings=[towards(1.0)])
    assert [each["band"] for each in answer["matches"]] == bands
    assert answer["verdict"]["band"] == (bands[0] if bands else "none")


def test_a_bank_s_own_threshold_decides_for_its_items_and_is_not_crowded_out(
    client: FlaskClient, make_bank: MakeBank
) -> None:
    make_bank("strict")
    make_bank("loose", variant_score=0.3, related_score=0.2)
    for axis in range(5):
        bank_embedding(client, towards(0.5, axis), "strict")
    loose = bank_embedding(client, towards(0.35, 9), "loose")
    (found,) = ask(client, "?k=2", embedder_id=SPACE, embeddings=[towards(1.0)])["matches"]
    assert (found["item_id"], found["band"]) == (loose, "variant")
    assert (found["semantic"]["threshold"], found["semantic"]["expected_fpr"]) == (0.3, None)


def test_what_is_suggested_does_not_hang_on_how_many_matches_are_asked_for(
    client: FlaskClient, make_bank: MakeBank
) -> None:
    make_bank("looked-at")
    make_bank("sure", block_on_semantic=True)
    bank_embedding(client, towards(0.95, 0), "looked-at")
    bank_embedding(client, towards(0.9, 1), "sure")
    for k in (1, 5):
        answer = ask(client, f"?k={k}", embedder_id=SPACE, embeddings=[towards(1.0)])
        assert (len(answer["matches"]), answer["verdict"]["suggested_action"]) == (min(k, 2), "block")


def test_a_row_with_a_higher_threshold_does_not_make_public_interest_look_nearer(
    open_service: Callable[..., Any], toy: Callable[..., Any]
) -> None:
    embedder = toy()
    background = np.asarray([along(0.0, 1.0)], np.float32)  # near the second row alone: its threshold is 0.2 higher
    record = replace(embedder.space.calibration, normalisation=Normalisation(0.25, 1, background))
    embedder.space = replace(embedder.space, calibration=record)
    client = create_app(open_service(embedder)).test_client()
    client.put("/v1/banks/harm", json={"purpose": "harmful", "settings": {"block_on_semantic": True}})
    client.put("/v1/banks/news", json={"purpose": "public_interest"})
    bank_embedding(client, along(math.sqrt(0.75), 0.5), "harm")
    bank_embedding(client, along(0.75, 0.5625), "news")
    answer = ask(client, embedder_id=SPACE, embeddings=[along(1.0, 0.0), along(0.6, 0.8)])
    assert answer["matches"][0]["semantic"]["score"] == pytest.approx(0.866, abs=1e-3)  # of the first row
    assert answer["verdict"]["suggested_action"] == "block"  # the second is at 0.92 from it, and at 0.90 from the news


def test_only_the_banks_asked_for_are_looked_in(client: FlaskClient, make_bank: MakeBank) -> None:
    make_bank("one")
    make_bank("two")
    bank_embedding(client, towards(0.9, 0), "one")
    second = bank_embedding(client, towards(0.85, 1), "two")
    found = ask(client, "?bank=two", embedder_id=SPACE, embeddings=[towards(1.0)])["matches"]
    assert [each["item_id"] for each in found] == [second]
    assert len(ask(client, "?bank=two&bank=one", embedder_id=SPACE, embeddings=[towards(1.0)])["matches"]) == 2
    assert client.post("/v1/match/embeddings?bank=three", json={"pdq": ["0" * 64]}).status_code == 404


def test_an_uncalibrated_space_says_so_and_uses_the_operator_s_thresholds(
    open_service: Callable[..., Any], toy: Callable[..., Any]
) -> None:
    client = create_app(open_service(toy(calibrated=False))).test_client()
    client.put("/v1/banks/first", json={"purpose": "harmful", "settings": {"block_on_semantic": True}})
    bank_embedding(client, towards(0.95))
    answer = ask(client, embedder_id=SPACE, embeddings=[towards(1.0)])
    assert answer["calibrated"] is False
    assert answer["verdict"] == {
        "band": "variant", "suggested_action": "review", "reasons": ["semantic_variant", "uncalibrated"]
    }  # fmt: skip
    assert answer["matches"][0]["semantic"]["threshold"] == 0.92


def test_an_item_is_found_by_whichever_space_sees_it(open_service: Callable[..., Any], toy: Callable[..., Any]) -> None:
    client = create_app(open_service(toy(), toy("second-0123456789ab"))).test_client()
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    body = {"embedder_id": "second-0123456789ab", "embeddings": [towards(0.9)]}
    item_id = client.post("/v1/banks/first/items", json=body).json["item_id"]
    assert ask(client, **(body | {"embeddings": [towards(1.0)]}))["matches"][0]["item_id"] == item_id
    assert ask(client, embedder_id=SPACE, embeddings=[towards(1.0)])["matches"] == []
    assert client.get(f"/v1/banks/first/items/{item_id}").json["spaces"] == ["second-0123456789ab"]
