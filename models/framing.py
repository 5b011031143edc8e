"""
Pictures within pictures: the boxes that are worth a look of their own.

Re-uploads come with bars and captions around them, on pages of an app, beside or on top of other pictures. What is
found here is looked at beside the whole frame, never instead of it, so a wrong guess costs time and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.media.types import Frame

BOX_SIDE = 128
"""Boxes are looked for on a copy whose longer side has this many pixels."""
EDGE = 8.0
"""Levels between neighbouring pixels from which there is an edge."""
LINES = 12
"""Straight lines that are considered in each direction, beside the frame's own sides."""
COVERED = 0.6
"""The share of a box's side that must be edge."""
SMALLEST_BOX, LARGEST_BOX = 0.06, 0.94
"""Areas, as shares of the frame's."""
SHORTEST_SIDE = 0.2
BOXES = 2
COVERED_ALONE = 0.9
"""Where only one side is not the frame's own, as between two halves."""
APART = 0.4
"""Two boxes overlap at most this much, as intersection over union."""
CONSIDERED = 200


def boxed(frame: Frame) -> list[Frame]:
    """
    Upright rectangles in the frame that look like pictures put there, best first; none, one or two.

    Sides are straight runs of edges; up to three of them may be the frame's own. Of two halves both are given.
    """
    height, width = frame.shape[:2]
    if min(height, width) < 2 * LINES:
        return []
    scale = BOX_SIDE / max(height, width)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX), dtype=np.float32)
    found: list[Frame] = []
    for box in _boxes(_upright_edges(small), _upright_edges(small.transpose(1, 0, 2)).T):
        # A pixel is taken off each inner side: it is half the picture and half what is around it.
        left, right = _outwards(box.left, size[0], width, 1), _outwards(box.right, size[0], width, -1)
        top, bottom = _outwards(box.top, size[1], height, 1), _outwards(box.bottom, size[1], height, -1)
        found.append(np.ascontiguousarray(frame[top:bottom, left:right]))
    return found


@dataclass(frozen=True, slots=True)
class _Box:
    left: int
    right: int
    top: int
    bottom: int


def _outwards(place: int, cells: int, pixels: int, inwards: int) -> int:
    if place in (0, cells):
        return pixels if place else 0
    return round((place + 0.5 * inwards) * pixels / cells)


def _upright_edges(small: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether an edge runs between columns x - 1 and x in each row: shape (rows, columns + 1), thinned to its ridge."""
    rows, columns = small.shape[:2]
    step = np.zeros((rows, columns + 1), dtype=np.float32)
    step[:, 1:-1] = np.abs(np.diff(small, axis=1)).max(axis=2)
    ridge = step >= EDGE
    ridge[:, 1:-1] &= (step[:, 1:-1] >= step[:, :-2]) & (step[:, 1:-1] >= step[:, 2:])
    return ridge


def _boxes(upright: NDArray[np.bool_], level: NDArray[np.bool_]) -> list[_Box]:
    """
    The best rectangles between straight lines.

    Args:
        upright: edges between columns, shape (rows, columns + 1).
        level: edges between rows, shape (rows + 1, columns).
    """
    rows, columns = upright.shape[0], level.shape[1]
    left, right = _pairs(_lines(upright.sum(axis=0)), columns)
    top, bottom = _pairs(_lines(level.sum(axis=1)), rows)
    if not len(left) or not len(top):
        return []
    down = np.concatenate([np.zeros((1, columns + 1)), upright.cumsum(axis=0)])
    along = np.concatenate([np.zeros((rows + 1, 1)), level.cumsum(axis=1)], axis=1)
    high, wide = (bottom - top)[None], (right - left)[:, None]
    sides = [
        np.where(place == end, 1, (down[bottom[None], place] - down[top[None], place]) / high)
        for place, end in ((left[:, None], 0), (right[:, None], columns))
    ]
    sides += [
        np.where(place == end, 1, (along[place, right[:, None]] - along[place, left[:, None]]) / wide)
        for place, end in ((top[None], 0), (bottom[None], rows))
    ]
    least = np.min(sides, axis=0)
    own = ((left != 0) + 1 * (right != columns))[:, None] + ((top != 0) + 1 * (bottom != rows))[None]
    area = high * wide / (rows * columns)
    good = (least >= np.where(own > 1, COVERED, COVERED_ALONE)) & (own > 0)
    good &= (area >= SMALLEST_BOX) & (area <= LARGEST_BOX)
    worth = np.where(good, least + 0.15 * own + 0.1 * area, -1)
    chosen: list[_Box] = []
    for place in np.argsort(-worth, axis=None)[:CONSIDERED]:
        across, upward = np.unravel_index(place, worth.shape)
        if worth[across, upward] < 0:
            break
        box = _Box(int(left[across]), int(right[across]), int(top[upward]), int(bottom[upward]))
        if all(_overlap(box, other) < APART for other in chosen):
            chosen.append(box)
        if len(chosen) == BOXES:
            break
    return chosen


def _lines(covered: NDArray[np.int_]) -> NDArray[np.int_]:
    """The places of the most covered lines, no two of them side by side, and of both ends."""
    places = [0, len(covered) - 1]
    for place in np.argsort(-covered):
        if covered[place] < SHORTEST_SIDE * COVERED * len(covered) / 2 or len(places) == LINES + 2:
            break
        if all(abs(int(place) - other) > 1 for other in places):
            places.append(int(place))
    return np.array(sorted(places))


def _pairs(places: NDArray[np.int_], length: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    first, second = (part.ravel() for part in np.meshgrid(places, places, indexing="ij"))
    apart = second - first >= SHORTEST_SIDE * length
    return first[apart], second[apart]


def _overlap(one: _Box, other: _Box) -> float:
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)
