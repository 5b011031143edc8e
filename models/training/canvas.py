"""What generated pictures are drawn with: coordinates, palettes, warps. Pictures are (n, 3, s, s) in 0..1."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from models.training.dice import Dice

TURN = 2 * math.pi


def coordinates(size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (y) and columns (x) of the pixel centres, each of shape (size, size), from -1 to 1."""
    line = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return y, x


def stretched(values: torch.Tensor) -> torch.Tensor:
    """Each picture's values moved to fill 0..1 exactly."""
    low, high = values.amin((-1, -2), keepdim=True), values.amax((-1, -2), keepdim=True)
    return (values - low) / (high - low + 1e-6)


def smooth(dice: Dice, count: int, channels: int, cells: int, size: int) -> torch.Tensor:
    """Smooth random fields of unit variance at their knots: shape (count, channels, size, size)."""
    knots = dice.normal(count, channels, cells, cells)
    return functional.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)


def palettes(dice: Dice, count: int, colours: int) -> torch.Tensor:
    """Shape (count, colours, 3): most are shades about one muted colour as in photographs, a fifth are wild."""
    base = dice.uniform(count, 1, 3)
    saturation = dice.uniform(count, 1, 1) ** 0.7
    spread = dice.uniform(count, 1, 1, low=0.05, high=0.6) * dice.normal(count, colours, 3) * saturation
    light = dice.uniform(count, 1, 1, low=0.1, high=0.45) * dice.normal(count, colours, 1)
    shades = base + spread + light
    grey = shades.mean(-1, keepdim=True)
    shades = grey + (shades - grey) * (0.25 + saturation)
    wild = dice.uniform(count, colours, 3)
    return torch.where(dice.chance(0.2, count, 1, 1), wild, shades).clamp(0, 1)


def coloured(dice: Dice, values: torch.Tensor, colours: int = 6) -> torch.Tensor:
    """A map of values in 0..1, shape (n, s, s), through a random palette: smooth for most, in hard bands for some."""
    count, size, _ = values.shape
    palette = palettes(dice, count, colours)
    bands = dice.uniform(count, 1, 1, low=1, high=12)
    hardness = torch.where(dice.chance(0.35, count, 1, 1), bands, torch.ones_like(bands))
    place = values.clamp(0, 1) * (colours - 1)
    lower = place.floor().clamp(max=colours - 2)
    share = ((place - lower - 0.5) * hardness + 0.5).clamp(0, 1).reshape(count, -1, 1)
    first = lower.long().reshape(count, -1, 1).expand(-1, -1, 3)
    mixed = torch.lerp(palette.gather(1, first), palette.gather(1, first + 1), share)
    return mixed.reshape(count, size, size, 3).permute(0, 3, 1, 2)


def warped(dice: Dice, pictures: torch.Tensor, amount: float = 0.2) -> torch.Tensor:
    """Smoothly bent out of shape, each by its own strength."""
    count, _, size, _ = pictures.shape
    y, x = coordinates(size, dice.device)
    bend = smooth(dice, count, 2, dice.whole(3, 8), size) * amount * dice.uniform(count, 1, 1, 1)
    grid = torch.stack([x + bend[:, 0], y + bend[:, 1]], -1)
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def moved(
    dice: Dice, pictures: torch.Tensor, smallest: float = 0.4, largest: float = 1.6, tilt: float = 0.25
) -> torch.Tensor:
    """Turned, scaled (`smallest` shows a small part, enlarged), shifted and tilted in depth, each at random."""
    count, _, size, _ = pictures.shape
    y, x = coordinates(size, dice.device)
    angle = dice.uniform(count, 1, 1, high=TURN)
    scale = dice.log_uniform(count, 1, 1, low=smallest, high=largest)
    aspect = (dice.normal(count, 1, 1) * 0.25).exp()
    depth = (
        1 + dice.uniform(count, 1, 1, low=-tilt, high=tilt) * x + dice.uniform(count, 1, 1, low=-tilt, high=tilt) * y
    )
    across = (angle.cos() * x - angle.sin() * y) * scale * aspect / depth + dice.uniform(
        count, 1, 1, low=-0.5, high=0.5
    )
    down = (angle.sin() * x + angle.cos() * y) * scale / aspect / depth + dice.uniform(count, 1, 1, low=-0.5, high=0.5)
    grid = torch.stack([across, down], -1)
    return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def softened(pictures: torch.Tensor, width: int) -> torch.Tensor:
    """A box blur of odd `width` pixels."""
    edge = width // 2
    return functional.avg_pool2d(functional.pad(pictures, (edge,) * 4, mode="reflect"), width, 1)


def over(below: torch.Tensor, above: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`above` painted where the mask is 1, `below` kept where it is 0."""
    return below + (above - below) * mask
