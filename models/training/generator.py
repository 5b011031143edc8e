"""
The generated part of the pictures we train on: drawn from random numbers alone, so that no licence, no person and no
harmful content comes in with it. What a folder of photographs mixes in beside it is its owner's to answer for.
"""

from __future__ import annotations

import torch

from models.training.canvas import over, smooth, warped
from models.training.dice import Dice
from models.training.scenes import SCENES
from models.training.shapes import pasted, writing
from models.training.textures import textures

PLAIN_TEXTURES = 0.08
"""The share of pictures that are a texture and nothing else."""


def generate(dice: Dice, count: int, size: int) -> torch.Tensor:
    """
    New pictures, in random order.

    Args:
        dice: the randomness, and the device to work on.
        count: at least 16; the cost of a picture falls up to some hundred.
        size: their side in pixels.

    Returns:
        shape (count, 3, size, size), float32 in 0..1.
    """
    stuff = textures(dice, count, size)
    plain = round(count * PLAIN_TEXTURES)
    parts = [warped(dice, stuff[:plain], 0.15)] if plain else []
    shares = [share for _, share in SCENES]
    taken = plain
    for place, (scene, _) in enumerate(SCENES):
        until = plain + round((count - plain) * sum(shares[: place + 1]) / sum(shares))
        if until > taken:
            # Scenes lend from the textures of others, so that each picture mixes several.
            own = torch.cat([stuff[taken:until], stuff[: max(0, 8 - (until - taken))]])
            parts.append(scene(dice, own)[: until - taken])
        taken = until
    pictures = torch.cat(parts)[dice.order(count)].clamp(0, 1)
    pictures = _written(dice, pictures)
    return _photographed(dice, pictures)[dice.order(count)]


def _written(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """Some writing on one picture in eight, as signs and labels are in photographs."""
    chosen = dice.some(len(pictures), 0.12)
    if not len(chosen):
        return pictures
    lines = pasted(dice, writing(dice, len(chosen), pictures.shape[-1]), 0.15, 0.7, turn=0.2, aspect=0.4)
    pictures[chosen] = over(pictures[chosen], dice.uniform(len(chosen), 3, 1, 1), lines)
    return pictures


def _photographed(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """A light that falls unevenly, muted colours, a tone curve, a white balance, sensor noise."""
    count, _, size, _ = pictures.shape
    pictures = pictures * (smooth(dice, count, 1, 3, size) * dice.uniform(count, 1, 1, 1, high=0.35)).exp()
    pictures = pictures.clamp(1e-4, 1) ** (dice.normal(count, 1, 1, 1) * 0.3).exp()
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * dice.uniform(count, 1, 1, 1) ** 0.6
    pictures = pictures * (1 + dice.normal(count, 3, 1, 1) * 0.07)
    noise = dice.normal(count, 1, size, size) * dice.uniform(count, 1, 1, 1, high=0.02)
    return (pictures + noise).clamp(0, 1)
