"""Which parts of a frame are looked at."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from models.framing import boxed
from models.media.types import Frame
from models.views import LEAST_TILE_PX, BadViews, View, Views, tiles


@pytest.fixture
def scene() -> Image.Image:
    """Structure in no direction that a frame's sides have."""
    pixels = np.random.default_rng(0).integers(30, 170, (6, 6, 3), dtype=np.uint8)
    large = Image.fromarray(pixels).resize((480, 480), Image.Resampling.BICUBIC)
    return large.rotate(31, Image.Resampling.BICUBIC).crop((120, 150, 360, 330))


def array(picture: Image.Image) -> Frame:
    return np.asarray(picture)


def near(found: Frame, picture: Image.Image, slack: int = 6) -> bool:
    return abs(found.shape[0] - picture.height) <= slack and abs(found.shape[1] - picture.width) <= slack


def test_a_picture_that_is_alone_has_no_box(scene: Image.Image) -> None:
    assert boxed(array(scene)) == []


@pytest.mark.parametrize("border", [(0, 40), (50, 0), 20, (0, 70, 0, 0), (10, 60, 10, 30)])
def test_bars_and_borders_are_cut_off_in_a_box(scene: Image.Image, border: int | tuple[int, ...]) -> None:
    assert near(boxed(array(ImageOps.expand(scene, border, (250, 250, 250))))[0], scene)


def test_a_picture_on_another_is_found(scene: Image.Image) -> None:
    back = ImageOps.posterize(scene.transpose(Image.Transpose.ROTATE_180).resize((480, 360)), 8)
    back.paste(scene, (150, 90))
    assert near(boxed(array(back))[0], scene)


def test_both_of_two_pictures_side_by_side_are_found(scene: Image.Image) -> None:
    pair = Image.new("RGB", (480, 180))
    pair.paste(scene, (0, 0))
    pair.paste(ImageOps.invert(scene), (240, 0))
    assert [near(box, scene) for box in boxed(array(pair))] == [True, True]


def test_a_blank_frame_and_a_speck_have_no_box() -> None:
    assert boxed(np.full((100, 100, 3), 7, dtype=np.uint8)) == []
    assert boxed(np.zeros((1, 1, 3), dtype=np.uint8)) == []


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_view_of_any_frame_is_a_frame(height: int, width: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for view in Views(query=tuple(View)).query_views(frame):
        assert view.dtype == np.uint8
        assert view.ndim == 3
        assert min(view.shape) >= 1
        assert view.flags.c_contiguous


def test_the_whole_frame_comes_first_and_turns_are_turns(scene: Image.Image) -> None:
    views = Views(query=(View.WHOLE, View.TURNED)).query_views(array(scene))
    assert len(views) == 4
    assert np.array_equal(views[0], array(scene))
    assert np.array_equal(np.rot90(views[1], 3), array(scene))


def test_a_view_that_gives_nothing_leaves_the_whole(scene: Image.Image) -> None:
    assert len(Views(query=(View.BOXED,)).query_views(array(scene))) == 1


def test_views_are_read_as_they_were_written(tmp_path: Path) -> None:
    views = Views(query=(View.WHOLE, View.BOXED))
    views.save(tmp_path)
    assert Views.load(tmp_path) == views


def test_a_folder_that_names_no_views_means_the_whole_frame(tmp_path: Path) -> None:
    assert Views.load(tmp_path) == Views()


@pytest.mark.parametrize(
    "damage", ["{", '{"format": 9}', '{"format": 1, "reference": ["whole"], "query": ["sideways"]}']
)
def test_damaged_views_are_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "views.json").write_text(damage)
    with pytest.raises(BadViews):
        Views.load(tmp_path)


@pytest.fixture
def busy() -> Image.Image:
    """Something to see in every part of it."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((240, 180), Image.Resampling.NEAREST)


def test_four_tiles_are_the_quarters_of_a_frame_and_nine_have_its_middle(busy: Image.Image) -> None:
    frame = array(busy)
    quarters = Views(reference=(View.QUARTERS,)).reference_views(frame)
    assert [np.array_equal(tile, part) for tile, part in zip(tiles(frame, 4), quarters, strict=True)] == [True] * 4
    nine = tiles(frame, 9)
    assert {tile.shape for tile in nine} == {(90, 120, 3)}
    assert np.array_equal(nine[4], frame[45:135, 60:180])
    assert np.array_equal(nine[8], frame[90:, 120:])
    assert tiles(frame, 0) == []


@pytest.mark.parametrize(("count", "share"), [(4, 0.6), (9, 0.5)])
def test_every_place_of_a_frame_is_in_a_tile(count: int, share: float, busy: Image.Image) -> None:
    marks = np.arange(180 * 240).reshape(180, 240, 1) % 251
    frame = np.concatenate([marks, marks // 2, array(busy)[:, :, :1]], axis=2).astype(np.uint8)
    sides = {(round(180 * share), round(240 * share), 3)}
    found = tiles(frame, count)
    assert {tile.shape for tile in found} == sides
    assert np.array_equal(found[0][0, 0], frame[0, 0])
    assert np.array_equal(found[-1][-1, -1], frame[-1, -1])


def test_what_shows_too_little_is_no_tile(busy: Image.Image) -> None:
    sky = Image.new("RGB", (240, 360), (150, 190, 230))
    sky.paste(busy, (0, 220))
    assert len(tiles(array(sky), 4)) == 2
    assert tiles(np.full((300, 300, 3), 90, np.uint8), 9) == []
    small = array(busy.resize((80, int(LEAST_TILE_PX / 0.6) - 1)))
    assert tiles(small, 4) == []
    assert len(tiles(array(busy.resize((80, 2 * LEAST_TILE_PX))), 9)) == 9


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([4, 9]), st.integers(0, 2**32 - 1))
def test_every_tile_of_any_frame_is_a_frame(height: int, width: int, count: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    for tile in tiles(frame, count):
        assert min(tile.shape[:2]) >= LEAST_TILE_PX
        assert tile.dtype == np.uint8
        assert tile.flags["C_CONTIGUOUS"]
