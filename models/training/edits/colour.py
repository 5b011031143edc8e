"""Edits of what a pixel shows: grading, noise, blur, compression. Pictures in 0..1 in and out."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from models.training.canvas import TURN, coordinates, over
from models.training.dice import Dice

LUMA = (0.299, 0.587, 0.114)
"""Source: ITU-R BT.601."""
SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
JPEG_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
JPEG_CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""The top left of the table; the rest of it is 99. Source of both: ITU-T T.81, annex K."""
JPEG_COLOURS = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Source: JFIF 1.02."""


def luminance(pictures: torch.Tensor) -> torch.Tensor:
    """Shape (n, 1, s, s)."""
    weights = torch.tensor(LUMA, device=pictures.device).reshape(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def graded(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast, saturation and white balance."""
    count = len(pictures)
    middle = pictures.mean((1, 2, 3), keepdim=True)
    contrast, light = (dice.normal(count, 1, 1, 1) * 0.35).exp(), (dice.normal(count, 1, 1, 1) * 0.3).exp()
    pictures = (pictures - middle) * contrast + middle * light
    grey = luminance(pictures)
    pictures = grey + (pictures - grey) * dice.uniform(count, 1, 1, 1, low=0.1, high=1.9)
    return (pictures + dice.normal(count, 3, 1, 1) * 0.05).clamp(0, 1)


def hue_turned(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """Colours turned about the grey axis by any angle."""
    angle = dice.uniform(len(pictures), low=-math.pi, high=math.pi)
    third, root = 1 / 3, math.sqrt(1 / 3)
    same = angle.cos() + (1 - angle.cos()) * third
    back, forth = (1 - angle.cos()) * third - root * angle.sin(), (1 - angle.cos()) * third + root * angle.sin()
    matrix = torch.stack([same, back, forth, forth, same, back, back, forth, same], 1).reshape(-1, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrix, pictures).clamp(0, 1)


def curved(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """A gamma for the whole picture and a little one for each channel."""
    count = len(pictures)
    power = (dice.normal(count, 1, 1, 1) * 0.35 + dice.normal(count, 3, 1, 1) * 0.12).exp()
    return pictures.clamp(1e-3, 1) ** power


def grey(_dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    return luminance(pictures).expand(-1, 3, -1, -1)


def sepia(_dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,bjhw->bihw", torch.tensor(SEPIA, device=pictures.device), pictures).clamp(0, 1)


def vignetted(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    y, x = coordinates(pictures.shape[-1], pictures.device)
    return pictures * (1 - (x * x + y * y) * dice.uniform(len(pictures), 1, 1, 1, high=0.5))


def posterised(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    steps = dice.integers(3, 8, len(pictures), 1, 1, 1)
    return (pictures * steps).round() / steps


def noisy(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    strength = dice.uniform(len(pictures), 1, 1, 1, high=0.16)
    return (pictures + dice.normal(*pictures.shape) * strength).clamp(0, 1)


def blurred(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """Gaussian, one width for all of them."""
    sigma = math.exp(dice.number(math.log(0.4), math.log(2.4))) * pictures.shape[-1] / 80
    reach = max(1, round(2.5 * sigma))
    line = (-((torch.arange(-reach, reach + 1.0, device=pictures.device) / sigma) ** 2) / 2).exp()
    line = (line / line.sum()).expand(3, 1, -1)
    pictures = functional.pad(pictures, (reach, reach, 0, 0), mode="replicate")
    pictures = functional.conv2d(pictures, line[:, :, None, :], groups=3)
    pictures = functional.pad(pictures, (0, 0, reach, reach), mode="replicate")
    return functional.conv2d(pictures, line[:, :, :, None], groups=3)


def sharpened(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    soft = functional.avg_pool2d(functional.pad(pictures, (1,) * 4, mode="replicate"), 3, 1)
    return (pictures + (pictures - soft) * dice.uniform(len(pictures), 1, 1, 1, low=0.5, high=3)).clamp(0, 1)


def coarse(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """Down to a third of the size or more, and up again."""
    size = pictures.shape[-1]
    small = dice.whole(size // 3, size - 8)
    shrunk = functional.interpolate(pictures, size=(small, small), mode="bilinear", antialias=True)
    return functional.interpolate(shrunk, size=(size, size), mode="bilinear")


def filmed(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """The grating of a screen seen through a camera, in three shifted colours, and a bright haze."""
    count = len(pictures)
    y, x = coordinates(pictures.shape[-1], pictures.device)
    angle, pitch = dice.uniform(count, 1, 1, high=TURN), dice.uniform(count, 1, 1, low=15, high=110)
    bend = 0.1 * (y * dice.uniform(count, 1, 1, low=1, high=6)).sin()
    phase = pitch * (x * angle.cos() + y * angle.sin() + bend)
    grating = torch.stack([phase.sin(), (phase + 1).sin(), (phase + 2).sin()], 1)
    pictures = pictures * (1 + dice.uniform(count, 1, 1, 1, high=0.15) * grating)
    glare = (-((x - dice.normal(count, 1, 1)) ** 2) - (y - dice.normal(count, 1, 1)) ** 2).exp()[:, None]
    return over(pictures, torch.ones_like(pictures), glare * dice.uniform(count, 1, 1, 1, high=0.3)).clamp(0, 1)


def compressed(dice: Dice, pictures: torch.Tensor, worst: float = 8, best: float = 80) -> torch.Tensor:
    """What JPEG does to a picture, at a quality of its own; chroma at full resolution. Source: ITU-T T.81."""
    count, _, height, width = pictures.shape
    device = pictures.device
    place = torch.arange(8.0, device=device)
    cosines = ((2 * place + 1) * place[:, None] * math.pi / 16).cos() / 2
    cosines[0] /= math.sqrt(2)
    chroma = torch.full((8, 8), 99.0, device=device)
    chroma[:4, :4] = torch.tensor(JPEG_CHROMA, device=device, dtype=torch.float32)
    luma = torch.tensor(JPEG_LUMA, device=device, dtype=torch.float32)
    quality = dice.uniform(count, 1, low=worst, high=best)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).reshape(count, 1, 1, 1, 1, 1)  # noqa: PLR2004
    steps = (torch.stack([luma, chroma, chroma]).reshape(1, 3, 1, 1, 8, 8) * scale).clamp(min=1)
    matrix = torch.tensor(JPEG_COLOURS, device=device)
    levels = torch.einsum("ij,bjhw->bihw", matrix, pictures * 255)
    levels[:, 0] -= 128
    blocks = levels.reshape(count, 3, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    blocks = cosines.T @ ((cosines @ blocks @ cosines.T / steps).round() * steps) @ cosines
    levels = blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, 3, height, width)
    levels[:, 0] += 128
    return (torch.einsum("ij,bjhw->bihw", torch.linalg.inv(matrix), levels) / 255).clamp(0, 1)
