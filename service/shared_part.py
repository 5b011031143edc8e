"""The part of two pictures that both show, as shapes: shares of width and height, from the top left."""

import numpy as np
from numpy.typing import NDArray

from models.geometry import Location, clipped

Points = NDArray[np.float64]
"""Shape (n, 2)."""

_UNIT: Points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def shared_part(location: Location) -> tuple[Points, Points]:
    """The outline of what both pictures show, in the upload and in the original: the same corners in the same order."""
    in_original = clipped(np.asarray(location.reference_quad, np.float64))
    placed = _placing(np.asarray(location.query_quad, np.float64))
    shares = np.column_stack([in_original, np.ones(len(in_original))]) @ placed.T
    return np.clip(shares[:, :2] / shares[:, 2:], 0.0, 1.0), in_original


def nearest_to_corners(outline: Points) -> list[int]:
    """Which points of an outline speak for the top left, top right, bottom right and bottom left."""
    return [int(np.argmin(((outline - corner) ** 2).sum(axis=1))) for corner in _UNIT] if len(outline) else []


def spread(points: Points, most: int) -> list[int]:
    """Places in the list of at most so many points, each as far as can be from those before it."""
    if len(points) == 0:
        return []
    chosen = [int(np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1)))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(most, len(points)):
        following = int(np.argmax(nearest))
        if nearest[following] == 0:
            break
        chosen.append(following)
        nearest = np.minimum(nearest, ((points - points[following]) ** 2).sum(axis=1))
    return chosen


def _placing(quad: Points) -> Points:
    """The homography, shape (3, 3), that places the unit square's corners on those of a quadrilateral."""
    rows, values = [], []
    for (x, y), (u, v) in zip(_UNIT.tolist(), quad.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solved = np.linalg.lstsq(np.asarray(rows, np.float64), np.asarray(values, np.float64), rcond=None)[0]
    return np.append(solved, 1.0).reshape(3, 3)
