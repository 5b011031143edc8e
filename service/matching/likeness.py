"""Which of two pictures an upload is a copy of, where one of them shows the other: a broadcast, and its footage."""

from typing import Final

import numpy as np

from models.geometry import Location, clipped
from service.shared_part import Points

_MOST: Final = 0.6
"""Less of a broadcast than that may lack everything that is its own: a window of the screen is the footage."""
_NEXT_TO_NOTHING: Final = 0.01
"""What recompressing changes. Of copies of a broadcast, no place of it looked different; of footage under another's
logo, 1.7 % of the broadcast's places or more did. Source: `benchmarks/public_interest.py`, 2026-11-22."""
_AS_MUCH: Final = 0.05


def is_rather(one: Location, other: Location) -> bool | None:
    """
    Whether an upload is a copy of the one and not of the other, which the one shows; None where both are all there.

    A copy of a broadcast shows the channel's graphics as they were; whatever else shows the same footage has something
    else at their places, or does not show them. Cropping tells nothing: re-uploads are cropped, as broadcasts are.
    """
    if one.coverage < _MOST:
        return False
    if missing(one) > _NEXT_TO_NOTHING:
        return explained(one) >= explained(other)
    both = missing(other) <= _NEXT_TO_NOTHING and explained(other) >= explained(one) - _AS_MUCH
    return None if both else True


def missing(location: Location) -> float:
    """The share of the places that should be seen of the original that look different; 1 where none should be."""
    return 1 - location.alike / location.seen if location.seen else 1.0


def explained(location: Location) -> float:
    """The share of the upload that looks as the original does there, 0 to 1."""
    return _area(clipped(np.asarray(location.query_quad, np.float64))) * (1 - missing(location))


def _area(corners: Points) -> float:
    if len(corners) == 0:
        return 0.0
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
