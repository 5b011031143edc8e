"""News of an event stays up; whoever puts a logo over the footage is no news."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageDraw, ImageFont

from models.geometry import Location
from service.matching.likeness import is_rather

Encoded = Callable[..., bytes]
SIZE = (640, 360)
RED = (190, 25, 30)
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def footage(seed: int) -> Image.Image:
    """Corners everywhere, as in a photograph."""
    dice = np.random.default_rng(seed)
    image = Image.fromarray(dice.integers(0, 256, (5, 8, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(260):
        x, y = int(dice.integers(0, SIZE[0])), int(dice.integers(0, SIZE[1]))
        left, up, right, down = (int(each) for each in dice.integers(3, 24, 4))
        shape = [(x - left, y), (x, y - up), (x + right, y), (x, y + down)]
        draw.polygon(shape, fill=tuple(int(value) for value in dice.integers(0, 256, 3)))
    return image


def with_logo(picture: Image.Image, name: str, colour: tuple[int, int, int] = RED) -> Image.Image:
    shown = picture.copy()
    draw = ImageDraw.Draw(shown)
    draw.rectangle((20, 16, 130, 56), fill=colour)
    draw.text((30, 20), name, font=ImageFont.load_default(size=26), fill=(255, 255, 255))
    return shown


def broadcast(picture: Image.Image) -> Image.Image:
    """Under a logo and a lower third."""
    shown = with_logo(picture, "KANAL")
    draw = ImageDraw.Draw(shown)
    draw.rectangle((0, 262, SIZE[0], 336), fill=(16, 24, 60))
    draw.text((20, 270), "POLICE CONFIRM ATTACK IN CITY", font=ImageFont.load_default(size=30), fill=(255, 255, 255))
    draw.text((20, 306), "MAYOR: DO NOT SHARE FOOTAGE", font=ImageFont.load_default(size=22), fill=(255, 220, 0))
    return shown


@pytest.fixture
def newsroom(client: FlaskClient, encoded: Encoded) -> FlaskClient:
    """The footage is of a confirmed incident, and a broadcast of it is banked as public interest."""
    for bank, purpose, picture in (
        ("footage", "harmful", footage(1)),
        ("news", "public_interest", broadcast(footage(1))),
    ):
        client.put(f"/v1/banks/{bank}", json={"purpose": purpose})
        data = encoded(picture, quality=92)
        assert client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg").status_code == 201
    opened = client.post(
        "/v1/incidents",
        json={
            "name": "attack",
            "type": "exercise",
            "banks": ["footage", "news"],
            "thresholds": {"variant_score": 0.3, "related_score": 0.2},  # so that a broadcast too would be blocked
        },
    )
    for to, participant in (("assessing", None), ("confirmed", "north"), ("confirmed", "south")):
        wish = {"to": to, "reason": "tested", "participant": participant}
        client.post(f"/v1/incidents/{opened.get_json()['incident_id']}/transitions", json=wish)
    return client


def verdict(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/jpeg")
    assert answer.status_code == 200, answer.text
    return answer.get_json()["verdict"]


@pytest.mark.parametrize(("scale", "quality"), [(1.0, 60), (0.6, 80)])
def test_a_recorded_broadcast_is_for_people_to_look_at(
    newsroom: FlaskClient, encoded: Encoded, scale: float, quality: int
) -> None:
    shown = broadcast(footage(1))
    seen = shown.resize((int(SIZE[0] * scale), int(SIZE[1] * scale)))
    said = verdict(newsroom, encoded(seen, quality=quality))
    assert said["suggested_action"] == "review"
    assert "public_interest_cap" in said["reasons"]


def test_the_footage_itself_is_no_news_whatever_versions_of_it_are_banked(
    newsroom: FlaskClient, encoded: Encoded
) -> None:
    """Of a version under somebody's logo it is less like than of the broadcast, and of the footage it is the most."""
    version = encoded(with_logo(footage(1), "MINE", (20, 160, 20)), quality=90)
    newsroom.post("/v1/banks/footage/items", data=version, content_type="image/jpeg")
    for upload in (encoded(footage(1), quality=92), encoded(footage(1), quality=55)):
        said = verdict(newsroom, upload)
        assert (said["suggested_action"], "public_interest_cap" in said["reasons"]) == ("block", False)


@pytest.mark.parametrize("name", ["TV-24", "NEWS"])
def test_the_footage_under_a_fake_logo_is_not_news(newsroom: FlaskClient, encoded: Encoded, name: str) -> None:
    """In the same corner and colour as the channel's: by score and hash it is as near the broadcast."""
    said = verdict(newsroom, encoded(with_logo(footage(1), name), quality=80))
    assert said["suggested_action"] == "block"
    assert "public_interest_cap" not in said["reasons"]


def test_without_a_look_what_is_as_near_by_score_or_hash_is_left_up(newsroom: FlaskClient, encoded: Encoded) -> None:
    said = verdict(newsroom, encoded(broadcast(footage(1)), quality=70), "?verify=never")
    assert said["suggested_action"] != "block"


def test_a_declared_context_alone_caps_nothing(newsroom: FlaskClient, encoded: Encoded) -> None:
    data = encoded(footage(1), quality=80)
    assert verdict(newsroom, data, "?context=news&publisher=somebody")["suggested_action"] == "block"
    assert verdict(newsroom, data, "?publisher=broadcaster.example")["suggested_action"] == "review"


def located(**given: Any) -> Location:
    plain = dict.fromkeys((each.name for each in fields(Location)), 0) | {"query_quad": WHOLE, "coverage": 1.0}
    return Location(**(plain | {"seen": 300, "alike": 300} | given))  # type: ignore[arg-type]


LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("news", "item", "is_news"),
    [
        ({}, {"alike": 280}, True),  # a broadcast, over the footage that fills it
        ({}, {}, None),  # its graphics hide nothing that could be told: score and hash decide
        ({"alike": 298}, {}, None),
        ({}, {"query_quad": LEFT_HALF}, True),  # a window in a studio
        ({"alike": 290}, {}, False),  # another's logo at the place of the channel's
        ({"alike": 280}, {"alike": 250}, True),  # both suffered from being recorded
        ({"coverage": 0.43, "seen": 90, "alike": 90}, {"coverage": 0.4}, False),  # the window alone
        ({"seen": 0, "alike": 0}, {}, False),
        ({"query_quad": ((2.0, 2.0), (3.0, 2.0), (3.0, 3.0), (2.0, 3.0)), "alike": 200}, {}, False),
    ],
)
def test_a_copy_of_a_broadcast_shows_what_is_the_channels_own(news: Any, item: Any, *, is_news: bool | None) -> None:
    assert is_rather(located(**news), located(**item)) is is_news
