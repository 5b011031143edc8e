"""Low information: blank and nearly blank pictures are flagged, pictures of something are not."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from models.media import information
from models.media.information import low_information

Scene = Callable[..., Image.Image]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 90, 200)])
def test_a_uniform_picture_is_flagged(colour: tuple[int, int, int]) -> None:
    assert low_information(Image.new("RGB", (300, 200), colour))


def test_noise_on_a_blank_picture_is_flagged() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    assert low_information(Image.fromarray(noise))


@pytest.mark.parametrize("vertical", [False, True])
def test_flat_bands_are_flagged(vertical: bool) -> None:  # noqa: FBT001 a pytest parameter
    bands = np.zeros((240, 240, 3), np.uint8)
    for place, colour in ((0, (200, 20, 30)), (80, (240, 240, 240)), (160, (20, 40, 160))):
        bands[place : place + 80] = colour
    assert low_information(Image.fromarray(bands.transpose(1, 0, 2) if vertical else bands))


@pytest.mark.parametrize("slope", [(1, 0), (0, 1), (1, 1), (2, -1)])
def test_a_smooth_shade_is_flagged(slope: tuple[int, int]) -> None:
    y, x = np.mgrid[0:256, 0:256]
    shade = slope[0] * x + slope[1] * y
    shade = 255 * (shade - shade.min()) / np.ptp(shade)
    assert low_information(Image.fromarray(np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)))


def test_a_few_words_on_an_empty_card_are_flagged() -> None:
    card = Image.new("RGB", (512, 288), (0, 0, 0))
    ImageDraw.Draw(card).text((200, 140), "To be continued", fill=(255, 255, 255), font=ImageFont.load_default(16))
    assert low_information(card)


@pytest.mark.parametrize("size", [(1, 1), (10_000, 2), (15, 400)])
def test_a_sliver_is_flagged_whatever_it_shows(scene: Scene, size: tuple[int, int]) -> None:
    assert low_information(scene(*size))


def test_a_picture_of_something_is_not_flagged(scene: Scene) -> None:
    assert not any(low_information(scene(seed=seed)) for seed in range(20))


def test_an_object_on_a_plain_ground_is_not_flagged(scene: Scene) -> None:
    shop = Image.new("RGB", (400, 400), (255, 255, 255))
    shop.paste(scene(120, 140), (140, 120))
    assert not low_information(shop)


def test_a_faint_picture_is_not_flagged(scene: Scene) -> None:
    faint = np.asarray(scene()).astype(float) * 0.5 + 60
    assert not low_information(Image.fromarray(faint.astype(np.uint8)))


def test_the_largest_of_three_colours_is_what_numpy_says_it_is() -> None:
    levels = np.random.default_rng(4).normal(0, 40, (64, 63, 3)).astype(np.float32)
    assert np.array_equal(information._largest(levels), levels.max(axis=2))  # noqa: SLF001 - a faster way, bit for bit
