"""The picture that explains a match, and the shapes in it."""

import io
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.geometry import Location, Model, clipped
from service.matching.edits import named_edits
from service.matching.explaining import MOST_ROWS, Shown, draw_explanation
from service.schemas import Edit
from service.shared_part import nearest_to_corners, shared_part, spread

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
UPLOAD = np.full((300, 400, 3), 200, np.uint8)
ORIGINAL = np.full((200, 300, 3), 90, np.uint8)


def location(query_quad: Any = WHOLE, reference_quad: Any = WHOLE, **changes: Any) -> Location:
    points = np.random.default_rng(3).random((20, 2)).astype(np.float32)
    values: dict[str, Any] = dict.fromkeys((each.name for each in fields(Location)), 0)
    values |= {"inliers": 20, "model": Model.SIMILARITY, "mirrored": False, "rotation_deg": 0.0, "coverage": 1.0}
    values |= {"query_points": points, "reference_points": points}
    return Location(**(values | {"query_quad": query_quad, "reference_quad": reference_quad} | changes))


def shown(where: Location, original: Any = ORIGINAL) -> Shown:
    return Shown("item", UPLOAD, original, (300, 200), where, "Bank “first”: a copy", ["20 places agree"])


def drawn(*matches: Shown) -> np.ndarray:
    picture = Image.open(io.BytesIO(draw_explanation(matches)))
    assert picture.format == "PNG"
    return np.asarray(picture.convert("L"), np.float32)


def test_the_shared_part_is_bright_and_the_rest_is_dark() -> None:
    middle = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    around = ((-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5))
    empty = np.empty((0, 2), np.float32)
    picture = drawn(shown(location(middle, around, query_points=empty, reference_points=empty)))
    upload = picture[104 : 104 + 420, 44 : 44 + 560]  # fitted to its width
    assert upload[150:270, 220:340].mean() == pytest.approx(200, abs=2)
    assert upload[20:60, 40:500].mean() < 90
    original = picture[:, 44 + 560 + 150 :]
    assert (np.abs(original - 90) < 2).sum() > 0.9 * 560 * 373


def test_an_original_that_is_gone_leaves_an_empty_place() -> None:
    picture = drawn(shown(location(), None))
    assert picture.shape[1] == drawn(shown(location())).shape[1]
    assert (np.abs(picture[:, 44 + 560 + 150 :] - 90) < 2).sum() < 2000


def test_a_few_matches_are_drawn_below_each_other_and_no_more() -> None:
    one, two, many = (drawn(*[shown(location())] * count).shape[0] for count in (1, 2, MOST_ROWS + 2))
    assert one < two
    assert many == one + (MOST_ROWS - 1) * (two - one)


def test_a_place_that_is_wholly_outside_can_be_drawn() -> None:
    outside = ((2.0, 2.0), (3.0, 2.0), (3.0, 3.0), (2.0, 3.0))
    assert drawn(shown(location(outside, outside))).size > 0


def test_the_same_corner_is_at_the_same_place_in_both_pictures() -> None:
    mirrored = ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    in_upload, in_original = shared_part(location(mirrored, mirrored))
    marks = nearest_to_corners(in_original)
    assert in_original[marks] == pytest.approx(np.array(WHOLE))
    assert in_upload[marks] == pytest.approx(np.array(mirrored))


shares = st.floats(-2, 3, allow_nan=False)


@given(st.tuples(shares, shares), st.floats(0.05, 3), st.floats(0, 6.3))
def test_a_clipped_shape_lies_within_and_is_no_larger(centre: tuple[float, float], side: float, turn: float) -> None:
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side / 2
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + centre
    part = clipped(turned)
    assert ((part >= -1e-9) & (part <= 1 + 1e-9)).all()
    x, y = part.T if len(part) else np.zeros((2, 1))
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area <= min(1.0, side * side) + 1e-6


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40), st.integers(1, 50))
def test_points_are_spread_without_repeating_one(points: list[tuple[int, int]], most: int) -> None:
    chosen = spread(np.asarray(points, np.float64).reshape(-1, 2), most)
    assert len(chosen) == len(set(chosen)) <= most
    assert len({points[each] for each in chosen}) == min(most, len(set(points)))


def noisy(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), np.uint8)


def test_edits_are_named_by_where_the_original_lies() -> None:
    whole = noisy(400, 300)
    assert named_edits(location(), whole) == []
    assert named_edits(location(coverage=0.5), whole) == [Edit.CROPPED]
    assert named_edits(location(mirrored=True, rotation_deg=-12.0), whole) == [Edit.MIRRORED, Edit.ROTATED]


def test_surroundings_are_told_apart() -> None:
    low = ((0.0, 0.3), (1.0, 0.3), (1.0, 1.0), (0.0, 1.0))
    bar = noisy(400, 300)
    bar[:90] = 255
    assert named_edits(location(low), bar) == [Edit.FRAMED]
    bar[30:60, 60:340][::3] = 0
    assert named_edits(location(low), bar) == [Edit.CAPTIONED]
    small = ((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6))
    assert named_edits(location(small), noisy(400, 300)) == [Edit.INSET]
    wide = ((0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95))
    framed = np.full((300, 400, 3), 30, np.uint8)
    assert named_edits(location(wide), framed) == [Edit.FRAMED]
