"""
Where each pixel of an edited picture comes from: frames, insets, crops, turns, tilts, perspective.

All of it is three 3x3 matrices per picture, from the output to the source, and one resampling:
output -> window (the part of the output that shows the picture) -> crop -> source. Coordinates run from -1 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from models.training.canvas import TURN, coordinates
from models.training.dice import Dice

FRAMES = ("none", "bars", "border", "inset", "screen")


@dataclass(frozen=True, slots=True)
class Geometry:
    """
    How often and how far pictures are bent.

    Args:
        untouched: the share of pictures left as they are.
        frames: the shares of bars, border, inset and screen; the rest has no frame.
        inset: the smallest side of an inset, as a share of the picture's.
        crop: the share of cropped pictures, and the smallest area kept.
        turn: the share of pictures tilted, and the largest angle in degrees.
        quarter: the share turned by 90, 180 or 270 degrees.
        mirror: the share mirrored left to right; one in seven of that many, top to bottom.
        tilt: the share seen in perspective, and how strongly.
    """

    untouched: float
    frames: tuple[float, float, float, float]
    inset: float
    crop: tuple[float, float]
    turn: tuple[float, float]
    quarter: float
    mirror: float
    tilt: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """
    A batch's geometry.

    Args:
        frame: shape (n,), an entry of FRAMES by place.
        window: shape (n, 3, 3), output to window coordinates.
        within: shape (n, 3, 3), window coordinates to those of the cropped picture.
        crop: shape (n, 3, 3), coordinates of the cropped picture to those of the source.
        zoom: shape (n,), about how many source widths fit into an output width.
    """

    frame: torch.Tensor
    window: torch.Tensor
    within: torch.Tensor
    crop: torch.Tensor
    zoom: torch.Tensor


def placements(dice: Dice, count: int, rule: Geometry) -> Placement:
    """Draw the geometry of `count` pictures."""
    touched = ~dice.chance(rule.untouched, count)
    frame = _frames(dice, count, rule) * touched
    wide, high = _window_size(dice, frame, rule)
    free = torch.where(frame == FRAMES.index("border"), 0.0, 1.0)
    left = (1 - wide) * dice.uniform(count, low=-1) * free
    top = (1 - high) * dice.uniform(count, low=-1) * free
    keep = dice.log_uniform(count, low=rule.crop[1], high=1.0).sqrt()
    aspect = (dice.normal(count) * 0.17).exp()
    cropped = dice.chance(rule.crop[0], count) & touched
    crop_wide = torch.where(cropped, (keep * aspect).clamp(max=1), torch.ones_like(keep))
    crop_high = torch.where(cropped, (keep / aspect).clamp(max=1), torch.ones_like(keep))
    east, south = (1 - crop_wide) * dice.uniform(count, low=-1), (1 - crop_high) * dice.uniform(count, low=-1)
    window = _scaled(1 / wide, 1 / high, -left / wide, -top / high)
    return Placement(
        frame=frame,
        window=window,
        within=_bent(dice, count, rule, touched),
        crop=_scaled(crop_wide, crop_high, east, south),
        zoom=(crop_wide * crop_high / (wide * high)).sqrt(),
    )


def _frames(dice: Dice, count: int, rule: Geometry) -> torch.Tensor:
    draw = dice.uniform(count)
    frame = torch.zeros(count, dtype=torch.long, device=dice.device)
    below = 0.0
    for place, share in enumerate(rule.frames, start=1):
        frame = torch.where((draw >= below) & (draw < below + share), place, frame)
        below += share
    return frame


def _window_size(dice: Dice, frame: torch.Tensor, rule: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    count = len(frame)
    wide, high = torch.ones(count, device=dice.device), torch.ones(count, device=dice.device)
    bars, border, inset, screen = (frame == place for place in range(1, 5))
    part, lying = dice.uniform(count, low=0.5, high=0.93), dice.chance(0.6, count)
    high = torch.where(bars & lying, part, high)
    wide = torch.where(bars & ~lying, part, wide)
    part = dice.uniform(count, low=0.76, high=0.96)
    wide = torch.where(border, part, wide)
    high = torch.where(border, (part * dice.uniform(count, low=0.93, high=1.07)).clamp(max=0.98), high)
    part, odd = dice.uniform(count, low=rule.inset, high=0.85), (dice.normal(count) * 0.2).exp()
    wide = torch.where(inset, (part * odd).clamp(max=0.95), wide)
    high = torch.where(inset, (part / odd).clamp(max=0.95), high)
    wide = torch.where(screen, dice.uniform(count, low=0.88, high=1.0), wide)
    high = torch.where(screen, dice.uniform(count, low=0.35, high=0.85), high)
    return wide, high


def _bent(dice: Dice, count: int, rule: Geometry, touched: torch.Tensor) -> torch.Tensor:
    """Perspective, then a tilt (in the shape that the picture had before it was squashed), quarter turns, mirrors."""
    zero = torch.zeros(count, device=dice.device)
    lean = [
        torch.where(dice.chance(rule.tilt[0], count) & touched, dice.uniform(count, low=-1), zero) * rule.tilt[1]
        for _ in range(2)
    ]
    depth = _eye(dice, count)
    depth[:, 2, 0], depth[:, 2, 1] = lean[0], lean[1]
    tilted = dice.chance(rule.turn[0], count) & touched
    angle = torch.where(tilted, dice.uniform(count, low=-1) * math.radians(rule.turn[1]), zero)
    grown = 1 + torch.where(dice.chance(0.5, count), angle.abs() * 0.9, zero)
    shape = (dice.normal(count) * 0.28).exp()
    turn = _eye(dice, count)
    turn[:, 0, 0], turn[:, 0, 1] = angle.cos() * grown, -angle.sin() * grown / shape
    turn[:, 1, 0], turn[:, 1, 1] = angle.sin() * grown * shape, angle.cos() * grown
    quarters = dice.integers(1, 3, count) * (dice.chance(rule.quarter, count) & touched)
    right = quarters * (TURN / 4)
    square = _eye(dice, count)
    square[:, 0, 0], square[:, 0, 1] = right.cos(), -right.sin()
    square[:, 1, 0], square[:, 1, 1] = right.sin(), right.cos()
    mirror = 1 - 2.0 * (dice.chance(rule.mirror, count) & touched)
    upside = 1 - 2.0 * (dice.chance(rule.mirror / 7, count) & touched)
    return _scaled(mirror, upside, zero, zero) @ square @ turn @ depth


def sources(place: Placement, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Where each output pixel lies in the source, and whether it shows the picture at all.

    Returns:
        shape (n, size, size, 2) for `grid_sample`, and booleans of shape (n, 1, size, size).
    """
    y, x = coordinates(size, place.window.device)
    spots = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, -1, 3)
    shown = spots @ place.window.mT
    within = shown @ place.within.mT
    picture = within[..., :2] / within[..., 2:].clamp(min=0.1)
    edge = 1.001
    seen = (shown[..., :2].abs() <= edge).all(-1) & (picture.abs() <= edge).all(-1)
    scale, shift = place.crop[:, None, [0, 1], [0, 1]], place.crop[:, None, :2, 2]
    return (picture * scale + shift).reshape(-1, size, size, 2), seen.reshape(-1, 1, size, size)


def resampled(pictures: torch.Tensor, place: Placement, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The pictures in their new places, taken from a suitably small copy of each so that shrinking does not alias.

    Returns:
        shape (n, 3, size, size), and the mask of what is picture, float of shape (n, 1, size, size).
    """
    grid, seen = sources(place, size)
    shrink = (place.zoom * pictures.shape[-1] / size).log2().round().clamp(0, 2)
    output = pictures.new_empty(len(pictures), 3, size, size)
    for level in range(3):
        rows = (shrink == level).nonzero()[:, 0]
        if len(rows):
            source = pictures[rows]
            source = functional.avg_pool2d(source, 2**level) if level else source
            output[rows] = functional.grid_sample(source, grid[rows], padding_mode="border", align_corners=False)
    return output, seen.to(output.dtype)


def _eye(dice: Dice, count: int) -> torch.Tensor:
    return torch.eye(3, device=dice.device).repeat(count, 1, 1)


def _scaled(wide: torch.Tensor, high: torch.Tensor, east: torch.Tensor, south: torch.Tensor) -> torch.Tensor:
    matrix = torch.zeros(len(wide), 3, 3, device=wide.device)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2] = wide, high, east, south
    matrix[:, 2, 2] = 1
    return matrix
