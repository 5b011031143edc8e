"""Shapes, strokes and writing: masks and outlines that scenes and edits are drawn with."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from models.training.canvas import TURN, coordinates, over
from models.training.dice import Dice


def placed(
    dice: Dice, count: int, size: int, smallest: float, largest: float, *, power: float = 2.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    A frame of its own for one shape in each picture: anywhere, at any angle, sizes after a power law.

    Returns:
        x and y in that frame, shape (count, size, size), and the scale, shape (count, 1, 1), in half pictures.
    """
    y, x = coordinates(size, dice.device)
    draw, tail = dice.uniform(count, 1, 1), 1 - power
    scale = ((1 - draw) * smallest**tail + draw * largest**tail) ** (1 / tail)
    angle = dice.uniform(count, 1, 1, high=TURN)
    aspect = (dice.normal(count, 1, 1) * 0.35).exp()
    x = x - dice.uniform(count, 1, 1, low=-1.05, high=1.05)
    y = y - dice.uniform(count, 1, 1, low=-1.05, high=1.05)
    across = (x * angle.cos() + y * angle.sin()) / (scale * aspect)
    down = (y * angle.cos() - x * angle.sin()) * aspect / scale
    return across, down, scale


def inside(dice: Dice, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """
    How far inside a random shape of about unit size each place is: positive within, negative without.

    One kind of shape per call (cheap); its form differs from picture to picture.
    """
    count = x.shape[0]
    kind = dice.whole(0, 9)
    if kind <= 2:  # noqa: PLR2004 from a star through a disc to a square
        power = dice.log_uniform(count, 1, 1, low=0.74, high=6)
        return 1 - (x.abs() ** power + y.abs() ** power)
    if kind == 3:  # noqa: PLR2004 a box
        return 1 - torch.maximum(x.abs(), y.abs())
    radius = (x * x + y * y + 1e-6).sqrt()
    if kind == 4:  # noqa: PLR2004 a ring
        return dice.uniform(count, 1, 1, low=0.08, high=0.3) - (radius - 0.8).abs()
    if kind == 5:  # noqa: PLR2004 a disc
        return 1 - radius
    angle = torch.atan2(y, x)
    start = dice.uniform(count, 1, 1, high=TURN)
    if kind <= 7:  # noqa: PLR2004 a regular polygon
        corners = dice.integers(3, 7, count, 1, 1)
        half = math.pi / corners
        return 1 - radius * (torch.remainder(angle + start, 2 * half) - half).cos() / half.cos()
    slow = dice.uniform(count, 1, 1, high=0.45) * (angle * dice.integers(1, 6, count, 1, 1) + start).sin()
    fast = dice.uniform(count, 1, 1, high=0.25) * (angle * dice.integers(3, 13, count, 1, 1) - start).sin()
    return 1 - radius * (1 + slow + fast)


def stroked(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """A few curved lines drawn across each picture: branches, wires, scribbles."""
    count, _, size, _ = pictures.shape
    y, x = coordinates(size, dice.device)
    t = torch.linspace(0, 1, 9, device=dice.device).reshape(1, 9, 1)
    for _ in range(dice.whole(4, 12)):
        knots = dice.uniform(count, 3, 2, low=-1.2, high=1.2)
        curve = (1 - t) ** 2 * knots[:, :1] + 2 * t * (1 - t) * knots[:, 1:2] + t * t * knots[:, 2:]
        nearest = torch.full((count, size, size), 9.0, device=dice.device)
        for part in range(8):
            start, step = curve[:, part, :, None, None], (curve[:, part + 1] - curve[:, part])[:, :, None, None]
            east, south = x - start[:, 0], y - start[:, 1]
            along = (east * step[:, 0] + south * step[:, 1]) / ((step**2).sum(1) + 1e-6)
            along = along.clamp(0, 1)
            nearest = torch.minimum(nearest, (east - along * step[:, 0]) ** 2 + (south - along * step[:, 1]) ** 2)
        width = dice.log_uniform(count, 1, 1, low=0.009, high=0.075)
        mask = ((width - nearest.sqrt()) * size / 2 + 0.5).clamp(0, 1)[:, None]
        pictures = over(pictures, dice.uniform(count, 3, 1, 1), mask)
    return pictures


def writing(dice: Dice, count: int, size: int, rows: int | None = None) -> torch.Tensor:
    """Lines of letter-like signs with gaps between words, as a mask of shape (count, 1, size, size)."""
    rows = rows or dice.whole(1, 4)
    columns = dice.whole(4, 13)
    signs = torch.zeros(count, rows, columns, 9, 7, device=dice.device)

    def bar() -> torch.Tensor:
        return dice.chance(0.42, count, rows, columns).float()[..., None]

    for column in (1, 3, 5):
        signs[..., 1:5, column] = torch.maximum(signs[..., 1:5, column], bar())
        signs[..., 4:8, column] = torch.maximum(signs[..., 4:8, column], bar())
    for row in (1, 4, 7):
        signs[..., row, 1:6] = torch.maximum(signs[..., row, 1:6], bar())
    signs = signs * dice.chance(0.85, count, rows, columns, 1, 1)
    page = signs.permute(0, 1, 3, 2, 4).reshape(count, 1, rows * 9, columns * 7)
    return functional.interpolate(page, size=(size, size), mode="bilinear").mul(1.4).clamp(0, 1)


def pasted(
    dice: Dice, masks: torch.Tensor, smallest: float, largest: float, *, turn: float = 0.3, aspect: float = 1.0
) -> torch.Tensor:
    """Masks of shape (n, c, s, s) shrunk and put somewhere in the picture, zero around them."""
    count, _, size, _ = masks.shape
    y, x = coordinates(size, dice.device)
    angle = dice.uniform(count, 1, 1, low=-turn, high=turn)
    wide = dice.uniform(count, 1, 1, low=smallest, high=largest)
    high = wide * aspect * (dice.normal(count, 1, 1) * 0.2).exp()
    east = x - dice.uniform(count, 1, 1, low=-1, high=1) * (1 - wide * 0.7).clamp(min=0)
    south = y - dice.uniform(count, 1, 1, low=-1, high=1) * (1 - high * 0.7).clamp(min=0)
    across = (east * angle.cos() - south * angle.sin()) / wide
    down = (east * angle.sin() + south * angle.cos()) / high
    return functional.grid_sample(masks, torch.stack([across, down], -1), padding_mode="zeros", align_corners=False)
