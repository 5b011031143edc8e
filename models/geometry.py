"""
Whether one frame shows another, and where: the question that an analyst, an appeal and an automatic block ask.

Corners of both that lie in the same arrangement say where the reference would lie in the query. Then the query is
looked at there: at each corner of the reference that should be seen, does it look the same? Pictures that share a
logo, a caption, a page of an app or a floor agree in a few places of many; a copy agrees nearly everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models import opencv
from models.arrangement import Arrangement, Model, arrange, local_scale, moved
from models.features import Features
from models.opencv import Grey, Matrix

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Corners as shares of width and height, from the picture's own top left clockwise; outside 0..1 is outside it."""

__all__ = ["Location", "Model", "Quad", "locate", "locate_each"]

SAME, OTHER = 0.375, 0.15
"""
The correlation of two descriptors from which a place looks the same (80 bits of 256 where half of them are ones), and
under which it shows something else: pictures that have nothing to do with each other correlate by 0 on average.
"""
CLEAR, CLEAR_AGREEMENT = 40.0, 0.7
"""With an arrangement worth this the mirror image is not asked."""
MIRRORED = 8
DOUBT = 4
"""So many places are thought to be seen and not to agree: few that agree prove less than many."""
TURNED_DEG = 2.0
"""From this on a picture is turned, and its own corners may be filled up with something."""
FILLED, FILL_AROUND_PX = 64, 41
"""A place a quarter of whose surroundings is such filling is not seen."""
MARGIN_PX = 3.0
_UNIT = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@dataclass(frozen=True, slots=True, eq=False)
class Location:
    """
    Where a reference lies in a query.

    Args:
        inliers: how many pairs of corners agree.
        weight: what their arrangement is worth: minus the decimal logarithm of how many this good chance brings.
        seen: how many corners of the reference the query should show, with what is around them.
        alike: how many of them look the same there.
        unlike: at how many of them something else is seen.
        model: what moves the reference onto the query.
        mirrored: whether the query shows the reference's mirror image.
        rotation_deg: by how much the reference is turned in the query, clockwise, -180..180.
        scale: how long a pixel of the reference's frame is in the query's.
        query_quad: where the reference's corners lie in the query; partly outside when the query is a crop.
        reference_quad: where the query's corners lie in the reference.
        coverage: the share of the reference's area that the query shows.
        query_points: shape (inliers, 2), the agreeing corners in the query as shares, for drawing.
        reference_points: shape (inliers, 2), the same in the reference.
    """

    inliers: int
    weight: float
    seen: int
    alike: int
    unlike: int
    model: Model
    mirrored: bool
    rotation_deg: float
    scale: float
    query_quad: Quad
    reference_quad: Quad
    coverage: float
    query_points: NDArray[np.float32]
    reference_points: NDArray[np.float32]

    @property
    def agreement(self) -> float:
        """The share of what should be seen that looks the same, with some doubt where that is little."""
        return self.alike / (self.seen + DOUBT)

    @property
    def disputed(self) -> float:
        """The share of what should be seen where something else is; all of it where nothing should be."""
        return self.unlike / self.seen if self.seen else 1.0


def locate(query: Features, reference: Features, *, mirrored_too: bool = True) -> Location | None:
    """
    Look for a reference in a query.

    Args:
        query: from `extract_query`.
        reference: from `extract`, or from bytes.
        mirrored_too: whether to look for its mirror image as well.

    Returns:
        None where corners share no arrangement. Chance arranges a few: what a location is worth, and whether it is a
        match, says `models.verification`.
    """
    best: Location | None = None
    for form, mirrored in ((query, False), (query.mirrored, True)):
        if form is None or (mirrored and not mirrored_too) or _clear(best):
            break
        arrangement = arrange(form.corners, reference.corners, form.width_px, form.height_px)
        if arrangement is None:
            continue
        found = _looked_closer(_found(form, reference, arrangement, mirrored=mirrored), query, reference, arrangement)
        if best is None or (found.weight, found.alike) > (best.weight, best.alike):
            best = found
    return best


def _clear(found: Location | None) -> bool:
    return found is not None and found.weight >= CLEAR and found.agreement >= CLEAR_AGREEMENT


def locate_each(query: Features, references: Sequence[Features]) -> list[Location | None]:
    """
    `locate` for each of some candidates.

    Args:
        query: from `extract_query`.
        references: the likeliest first: mirror images are looked for among the first MIRRORED alone, since they are
            as near as what they mirror.
    """
    return [locate(query, reference, mirrored_too=place < MIRRORED) for place, reference in enumerate(references)]


def _found(query: Features, reference: Features, arrangement: Arrangement, *, mirrored: bool) -> Location:
    size_q = np.array([query.width_px, query.height_px], np.float64)
    size_r = np.array([reference.width_px, reference.height_px], np.float64)
    matrix = arrangement.matrix
    query_quad = moved(matrix, _UNIT * size_r) / size_q
    agreeing = reference.corners.points[arrangement.reference].astype(np.float64)
    query_points = query.corners.points[arrangement.query] / size_q
    corners = np.array(_UNIT)
    if mirrored:
        # Back to the query's own coordinates: its left was right.
        query_quad[:, 0] = 1 - query_quad[:, 0]
        query_points[:, 0] = 1 - query_points[:, 0]
        corners[:, 0] = 1 - corners[:, 0]
    reference_quad = moved(np.asarray(np.linalg.inv(matrix), np.float64), corners * size_q) / size_r
    longest, shortest, _ = local_scale(matrix, agreeing.mean(axis=0))
    return Location(
        inliers=len(arrangement.query),
        weight=round(arrangement.value, 2),
        seen=0,
        alike=0,
        unlike=0,
        model=arrangement.model,
        mirrored=mirrored,
        rotation_deg=round(_turn(matrix, size_r), 2),
        scale=round(math.sqrt(longest * shortest), 4),
        query_quad=_quad(query_quad),
        reference_quad=_quad(reference_quad),
        coverage=round(min(1.0, _area(clipped(reference_quad))), 4),
        query_points=query_points.astype(np.float32),
        reference_points=(agreeing / size_r).astype(np.float32),
    )


def _looked_closer(found: Location, query: Features, reference: Features, arrangement: Arrangement) -> Location:
    """Compare every corner of the reference that should be seen with how the query looks there."""
    if query.grey is None:
        return found
    picture = np.ascontiguousarray(query.grey[:, ::-1]) if found.mirrored else query.grey
    straight = opencv.moved_back(picture, arrangement.matrix, reference.width_px, reference.height_px)
    corners = reference.corners
    shown = _shown(found, picture, reference, arrangement)
    places, looks = opencv.described(straight, corners.some(shown))
    same = np.full(len(corners.points), np.nan)
    same[shown[places]] = correlation(looks, corners.descriptors[shown[places]])
    same[arrangement.reference] = np.fmax(same[arrangement.reference], SAME)
    return replace(
        found,
        seen=int((~np.isnan(same)).sum()),
        alike=int((same >= SAME).sum()),
        unlike=int((same < OTHER).sum()),
    )


def _shown(found: Location, picture: Grey, reference: Features, arrangement: Arrangement) -> NDArray[np.int64]:
    """Which corners of the reference the query should show with all that is around them."""
    corners = reference.corners
    there = moved(arrangement.matrix, corners.points.astype(np.float64))
    reach = np.maximum(opencv.PATCH_PX / 2 * opencv.size_of(corners.levels) * found.scale, MARGIN_PX)
    height, width = picture.shape
    inside = np.minimum(there, np.array([width, height]) - there).min(axis=1) >= reach
    if abs((found.rotation_deg + 45) % 90 - 45) >= TURNED_DEG:
        filling = opencv.filled_corners(picture)
        filled = opencv.moved_back(filling, arrangement.matrix, reference.width_px, reference.height_px)
        inside &= opencv.mean_around(filled, corners.points, FILL_AROUND_PX) <= FILLED
    return np.flatnonzero(inside)


def correlation(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.float64]:
    """
    Of each pair of descriptors: 1 where they are equal, about 0 where they have nothing to do with each other.

    Bits that differ would not do: letters on paper have hardly any ones, and are near each other by that alone.
    """
    bits = 8 * ours.shape[1]
    one, other, both = (np.bitwise_count(rows).sum(axis=1, dtype=np.float64) for rows in (ours, theirs, ours & theirs))
    spread = np.sqrt(one * (bits - one) * other * (bits - other))
    return np.asarray((bits * both - one * other) / np.maximum(spread, 1.0), dtype=np.float64)


def _turn(matrix: Matrix, size: NDArray[np.float64]) -> float:
    """The direction in which the reference's horizontal middle line points in the query, degrees."""
    left, right = moved(matrix, np.asarray(size * ((0.25, 0.5), (0.75, 0.5)), np.float64))
    return math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))


def _quad(corners: NDArray[np.float64]) -> Quad:
    a, b, c, d = ((round(float(x), 4), round(float(y), 4)) for x, y in np.clip(corners, -50, 50))
    return a, b, c, d


def clipped(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a convex shape that lies within the unit square; no corners where none does. Sutherland-Hodgman."""
    shape = corners.tolist()
    for axis, bound, inwards in ((0, 0.0, 1), (0, 1.0, -1), (1, 0.0, 1), (1, 1.0, -1)):
        kept: list[list[float]] = []
        for before, after in zip([shape[-1:], *([each] for each in shape)], shape, strict=False):
            start, inside = before[0], (after[axis] - bound) * inwards >= 0
            if ((start[axis] - bound) * inwards >= 0) != inside:
                share = (bound - start[axis]) / (after[axis] - start[axis])
                kept.append([start[0] + (after[0] - start[0]) * share, start[1] + (after[1] - start[1]) * share])
            if inside:
                kept.append(after)
        shape = kept
        if not shape:
            break
    return np.asarray(shape, np.float64).reshape(-1, 2)


def _area(corners: NDArray[np.float64]) -> float:
    """Of a shape given by its corners in order."""
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
