"""
OpenCV, touched in this one file: where corners are, how they look, and how pictures are moved.

Nothing here keeps state, and every call may be made from any thread. OpenCV's own threads are for the program to switch
off: requests are the unit of parallel work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.media.types import Frame

Grey = NDArray[np.uint8]
"""Luminance, shape (height, width)."""
Matrix = NDArray[np.float64]
"""Shape (3, 3): moves points of one picture onto those of another, in pixels."""

DESCRIPTOR_BYTES = 32
LEVELS = 8
LEVEL_SCALE = 1.2
PATCH_PX = 31
"""The side of what a corner is described by, on the corner's own level."""
RIM_PX = 19
"""Corners nearer to the picture's rim than this, on their level, cannot be described."""
FILL_LEVELS, FILL_PX = 8, 15
FAINTEST = 8
"""Grey levels by which a ring of pixels must differ from the middle to be a corner."""


@dataclass(frozen=True, slots=True, eq=False)
class Corners:
    """
    Args:
        points: shape (n, 2), float32, x and y in pixels of the picture.
        angles: shape (n,), float32, degrees, clockwise from the x axis, 0..360.
        levels: shape (n,), uint8, the level of the pyramid each was found on; see `size_of`.
        descriptors: shape (n, 32), uint8, compared by Hamming distance.
        strengths: shape (n,), float32, higher is clearer.
    """

    points: NDArray[np.float32]
    angles: NDArray[np.float32]
    levels: NDArray[np.uint8]
    descriptors: NDArray[np.uint8]
    strengths: NDArray[np.float32]

    def some(self, chosen: NDArray[np.int64]) -> Corners:
        """Of these, those at the given places."""
        return Corners(
            self.points[chosen],
            self.angles[chosen],
            self.levels[chosen],
            self.descriptors[chosen],
            self.strengths[chosen],
        )


def use_one_thread() -> None:
    """Make OpenCV work on the calling thread alone, in the whole process."""
    cv2.setNumThreads(1)


def grey(frame: Frame) -> Grey:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def size_of(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How long a pixel of each level is, in pixels of the picture."""
    return np.asarray(LEVEL_SCALE ** levels.astype(np.float32), dtype=np.float32)


def corners_of(picture: Grey, most: int) -> Corners:
    """The clearest oriented corners on all levels, not yet described; none on a sliver, which is all rim."""
    if min(picture.shape) <= 2 * RIM_PX:
        return _corners(())
    return _corners(_detector(most).detect(picture, None))


def described(picture: Grey, corners: Corners) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """
    How a picture looks at given corners, whether or not it has corners there, as binary descriptors.

    Source: Rublee et al. 2011, "ORB: an efficient alternative to SIFT or SURF".

    Args:
        picture: to look at.
        corners: where, how large and how turned; in pixels of `picture`.

    Returns:
        which corners could be described, and their descriptors.
    """
    if not len(corners.points):
        return np.zeros(0, np.int64), np.zeros((0, DESCRIPTOR_BYTES), np.uint8)
    sizes = PATCH_PX * size_of(corners.levels)
    wanted = [
        cv2.KeyPoint(float(x), float(y), float(size), float(angle), 0, int(level), place)
        for place, ((x, y), size, angle, level) in enumerate(
            zip(corners.points, sizes, corners.angles, corners.levels, strict=True)
        )
    ]
    found, rows = _detector(len(wanted)).compute(picture, wanted)
    if rows is None or not len(found):
        return np.zeros(0, np.int64), np.zeros((0, DESCRIPTOR_BYTES), np.uint8)
    return np.array([one.class_id for one in found], np.int64), np.asarray(rows, dtype=np.uint8)


def nearest_two(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The distances to the two nearest of theirs, at least two, and which is nearest: shapes (n, 2) and (n,)."""
    distances, places = cv2.batchDistance(ours, theirs, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2)
    return np.asarray(distances, dtype=np.int32), np.asarray(places[:, 0], dtype=np.int32)


def moved_back(picture: Grey, matrix: Matrix, width: int, height: int) -> Grey:
    """The picture as it was before `matrix` moved it, black where it does not reach."""
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    return np.asarray(cv2.warpPerspective(picture, matrix, (width, height), flags=flags), dtype=np.uint8)


def filled_corners(picture: Grey) -> Grey:
    """
    Where the picture is one surface from its own corners on, 255 there: what a turned picture is filled up with.

    Strips narrower than FILL_PX do not count: they run between letters too.
    """
    height, width = picture.shape
    mask = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if not mask[y + 1, x + 1]:
            cv2.floodFill(picture, mask, (x, y), 0, FILL_LEVELS, FILL_LEVELS, flags)
    rim = FILL_PX
    wide = cv2.copyMakeBorder(mask[1:-1, 1:-1], rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((FILL_PX, FILL_PX), np.uint8))
    return np.ascontiguousarray(opened[rim:-rim, rim:-rim], dtype=np.uint8)


def mean_around(picture: Grey, points: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """The mean level in a square about each point; points are in pixels and lie in the picture."""
    blurred = cv2.blur(picture, (side, side))
    columns, rows = points.astype(np.int64).T
    return np.asarray(blurred[rows.clip(0, picture.shape[0] - 1), columns.clip(0, picture.shape[1] - 1)], np.float64)


def homography(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Matrix | None:
    """What moves our points, at least four, onto theirs with the least squares of errors; None where nothing does."""
    found, _ = cv2.findHomography(ours, theirs, 0)
    return None if found is None else np.asarray(found, dtype=np.float64)


def _detector(most: int) -> cv2.ORB:
    return cv2.ORB.create(
        nfeatures=most,
        scaleFactor=LEVEL_SCALE,
        nlevels=LEVELS,
        edgeThreshold=RIM_PX,
        patchSize=PATCH_PX,
        fastThreshold=FAINTEST,
    )


def _corners(found: Sequence[cv2.KeyPoint]) -> Corners:
    return Corners(
        points=np.array([one.pt for one in found], np.float32).reshape(-1, 2),
        angles=np.array([one.angle for one in found], np.float32),
        levels=np.array([one.octave for one in found], np.uint8),
        descriptors=np.zeros((len(found), DESCRIPTOR_BYTES), np.uint8),
        strengths=np.array([one.response for one in found], np.float32),
    )
