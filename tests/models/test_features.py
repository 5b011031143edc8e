"""Corners of frames: deterministic, spread, compact, and of one version."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from models.features import CROWDED, EXTRACTOR, MOST, BadFeatures, extract, extract_query, from_bytes, to_bytes
from models.media.types import Frame


def busy(seed: int, width: int = 320, height: int = 240) -> Frame:
    """Blocks of many sizes: corners everywhere."""
    dice = np.random.default_rng(seed)
    levels = np.zeros((height, width, 3))
    for cells in (6, 16, 40):
        coarse = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        levels += np.asarray(coarse.resize((width, height), Image.Resampling.NEAREST), dtype=float) / 3
    return levels.astype(np.uint8)


def test_the_same_frame_gives_the_same_features_every_time() -> None:
    assert to_bytes(extract(busy(1))) == to_bytes(extract(busy(1)))


def test_features_are_a_few_hundred_and_compact() -> None:
    features = extract(busy(1))
    assert 100 <= features.count <= MOST
    assert len(to_bytes(features)) < 40 * features.count + 16 < 16_384


def test_features_come_back_from_bytes_as_they_were() -> None:
    features = extract(busy(1))
    again = from_bytes(to_bytes(features))
    assert (again.width_px, again.height_px, again.count) == (320, 240, features.count)
    assert np.abs(again.corners.points - features.corners.points).max() < 0.01
    turned = np.abs(again.corners.angles - features.corners.angles)
    assert np.minimum(turned, 360 - turned).max() < 1
    assert np.array_equal(again.corners.levels, features.corners.levels)
    assert np.array_equal(again.corners.descriptors, features.corners.descriptors)
    assert to_bytes(again) == to_bytes(features)


def test_what_is_kept_holds_neither_the_picture_nor_its_mirror_image() -> None:
    query = extract_query(busy(1))
    assert query.grey is not None
    assert query.mirrored is not None
    kept = from_bytes(to_bytes(query))
    assert kept.grey is None
    assert kept.mirrored is None


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: data[:0],
    "a head": lambda data: data[:10],
    "another version": lambda data: b"orb0" + data[4:],
    "too short": lambda data: data[:-1],
    "too long": lambda data: data + b"\0",
    "no width": lambda data: data[:4] + b"\0\0" + data[6:],
    "too wide": lambda data: data[:4] + b"\xff\xff" + data[6:],
    "no such level": lambda data: data[:10] + bytes([255]) * (len(data) - 10),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_features_of_another_version_or_damaged_are_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadFeatures):
        from_bytes(damage(to_bytes(extract(busy(1)))))


def test_the_version_is_in_the_bytes() -> None:
    assert to_bytes(extract(busy(1)))[:4].decode() == EXTRACTOR.replace("-", "")


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (3, 500), (512, 30)])
def test_slivers_and_specks_have_few_features_and_say_so(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    features = extract_query(frame)
    assert features.low_texture
    assert from_bytes(to_bytes(features)).count == features.count


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_frame_has_no_features(level: int) -> None:
    features = extract(np.full((200, 300, 3), level, np.uint8))
    assert features.count == 0
    assert features.low_texture
    assert from_bytes(to_bytes(features)).count == 0


def test_one_busy_corner_does_not_take_all_features() -> None:
    frame = busy(1, 400, 400) // 2 + 60  # half as clear everywhere
    frame[:100, :100] = busy(2, 100, 100)
    points = extract(frame).corners.points
    inside = int((points < 100).all(axis=1).sum())
    assert inside <= 2 * CROWDED
    assert len(points) > 2 * inside
