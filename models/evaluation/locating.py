"""
How truly a copy is located: corners of the quadrilateral that is found against those of the edit itself.

Where an edit puts a picture's corners is asked of the edit: it is given black pictures with one white dot, and where
the dots come out says what it does to every place. So no edit has to tell, and none can be told wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models import features, opencv
from models.arrangement import moved
from models.evaluation import queries
from models.evaluation.edits.kinds import Edit, Lender
from models.evaluation.edits.registry import EDITS, edited, named
from models.evaluation.pictures import Picture, Tick, looked_at, original, read_folder
from models.evaluation.roles import drawn
from models.geometry import Quad, locate

DOTS = 5
"""Along each side; a crop must show four of them."""
DOT = 0.03
"""A dot's radius, as a share of the shorter side."""
FAINTEST = 40.0
"""Levels that a dot must stand out by to be seen."""
BENT = 0.015
"""With dots farther than this, as a share of the width, from where a homography has them, there is no true quad."""
LIKELY = 6.0
"""A location is counted from this weight on: chance brings one in a million such arrangements."""


@dataclass(frozen=True, slots=True)
class Located:
    """
    One kind of edit.

    Args:
        edit: its name.
        asked: how many edited pictures.
        located: how many were located in their originals.
        measured: how many of these have a true quadrilateral.
        errors: quantiles at 0.5 and 0.9 of the mean distance of the four corners, as a share of the query's width.
    """

    edit: str
    asked: int
    located: int
    measured: int
    errors: tuple[float, float] | None


def locating(
    photos: Path, originals: int, tick: Tick, *, edits: tuple[str, ...] | None = None, seed: int = 0
) -> tuple[tuple[Located, ...], Located]:
    """
    Locate edits of some photographs in their originals: by edit, and all of them together.

    Args:
        photos: photographs; which are edited is drawn as for an evaluation of up to 1000 banked.
        originals: how many are edited.
        tick: told how far it is.
        edits: names; all that are counted without.
        seed: of the drawing.
    """
    roles = drawn(read_folder(photos, tick).pictures, 1000, originals, seed)
    lend = queries.lender(roles.negatives)
    rows: list[Located] = []
    everything: list[float] = []
    for edit in (edit for edit in EDITS if edit.counted) if edits is None else named(edits):
        tick(f"locating {edit.name}", 0, originals)
        found = [_error(edit, picture, lend) for picture in roles.bank[: roles.originals]]
        errors = [error for error in found if error is not None and not np.isnan(error)]
        rows.append(Located(edit.name, len(found), sum(e is not None for e in found), len(errors), _quantiles(errors)))
        everything += errors
    return tuple(rows), Located(
        "all",
        sum(row.asked for row in rows),
        sum(row.located for row in rows),
        len(everything),
        _quantiles(everything),
    )


def _error(edit: Edit, picture: Picture, lend: Lender) -> float | None:
    """None where it was not located, NaN where there is no true quadrilateral."""
    frame = original(picture)
    query = looked_at(edited(edit, Image.fromarray(frame.pixels), picture.name, lend))
    found = locate(features.extract_query(query.pixels), features.extract(frame.pixels))
    if found is None or found.weight < LIKELY:
        return None
    height, width = frame.pixels.shape[:2]
    truth = true_quad(edit, picture.name, (width, height), lend)
    return float("nan") if truth is None else corner_error(found.query_quad, truth, query.pixels.shape[:2])


def corner_error(found: Quad, truth: Quad, shape: Sequence[int]) -> float:
    """The mean distance of corners, as a share of the width."""
    height, width = shape
    apart = (np.array(found) - np.array(truth)) * (1, height / width)
    return float(np.linalg.norm(apart, axis=1).mean())


def true_quad(edit: Edit, name: str, size: tuple[int, int], lend: Lender) -> Quad | None:
    """Where an edit of a picture of this name and size puts its corners; None where it bends straight lines."""
    width, height = size
    base = _levels(edited(edit, Image.new("RGB", size), name, lend))
    places, seen = [], []
    for down in range(DOTS):
        for across in range(DOTS):
            spot = ((across + 0.5) / DOTS * width, (down + 0.5) / DOTS * height)
            levels = _levels(edited(edit, _dotted(size, spot), name, lend))
            middle = _middle(np.abs(levels - base), DOT * min(size))
            if middle is not None:
                places.append(spot)
                seen.append(middle)
    if len(places) < 4:  # noqa: PLR2004 four points make a homography
        return None
    ours, theirs = np.array(places), np.array(seen)
    matrix = opencv.homography(ours, theirs)
    tall, wide = base.shape
    if matrix is None or np.linalg.norm(moved(matrix, ours) - theirs, axis=1).max() > BENT * wide:
        return None
    corners = np.array([(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)])
    a, b, c, d = ((float(x) / wide, float(y) / tall) for x, y in moved(matrix, corners))
    return a, b, c, d


def _dotted(size: tuple[int, int], spot: tuple[float, float]) -> Image.Image:
    picture = Image.new("RGB", size)
    reach = max(3.0, DOT * min(size))
    x, y = spot
    ImageDraw.Draw(picture).ellipse((x - reach, y - reach, x + reach, y + reach), fill=(255, 255, 255))
    return picture


def _levels(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture.convert("L"), dtype=np.float64)


def _middle(apart: NDArray[np.float64], reach: float) -> tuple[float, float] | None:
    """The middle of the brightest spot; None where there is none, or where it is cut by the rim."""
    smooth = np.asarray(Image.fromarray(apart.astype(np.float32)).resize((apart.shape[1] // 2, apart.shape[0] // 2)))
    row, column = (2 * int(place) for place in np.unravel_index(smooth.argmax(), smooth.shape))
    if smooth.max() < FAINTEST:
        return None
    around = max(4, round(3 * reach))
    top, left = max(0, row - around), max(0, column - around)
    part = apart[top : row + around, left : column + around]
    bright = np.where(part > 0.5 * smooth.max(), part, 0.0)
    rows, columns = np.nonzero(bright)
    rows, columns = rows + top, columns + left
    if min(rows.min(), columns.min()) == 0 or rows.max() == apart.shape[0] - 1 or columns.max() == apart.shape[1] - 1:
        return None
    weights = bright[bright > 0]
    return float(columns @ weights / weights.sum()) + 0.5, float(rows @ weights / weights.sum()) + 0.5


def _quantiles(errors: Sequence[float]) -> tuple[float, float] | None:
    return (float(np.quantile(errors, 0.5)), float(np.quantile(errors, 0.9))) if errors else None
