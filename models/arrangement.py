"""
Which pairs of corners agree on one movement of the picture, and which movement that is.

A corner has a size and an angle, so one pair of corners already says how the picture was turned, scaled and moved.
Every pair is asked, the others vote, and the movement with the most votes is refined by least squares. Nothing is
drawn at random, so the same pictures give the same answer.

How much an arrangement is worth is what chance would do: the number of arrangements this good that one would find among
as many unrelated pairs. Source: Desolneux, Moisan and Morel 2000, "Meaningful alignments".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from models import opencv
from models.opencv import Corners, Matrix

RATIO = 0.85
"""A pair counts when its distance is less than this times that of the second nearest. Source: Lowe 2004, loosened."""
FARTHEST = 80
"""Bits of 256: pairs farther apart are not alike."""
MOST_PAIRS = 120
FEWEST = 4
"""Agreeing pairs without which there is no arrangement: two points fit anything."""
LOOSE, CLOSE = 0.012, 0.010
"""How far a point may lie from where it should, as shares of the query's diagonal: before and after refinement."""
LOOSE_VOTE = 0.15
"""And when one pair votes on another, of the distance between the two: angles are known to a few degrees."""
ANGLE, SCALE = 0.5, 0.5
"""How far a pair's own turn (radians) and scale (logarithm) may be from the arrangement's."""
AFFINE_FROM, HOMOGRAPHY_FROM = 7, 14
"""Agreeing pairs from which a looser movement is tried."""
PRICE = 2.0
SHARPEST_PX = 0.5
"""No corner is placed better than this."""
STARTS = 4
CELL_PX = 5.0
"""Corners of one place on several levels count once."""
MOST_STRETCH = 4.0
SMALLEST, LARGEST = 1 / 12, 12.0
LEAST_VALUE = -10.0

Plane = NDArray[np.complex128]
"""Points as x + iy: turning and scaling is multiplication."""


class Model(StrEnum):
    """What moves the reference onto the query, from the stiffest to the loosest."""

    SIMILARITY = "similarity"
    AFFINE = "affine"
    HOMOGRAPHY = "homography"


NUMBERS = {Model.SIMILARITY: 4, Model.AFFINE: 6, Model.HOMOGRAPHY: 8}
Points = NDArray[np.float64]
"""Shape (n, 2)."""
_Moving = tuple[Matrix, Model, NDArray[np.bool_]]
"""A movement, its kind, and which pairs agree with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """
    Args:
        matrix: moves points of the reference onto those of the query, in pixels.
        model: what kind of movement it is.
        query: which corners of the query agree, shape (k,).
        reference: which corners of the reference they agree with, shape (k,).
        places: how many of them lie at different places.
        value: minus the decimal logarithm of how many arrangements this good chance brings.
    """

    matrix: Matrix
    model: Model
    query: NDArray[np.int64]
    reference: NDArray[np.int64]
    places: int
    value: float


def arrange(query: Corners, reference: Corners, width: int, height: int) -> Arrangement | None:
    """
    The movement that most pairs of corners agree on; None where fewer than FEWEST do.

    Args:
        query: corners of the query.
        reference: corners of the reference.
        width: of the query, in pixels.
        height: of the query.
    """
    if min(len(query.points), len(reference.points)) < FEWEST:
        return None
    pairs = _pairs(query, reference)
    if len(pairs.ours) < FEWEST:
        return None
    reach = math.hypot(width, height)
    start = _voted(pairs, reach)
    if start is None:
        return None
    matrix, model, agreeing = _refined(pairs, start, reach)
    if agreeing.sum() < FEWEST or not _plausible(matrix, pairs.reference[agreeing]):
        return None
    places = min(_places(pairs.query[agreeing]), _places(pairs.reference[agreeing]))
    if places < FEWEST:
        return None
    value = _value(places, len(pairs.ours), math.pi * (CLOSE * reach) ** 2 / (width * height))
    return Arrangement(matrix, model, pairs.ours[agreeing], pairs.theirs[agreeing], places, value)


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Corners that look alike: which, where, and what each pair says of turn and scale."""

    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    query: Plane
    reference: Plane
    turn: NDArray[np.float64]
    scale: NDArray[np.float64]


def _pairs(query: Corners, reference: Corners) -> _Pairs:
    distances, nearest = opencv.nearest_two(query.descriptors, reference.descriptors)
    ours = np.flatnonzero((distances[:, 0] < RATIO * distances[:, 1]) & (distances[:, 0] <= FARTHEST))
    ours = ours[np.argsort(distances[ours, 0], kind="stable")[:MOST_PAIRS]]
    theirs = nearest[ours].astype(np.int64)
    sizes = np.log(opencv.LEVEL_SCALE) * (query.levels[ours].astype(float) - reference.levels[theirs].astype(float))
    turns = np.radians(query.angles[ours].astype(float) - reference.angles[theirs].astype(float))
    return _Pairs(ours, theirs, _plane(query.points[ours]), _plane(reference.points[theirs]), turns, sizes)


def _plane(points: NDArray[np.float32] | NDArray[np.float64]) -> Plane:
    return np.asarray(points[:, 0] + 1j * points[:, 1].astype(np.float64), dtype=np.complex128)


def _apart(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.abs((angles + np.pi) % (2 * np.pi) - np.pi))


def _voted(pairs: _Pairs, reach: float) -> tuple[complex, complex, NDArray[np.bool_]] | None:
    """The similarity z -> a z + b that most pairs agree on after a few rounds of least squares, and which those are."""
    turned = np.exp(pairs.scale + 1j * pairs.turn)
    between = pairs.query[None] - pairs.query[:, None]
    missed = np.abs(turned[:, None] * (pairs.reference[None] - pairs.reference[:, None]) - between)
    agree = missed < np.maximum(LOOSE * reach, LOOSE_VOTE * np.abs(between))
    agree &= np.abs(pairs.scale[:, None] - pairs.scale[None]) < SCALE
    agree &= _apart(pairs.turn[:, None] - pairs.turn[None]) < ANGLE
    best: tuple[complex, complex, NDArray[np.bool_]] | None = None
    for start in np.argsort(-agree.sum(axis=1), kind="stable")[:STARTS]:
        chosen = agree[start]
        for tolerance in (2 * LOOSE, 1.25 * LOOSE, LOOSE):
            if chosen.sum() < FEWEST:
                break
            factor, shift = _similarity(pairs.reference[chosen], pairs.query[chosen])
            missed_by = np.abs(factor * pairs.reference + shift - pairs.query)
            chosen = (missed_by < tolerance * reach) & _consistent(pairs, factor)
        if chosen.sum() >= FEWEST and (best is None or chosen.sum() > best[2].sum()):
            best = factor, shift, chosen
    return best


def _similarity(ours: Plane, theirs: Plane) -> tuple[complex, complex]:
    middle, other = ours.mean(), theirs.mean()
    spread = float((np.abs(ours - middle) ** 2).sum())
    factor = complex((np.conj(ours - middle) * (theirs - other)).sum() / max(spread, 1e-9))
    return factor, complex(other - factor * middle)


def _consistent(pairs: _Pairs, factor: complex, slack: float = 1.0) -> NDArray[np.bool_]:
    """Whose own turn and scale are near the movement's."""
    scale, turn = math.log(abs(factor) + 1e-9), np.angle(factor)
    near = np.abs(pairs.scale - scale) < SCALE * slack
    return np.asarray(near & (_apart(pairs.turn - turn) < ANGLE * slack))


def _refined(
    pairs: _Pairs, start: tuple[complex, complex, NDArray[np.bool_]], reach: float
) -> tuple[Matrix, Model, NDArray[np.bool_]]:
    """
    The movement that explains the pairs best for what it may bend, by least squares over those that agree with it.

    A looser one always fits a little better where the pairs are, and goes astray where they are not: it must earn each
    of its numbers.
    """
    factor, shift, agreeing = start
    stiff = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0, 0, 1]])
    ours = np.column_stack([pairs.reference.real, pairs.reference.imag])
    theirs = np.column_stack([pairs.query.real, pairs.query.imag])
    willing = _consistent(pairs, factor, 1.5)
    tried = [(stiff, Model.SIMILARITY, agreeing)]
    for model, least in ((Model.SIMILARITY, FEWEST), (Model.AFFINE, AFFINE_FROM), (Model.HOMOGRAPHY, HOMOGRAPHY_FROM)):
        matrix, chosen = stiff, agreeing
        for _ in range(3):
            found = _fitted(model, ours[chosen], theirs[chosen]) if chosen.sum() >= least else None
            if found is None:
                break
            matrix = found
            chosen = (np.linalg.norm(moved(matrix, ours) - theirs, axis=1) < CLOSE * reach) & willing
        else:
            tried.append((matrix, model, chosen))
    return min(tried[1:] or tried, key=lambda one: _misfit(one, tried, (ours, theirs), reach))


def _misfit(one: _Moving, tried: Sequence[_Moving], points: tuple[Points, Points], reach: float) -> float:
    """
    How badly a movement explains the pairs that agree with any, and how many numbers it takes. Lower is better.

    Source: Schwarz 1978, "Estimating the dimension of a model", with a heavier price (`PRICE`).
    """
    matrix, model, _ = one
    agreeing = np.any([chosen for _, _, chosen in tried], axis=0)
    ours, theirs = (each[agreeing] for each in points)
    missed = np.minimum(((moved(matrix, ours) - theirs) ** 2).sum(axis=1), (CLOSE * reach) ** 2)
    count = 2 * len(ours)
    return float(count * math.log(missed.sum() / count + SHARPEST_PX**2) + PRICE * NUMBERS[model] * math.log(count))


def _fitted(model: Model, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Matrix | None:
    if model is Model.HOMOGRAPHY:
        return opencv.homography(ours, theirs)
    if model is Model.AFFINE:
        terms, *_ = np.linalg.lstsq(np.column_stack([ours, np.ones(len(ours))]), theirs, rcond=None)
        return np.vstack([terms.T, [0, 0, 1]])
    factor, shift = _similarity(_plane(ours), _plane(theirs))
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0, 0, 1]])


def moved(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points, shape (n, 2), moved; those that go to infinity go very far."""
    rows = points @ matrix[:, :2].T + matrix[:, 2]
    depth = np.where(np.abs(rows[:, 2:]) < 1e-9, 1e-9, rows[:, 2:])  # noqa: PLR2004 no division by nothing
    return np.asarray(rows[:, :2] / depth, dtype=np.float64)


def local_scale(matrix: Matrix, point: NDArray[np.float64]) -> tuple[float, float, float]:
    """At one point: the longest and the shortest that a unit becomes, and the determinant, below 0 where mirrored."""
    x, y = point
    depth = float(matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2])
    if abs(depth) < 1e-9:  # noqa: PLR2004 at the horizon
        return math.inf, 0.0, 0.0
    image = moved(matrix, point[None])[0]
    slopes = (matrix[:2, :2] - np.outer(image, matrix[2, :2])) / depth
    longest, shortest = np.linalg.svd(slopes, compute_uv=False)
    return float(longest), float(shortest), float(np.linalg.det(slopes))


def _plausible(matrix: Matrix, agreeing: Plane) -> bool:
    """Neither mirrored (that is asked apart) nor squeezed to a line, nowhere among the agreeing points."""
    corners = np.array([[f(agreeing.real), g(agreeing.imag)] for f in (np.min, np.max) for g in (np.min, np.max)])
    for point in corners:
        longest, shortest, turned = local_scale(matrix, point)
        if turned <= 0 or shortest <= 0 or longest / shortest > MOST_STRETCH:
            return False
        if not SMALLEST < math.sqrt(turned) < LARGEST:
            return False
    return True


def _places(points: Plane) -> int:
    return len(np.unique((points.real // CELL_PX) + 1j * (points.imag // CELL_PX)))


def _value(places: int, pairs: int, area: float) -> float:
    """
    Minus the decimal logarithm of pairs squared times the chance that so many of the others agree by chance.

    Two places fix the movement; each further pair agrees with it by chance with the share of the area that is near
    enough, times the shares of turns and of scales that are.
    """
    chance = min(0.5, area) * (ANGLE / math.pi) * 0.5
    agreeing, others = places - 2, max(pairs, places) - 2
    tail = float(betainc(agreeing, others - agreeing + 1, chance))
    return max(LEAST_VALUE, -math.log10(max(tail, 1e-300) * pairs**2))
