"""Edits that leave every pixel in its place."""

from __future__ import annotations

import random
from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from models.evaluation.edits.kinds import Lender, share_of


def jpeg(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    """Quality 10."""
    return recoded(picture, 10)


def recoded(picture: Image.Image, quality: int) -> Image.Image:
    held = BytesIO()
    picture.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("RGB")


def blur(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    """Gaussian, of 1 % of the shorter side."""
    return picture.filter(ImageFilter.GaussianBlur(share_of(picture, 0.01)))


def noise(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Gaussian, of 25 levels, in each channel."""
    numbers = np.random.default_rng(dice.getrandbits(32))
    levels = np.asarray(picture, dtype=np.float32)
    levels = levels + numbers.standard_normal(levels.shape, dtype=np.float32) * 25
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def resize(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    """To a quarter of the side, and up again."""
    small = picture.resize((max(1, picture.width // 4), max(1, picture.height // 4)), Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


def grading(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Brightness, contrast and saturation each a third up or down."""
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhancer(picture).enhance(dice.choice((0.7, 1.35)))
    return picture


def grey(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    return picture.convert("L").convert("RGB")


def hue(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """A fifth of the circle, either way."""
    turned = np.array(picture.convert("HSV"))
    turned[..., 0] = turned[..., 0] + np.uint8(dice.choice((51, 205)))
    bands = [Image.fromarray(np.ascontiguousarray(turned[..., place])) for place in range(3)]
    return Image.merge("HSV", bands).convert("RGB")


def mosaic(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    """Squares of 5 % of the shorter side."""
    cell = share_of(picture, 0.05)
    small = picture.resize((max(1, picture.width // cell), max(1, picture.height // cell)), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def negative(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    return ImageOps.invert(picture)
