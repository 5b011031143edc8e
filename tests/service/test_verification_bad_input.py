"""What must not be verified, through the interface and with the bundled model: what unrelated pictures share."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageDraw, ImageFont

from service.app import create_app
from service.runtime import Runtime
from service.settings import load_settings

SURE = {"exact", "variant"}
WORDS = [
    "sixty",
    "zippers",
    "were",
    "quickly",
    "picked",
    "from",
    "the",
    "woven",
    "jute",
    "bag",
    "while",
    "pack",
    "my",
    "box",
    "with",
    "five",
    "dozen",
    "liquor",
    "jugs",
]


def scene(seed: int, size: tuple[int, int] = (420, 320)) -> Image.Image:
    """Many small shapes on soft colours."""
    dice = np.random.default_rng(seed)
    image = Image.fromarray(dice.integers(0, 256, (5, 7, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        x, y = (int(dice.integers(0, side)) for side in size)
        left, up, right, down = (int(value) for value in dice.integers(3, 26, 4))
        colour = tuple(int(value) for value in dice.integers(0, 256, 3))
        draw.polygon([(x - left, y), (x, y - up), (x + right, y), (x, y + down)], fill=colour)
    return image


def logo(side: int = 64) -> Image.Image:
    image = Image.new("RGB", (side, side), (20, 60, 160))
    draw = ImageDraw.Draw(image)
    draw.ellipse((6, 6, side - 6, side - 6), outline="white", width=5)
    draw.polygon([(side // 2, 14), (side - 16, side - 18), (16, side - 18)], fill=(250, 210, 40))
    draw.text((side // 2, side // 2 + 4), "ACME", font=ImageFont.load_default(13), anchor="mm", fill="black")
    return image


def wall(columns: int, rows: int, side: int) -> Image.Image:
    image = Image.new("RGB", (columns * side, rows * side), "white")
    for column in range(columns):
        for row in range(rows):
            image.paste(logo(side), (column * side, row * side))
    return image


def branded(seed: int) -> Image.Image:
    image = scene(seed)
    image.paste(logo(), (346, 246))
    return image


def page(seed: int) -> Image.Image:
    """Nothing but text."""
    dice = np.random.default_rng(seed)
    image = Image.new("RGB", (480, 360), "white")
    draw = ImageDraw.Draw(image)
    for line in range(14):
        text = " ".join(dice.choice(WORDS, 8))
        draw.text((20, 14 + 24 * line), text, font=ImageFont.load_default(17), fill="black")
    return image


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (300, 400, 3), np.uint8))


def screenshot(seed: int) -> Image.Image:
    """One app's screen: all of it but the picture in the middle and the numbers is the same every time."""
    image = Image.new("RGB", (270, 480), (250, 250, 252))
    draw = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(15), ImageFont.load_default(11)
    draw.rectangle((0, 0, 270, 18), fill=(20, 20, 24))
    draw.text((8, 3), "12:41", font=small, fill="white")
    draw.text((222, 3), "5G  87%", font=small, fill="white")
    draw.rectangle((0, 18, 270, 62), fill=(35, 92, 210))
    draw.text((14, 30), "photogram", font=font, fill="white")
    for place in range(3):
        draw.ellipse((190 + 26 * place, 32, 208 + 26 * place, 50), outline="white", width=3)
    for place in range(5):
        draw.ellipse((10 + 52 * place, 70, 50 + 52 * place, 110), fill=(240, 120 + 20 * place, 60), outline="black")
    image.paste(scene(seed, (270, 200)), (0, 140))
    draw.text((12, 120), "someone you may know", font=small, fill="black")
    for place, shape in enumerate(("heart", "reply", "send", "save")):
        draw.polygon([(14 + 60 * place, 352), (30 + 60 * place, 346), (38 + 60 * place, 366)], outline="black")
        draw.text((44 + 60 * place, 350), shape, font=small, fill="black")
    draw.text((12, 380), f"{seed * 37 % 1000} likes", font=small, fill="black")
    for place, word in enumerate(("home", "search", "post", "inbox", "me")):
        draw.rectangle((8 + 53 * place, 440, 48 + 53 * place, 472), outline=(60, 60, 70), width=2)
        draw.text((14 + 53 * place, 450), word, font=small, fill="black")
    return image


def saved(image: Image.Image) -> bytes:
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The bundled model and its verification, over a bank of everything that other pictures share."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("bad"), log_level="error", decode_processes=1)
    with Runtime.open(settings) as runtime:
        client = create_app(runtime).test_client()
        client.put("/v1/banks/first", json={"purpose": "harmful"})
        banked = (
            [screenshot(seed) for seed in range(6)] + [page(seed) for seed in range(3)] + [noise(1), wall(6, 4, 64)]
        )
        banked += [branded(seed) for seed in range(10, 14)] + [scene(seed) for seed in range(40, 44)]
        for image in banked:
            answer = client.post("/v1/banks/first/items", data=saved(image), content_type="image/png")
            assert answer.status_code == 201, answer.text
        yield client


def asked(client: FlaskClient, image: Image.Image, query: str = "verify=always") -> Any:
    answer = client.post(f"/v1/match?{query}", data=saved(image), content_type="image/png")
    assert answer.status_code == 200, answer.text
    return answer.json


@pytest.mark.parametrize("verify", ["auto", "always"])
@pytest.mark.parametrize(
    "upload",
    [
        pytest.param(lambda: Image.new("RGB", (400, 300), "white"), id="blank"),
        pytest.param(lambda: Image.new("RGB", (1, 1), "red"), id="one pixel"),
        pytest.param(lambda: scene(50).resize((12, 9)), id="tiny"),
        pytest.param(lambda: scene(51, (5000, 40)), id="very wide"),
        pytest.param(lambda: page(70), id="text alone"),
        pytest.param(lambda: noise(71), id="noise"),
        pytest.param(lambda: wall(4, 5, 80), id="the same logo, another wall"),
        pytest.param(lambda: branded(72), id="another picture with the same logo"),
        pytest.param(lambda: screenshot(73), id="another screen of the same app"),
        pytest.param(lambda: screenshot(74), id="one more screen of the same app"),
        pytest.param(lambda: scene(75), id="another picture of the same kind"),
    ],
)
def test_what_unrelated_pictures_share_verifies_nothing(
    client: FlaskClient, upload: Callable[[], Image.Image], verify: str
) -> None:
    answer = asked(client, upload(), f"verify={verify}")
    assert [(each["band"], each["geometry"]) for each in answer["matches"] if each["verified"]] == []
    assert [each for each in answer["matches"] if each["band"] in SURE] == []


def test_two_originals_in_one_upload_are_both_found(client: FlaskClient) -> None:
    both = Image.new("RGB", (880, 340), (12, 12, 12))
    both.paste(scene(40), (10, 10))
    both.paste(scene(42), (450, 10))
    found = [each for each in asked(client, both)["matches"] if each["verified"]]
    assert len({each["item_id"] for each in found}) == 2


def test_a_screen_is_verified_against_itself_however_it_was_cut(client: FlaskClient) -> None:
    found = asked(client, screenshot(3).crop((0, 90, 270, 470)))["matches"]
    assert found
    assert found[0]["verified"] is True
    assert found[0]["edits"] == ["cropped"]


def test_too_many_pixels_are_refused_before_anything_is_looked_at(client: FlaskClient) -> None:
    answer = client.post(
        "/v1/match?verify=always", data=saved(Image.new("1", (20_000, 6_000))), content_type="image/png"
    )
    assert answer.json["type"] == "/problems/too-many-pixels"
