"""What was done to an original to make an upload of it, as far as the place where it was found tells."""

import numpy as np

from models.geometry import Location
from models.media.types import Frame
from service.schemas import Edit

CROPPED_BELOW = 0.93
"""Less of the original than this is seen. An honest corner is a few hundredths off."""
TURNED_DEG = 3.0
MARGIN_FROM = 0.025
"""A strip beside the original is one from this share of the upload on."""
PLAIN_SPREAD = 12
"""Levels around the commonest value that still are the same surface."""
PLAIN_ALONE, PLAIN_WITH_WORDS = 0.97, 0.55
"""What share of the surroundings is one surface: a bare border, and one with writing on it."""
INSET_BELOW = 0.5
"""What takes less of the upload than this stands in another picture, unless in a bare border."""


def named_edits(location: Location, upload: Frame) -> list[Edit]:
    """
    The edits that can be told from where the original lies in the upload, and from what is around it there.

    A change of colour or sharpness is none of them: it moves nothing.
    """
    edits = []
    if location.coverage < CROPPED_BELOW:
        edits.append(Edit.CROPPED)
    if location.mirrored:
        edits.append(Edit.MIRRORED)
    if abs(location.rotation_deg) >= TURNED_DEG:
        edits.append(Edit.ROTATED)
    surroundings = _surroundings(location, upload)
    return edits if surroundings is None else [*edits, surroundings]


def _surroundings(location: Location, upload: Frame) -> Edit | None:
    """What the original stands in, if it does not fill the upload."""
    corners = np.asarray(location.query_quad, np.float64)
    left, top = np.clip(corners.min(axis=0), 0, 1)
    right, bottom = np.clip(corners.max(axis=0), 0, 1)
    beside, above_or_below = max(left, 1 - right), max(top, 1 - bottom)
    if max(beside, above_or_below) < MARGIN_FROM or right <= left or bottom <= top:
        return None
    height, width = upload.shape[:2]
    around = np.ones((height, width), np.bool_)
    around[_span(top, bottom, height), _span(left, right, width)] = False
    plain = _plainness(upload[around])
    if plain >= PLAIN_ALONE:
        return Edit.FRAMED
    if plain < PLAIN_WITH_WORDS or (right - left) * (bottom - top) < INSET_BELOW:
        return Edit.INSET
    return Edit.CAPTIONED if beside < MARGIN_FROM else Edit.FRAMED


def _span(start: float, stop: float, length: int) -> slice:
    """A pixel more on each side: the original's edge is half the original and half what is around it."""
    return slice(max(0, int(start * length) - 1), min(length, int(np.ceil(stop * length)) + 1))


def _plainness(pixels: Frame) -> float:
    """The share of pixels (n, 3) that are of the commonest colour, nearly."""
    if len(pixels) == 0:
        return 1.0
    commonest = np.median(pixels, axis=0)
    return float((np.abs(pixels - commonest).max(axis=1) <= PLAIN_SPREAD).mean())
