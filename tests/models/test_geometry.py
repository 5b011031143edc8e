"""Where one picture lies in another: found where it does, and not where pictures only share something."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import models
from models.features import Features, extract, extract_query, from_bytes, to_bytes
from models.geometry import Location, Model, Quad, locate, locate_each
from models.verification import FILE, Evidence, VerificationRecord

Place = Callable[[float, float], tuple[float, float]]
STRONG, WEAK = 15.0, 6.0
RECORD = VerificationRecord.load(Path(models.__file__).parent / "bundled" / FILE)


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Overlapping shapes of many sizes and colours, softened as by a lens."""
    dice = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height), tuple(dice.integers(40, 216, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for size in (70, 40, 22, 12):
        for _ in range(1200 // size):
            x, y = dice.uniform(-10, width), dice.uniform(-10, height)
            wide, high = dice.uniform(0.4, 1.3, 2) * size
            colour = tuple(dice.integers(0, 256, 3).tolist())
            if dice.random() < 0.5:
                draw.ellipse((x, y, x + wide, y + high), fill=colour)
            else:
                draw.polygon([(x + a * wide, y + b * high) for a, b in dice.uniform(0, 1, (4, 2))], fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def banked(picture: Image.Image) -> Features:
    return from_bytes(to_bytes(extract(np.asarray(picture))))


def asked(picture: Image.Image) -> Features:
    return extract_query(np.asarray(picture.convert("RGB")))


def found(query: Image.Image, reference: Image.Image) -> Location:
    location = locate(asked(query), banked(reference))
    assert location is not None
    assert location.weight >= STRONG
    return location


def near(quad: Quad, expected: list[tuple[float, float]], tolerance: float = 0.02) -> None:
    assert np.abs(np.array(quad) - np.array(expected)).max() < tolerance, (quad, expected)


def test_a_picture_lies_in_itself() -> None:
    location = found(scene(1), scene(1))
    near(location.query_quad, [(0, 0), (1, 0), (1, 1), (0, 1)], 0.005)
    near(location.reference_quad, [(0, 0), (1, 0), (1, 1), (0, 1)], 0.005)
    assert location.model is Model.SIMILARITY
    assert not location.mirrored
    assert location.coverage == pytest.approx(1, abs=0.02)
    assert location.agreement > 0.95
    assert abs(location.rotation_deg) < 0.5
    assert location.scale == pytest.approx(1, abs=0.01)


def test_a_crop_shows_a_part_and_the_corners_of_the_original_lie_outside() -> None:
    location = found(scene(1).crop((80, 60, 280, 210)), scene(1))
    near(location.query_quad, [(-0.4, -0.4), (1.2, -0.4), (1.2, 1.2), (-0.4, 1.2)])
    near(location.reference_quad, [(0.25, 0.25), (0.875, 0.25), (0.875, 0.875), (0.25, 0.875)])
    assert location.coverage == pytest.approx(0.39, abs=0.02)


def test_a_mirror_image_is_told_in_the_coordinates_of_the_upload() -> None:
    mirrored = scene(1).crop((0, 0, 240, 240)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    location = found(mirrored, scene(1))
    assert location.mirrored
    near(location.query_quad, [(1, 0), (-1 / 3, 0), (-1 / 3, 1), (1, 1)])
    near(location.reference_quad, [(0.75, 0), (0, 0), (0, 1), (0.75, 1)])
    shown = location.query_points @ np.diag([240, 240])
    there = location.reference_points @ np.diag([320, 240])
    assert np.abs(240 - shown[:, 0] - there[:, 0]).max() < 6


@pytest.mark.parametrize("degrees", [-90, -20, 45, 180])
def test_a_turn_is_told_clockwise(degrees: int) -> None:
    location = found(scene(1).rotate(-degrees, Image.Resampling.BICUBIC, expand=True), scene(1))
    assert math.cos(math.radians(location.rotation_deg - degrees)) > 0.999
    assert location.scale == pytest.approx(1, abs=0.03)


def test_what_a_turn_filled_up_is_not_held_against_the_copy() -> None:
    part = scene(1).crop((30, 20, 290, 220)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    location = found(part.rotate(8, Image.Resampling.BICUBIC), scene(1))
    assert location.mirrored
    assert location.agreement > 0.93
    assert location.disputed < 0.03


def test_something_else_in_the_middle_is_disputed() -> None:
    covered = scene(1)
    covered.paste(scene(5, 160, 120), (80, 60))
    location = found(covered, scene(1))
    assert location.disputed > 0.12
    assert location.agreement < 0.85


def test_an_inset_on_another_picture_is_found_there() -> None:
    back = scene(2, 480, 360)
    back.paste(scene(1).resize((240, 180), Image.Resampling.BICUBIC), (200, 40))
    location = found(back, scene(1))
    near(location.query_quad, [(200 / 480, 1 / 9), (440 / 480, 1 / 9), (440 / 480, 220 / 360), (200 / 480, 220 / 360)])
    assert location.scale == pytest.approx(0.75, abs=0.03)
    assert location.coverage > 0.95


def test_two_originals_in_one_upload_are_both_found() -> None:
    upload = Image.new("RGB", (640, 240))
    upload.paste(scene(1), (0, 0))
    upload.paste(scene(2), (320, 0))
    left, right = locate_each(asked(upload), [banked(scene(1)), banked(scene(2))])
    assert left is not None
    assert right is not None
    near(left.query_quad, [(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
    near(right.query_quad, [(0.5, 0), (1, 0), (1, 1), (0.5, 1)])


def test_a_stretch_and_a_slant_need_looser_movements() -> None:
    assert found(scene(1).resize((480, 240), Image.Resampling.BICUBIC), scene(1)).model is Model.AFFINE
    terms = (0.85, 0.08, 12, -0.05, 0.9, 18, 0.0004, -0.0003)  # from the upload's pixels to the original's
    slanted = scene(1).transform((320, 240), Image.Transform.PERSPECTIVE, terms, Image.Resampling.BICUBIC)
    location = found(slanted, scene(1))
    expected = []
    for x, y in ((0, 0), (320, 0), (320, 240), (0, 240)):
        depth = terms[6] * x + terms[7] * y + 1
        left, top = (terms[0] * x + terms[1] * y + terms[2]) / depth, (terms[3] * x + terms[4] * y + terms[5]) / depth
        expected.append((left / 320, top / 240))
    assert location.model is Model.HOMOGRAPHY
    near(location.reference_quad, expected)


@pytest.mark.parametrize("seed", range(4))
def test_unrelated_pictures_share_no_arrangement_worth_anything(seed: int) -> None:
    location = locate(asked(scene(10 + seed)), banked(scene(20 + seed)))
    assert location is None or location.weight < WEAK


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8))


def writing(words: str) -> Image.Image:
    page = Image.new("RGB", (320, 240), "white")
    draw = ImageDraw.Draw(page)
    for line in range(9):
        shifted = words[7 * line % len(words) :] + words
        draw.text((12, 10 + 25 * line), shifted[:34], fill="black", font_size=16)
    return page


FIRST = "the quick brown fox jumps over the lazy dog while nobody watches "
OTHER = "pack my box with five dozen liquor jugs and send them away today "


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (noise(1), noise(2)),
        (Image.new("RGB", (320, 240)), Image.new("RGB", (320, 240))),
        (Image.new("RGB", (320, 240)), scene(1)),
        (noise(1), scene(1)),
        (Image.new("RGB", (2, 2)), scene(1)),
    ],
    ids=["noise", "blank", "blank and scene", "noise and scene", "speck"],
)
def test_pictures_of_nothing_are_not_located(one: Image.Image, other: Image.Image) -> None:
    location = locate(asked(one), banked(other))
    assert location is None or location.weight < WEAK


def phone(seed: int) -> Image.Image:
    """A page of one app: the same bars and buttons around another picture and other words."""
    page = Image.new("RGB", (320, 480), (250, 250, 250))
    draw = ImageDraw.Draw(page)
    draw.text((10, 6), "12:45", fill="black", font_size=16)
    draw.text((60, 40), "Followers and friends", fill="black", font_size=18)
    for place in range(5):
        draw.ellipse((20 + 60 * place, 340, 50 + 60 * place, 370), outline="black", width=3)
        draw.rectangle((24 + 60 * place, 446, 46 + 60 * place, 468), outline="black", width=3)
    draw.text((14, 380), (FIRST if seed % 2 else OTHER)[seed : seed + 30], fill="black", font_size=16)
    page.paste(scene(seed, 320, 260), (0, 70))
    return page


def test_pages_of_one_app_agree_in_their_bars_alone() -> None:
    apart = locate(asked(phone(31)), banked(phone(32)))
    same = found(phone(31), phone(31))
    assert same.agreement > 0.95
    assert apart is None or apart.agreement < 0.85
    assert apart is None or apart.disputed > 0.1
    assert apart is None or RECORD.judged(Evidence(0.7, 90, looked=True, location=apart)) != "variant"
    assert RECORD.judged(Evidence(0.7, 90, looked=True, location=same)) == "variant"


def test_pages_of_one_way_of_writing_are_not_copies() -> None:
    """Their lines lie on each other, and a descriptor of pictures takes them for one."""
    location = locate(asked(writing(FIRST)), banked(writing(OTHER)))
    assert RECORD.judged(Evidence(0.95, 100, looked=True, location=location)) != "variant"


def test_a_wall_of_one_logo_agrees_with_another_picture_of_the_logo_in_little_of_it() -> None:
    logo = scene(40, 60, 60)
    wall = Image.new("RGB", (320, 240), "white")
    for x in range(0, 320, 80):
        for y in range(0, 240, 80):
            wall.paste(logo, (x + 10, y + 10))
    poster = scene(41)
    poster.paste(logo, (130, 90))
    location = locate(asked(wall), banked(poster))
    assert location is None or location.agreement < 0.4


def test_the_answer_is_the_same_from_every_thread() -> None:
    query, references = asked(scene(1).rotate(10)), [banked(scene(seed)) for seed in (1, 2, 3)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: locate_each(query, references), range(4)))
    first = [location and (location.weight, location.query_quad) for location in answers[0]]
    assert first[0] is not None
    for answer in answers[1:]:
        assert [location and (location.weight, location.query_quad) for location in answer] == first
