"""
Local features of a frame: a few hundred corners, where they are and how they look.

Two frames with the same corners in the same arrangement show the same picture: `models.geometry` finds the
arrangement. Features are kept for every banked frame, and made for an upload when a closer look is needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models import opencv
from models.errors import ModelsError
from models.media.types import Frame
from models.opencv import DESCRIPTOR_BYTES, LEVELS, Corners, Grey

EXTRACTOR = "orb-1"
"""The version of everything that shapes features: those of two versions are never compared."""

MOST = 400
POOL = 3000
"""So many corners are found, of which MOST are kept."""
GRID = 4
CROWDED = 24
"""
A cell of GRID by GRID gives this many of its corners before it waits for the others: letters and interfaces are full of
clear corners, and two pages of one app must not agree for want of any others.
"""
LOW_TEXTURE = 60
"""With fewer features no arrangement of them means much. Of photographs, 1 in 200 has fewer."""
LONGEST_SIDE_PX = 4096

_HEAD = struct.Struct("<4sHHH")
_MAGIC = b"orb1"
_FEATURE_BYTES = 6 + DESCRIPTOR_BYTES


class BadFeatures(ModelsError):
    """The bytes are not features of this version; make them anew from the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """
    The local features of one frame. Safe from any thread.

    Args:
        width_px: of the frame.
        height_px: of the frame.
        corners: where they are, in pixels of the frame, and how they look.
        grey: the frame itself, of a query alone: what is kept of a banked frame holds no picture.
        mirrored: of a query alone, the features of its mirror image, in the mirror image's own coordinates.
    """

    width_px: int
    height_px: int
    corners: Corners
    grey: Grey | None = None
    mirrored: Features | None = None

    @property
    def count(self) -> int:
        return len(self.corners.points)

    @property
    def low_texture(self) -> bool:
        """Too little to hold on to: that no arrangement is found then says nothing."""
        return self.count < LOW_TEXTURE


def extract(frame: Frame) -> Features:
    """What is kept of a banked frame."""
    height, width = frame.shape[:2]
    return Features(width, height, _described(opencv.grey(frame)))


def extract_query(frame: Frame) -> Features:
    """What is asked with: both mirror forms, and the frame to look closer at."""
    picture = opencv.grey(frame)
    height, width = picture.shape
    flipped = np.ascontiguousarray(picture[:, ::-1])
    corners, turned = _described(picture), _described(flipped)
    return Features(width, height, corners, picture, Features(width, height, turned))


def to_bytes(features: Features) -> bytes:
    """As they are kept: 38 bytes a feature. What only a query has is left out."""
    corners = features.corners
    size = np.array([features.width_px, features.height_px], np.float32)
    places = np.round(np.clip(corners.points / size, 0, 1) * 65535).astype("<u2")
    angles = np.round(corners.angles * (256 / 360)).astype(np.int64) % 256
    head = _HEAD.pack(_MAGIC, features.width_px, features.height_px, features.count)
    columns = (places, angles.astype(np.uint8), corners.levels, corners.descriptors)
    return head + b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def from_bytes(data: bytes) -> Features:
    """
    Read features as `to_bytes` writes them.

    Raises:
        BadFeatures: of another version, or damaged.
    """
    if len(data) < _HEAD.size:
        raise BadFeatures("too short to be features")
    magic, width, height, count = _HEAD.unpack_from(data)
    sides = 1 <= width <= LONGEST_SIDE_PX and 1 <= height <= LONGEST_SIDE_PX
    if magic != _MAGIC or not sides or len(data) != _HEAD.size + _FEATURE_BYTES * count:
        raise BadFeatures("not features of this version")
    ends = _HEAD.size + count * np.array([0, 4, 5, 6])
    places = np.frombuffer(data, "<u2", 2 * count, ends[0]).reshape(count, 2)
    levels = np.frombuffer(data, np.uint8, count, ends[2])
    if count and levels.max() >= LEVELS:
        raise BadFeatures("features on a level that there is not")
    corners = Corners(
        points=places.astype(np.float32) / np.float32(65535) * np.array([width, height], np.float32),
        angles=np.frombuffer(data, np.uint8, count, ends[1]).astype(np.float32) * np.float32(360 / 256),
        levels=levels,
        descriptors=np.frombuffer(data, np.uint8, DESCRIPTOR_BYTES * count, ends[3]).reshape(count, DESCRIPTOR_BYTES),
        strengths=np.zeros(count, np.float32),
    )
    return Features(width, height, corners)


def _described(picture: Grey) -> Corners:
    found = opencv.corners_of(picture, POOL)
    chosen = found.some(_spread(found, *picture.shape))
    kept, rows = opencv.described(picture, chosen)
    return replace(chosen.some(kept), descriptors=rows)


def _spread(found: Corners, height: int, width: int) -> NDArray[np.int64]:
    """The clearest of each level, but from crowded cells only once the others had their turn."""
    order = np.lexsort((-found.strengths, found.levels))
    share = np.empty(len(order))
    for level in np.unique(found.levels):
        of_level = order[found.levels[order] == level]
        share[of_level] = np.arange(len(of_level)) / len(of_level)
    cells = np.minimum((found.points * (GRID / width, GRID / height)).astype(np.int64), GRID - 1) @ (1, GRID)
    crowded = np.zeros(len(order), np.bool_)
    for cell in np.unique(cells):
        of_cell = np.flatnonzero(cells == cell)
        crowded[of_cell[np.argsort(share[of_cell], kind="stable")[CROWDED:]]] = True
    return np.sort(np.lexsort((share, crowded))[:MOST])
