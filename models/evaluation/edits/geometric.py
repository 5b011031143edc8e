"""Edits that move pixels: mirrors, turns, crops, stretches, lenses."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image

from models.evaluation.edits.kinds import Change, Lender


def mirror(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def upside_down(picture: Image.Image, _dice: random.Random, _lend: Lender) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_180)


def quarter_turn(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    return picture.transpose(dice.choice((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)))


def tilt(degrees: float) -> Change:
    """By so many degrees, either way, the corners black or cut off."""

    def change(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
        angle = degrees * dice.choice((-1, 1))
        turned = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        if dice.random() < 0.5:  # noqa: PLR2004
            return turned
        wide, high = _inner(picture.width, picture.height, math.radians(degrees))
        left, top = (turned.width - wide) // 2, (turned.height - high) // 2
        return turned.crop((left, top, left + wide, top + high))

    return change


def _inner(width: int, height: int, angle: float) -> tuple[int, int]:
    """The largest upright rectangle of the same shape inside a turned one."""
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    scale = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    return max(1, int(width * scale)), max(1, int(height * scale))


def stretch(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """One side half as long again."""
    if dice.random() < 0.5:  # noqa: PLR2004
        return picture.resize((round(picture.width * 1.5), picture.height))
    return picture.resize((picture.width, round(picture.height * 1.5)))


def crop(area: float) -> Change:
    """A part of this share of the area, anywhere, its shape up to a fifth off the picture's."""

    def change(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
        odd = math.sqrt(dice.uniform(0.83, 1.2))
        wide = min(picture.width, max(8, round(picture.width * math.sqrt(area) * odd)))
        high = min(picture.height, max(8, round(picture.height * math.sqrt(area) / odd)))
        left, top = dice.randint(0, picture.width - wide), dice.randint(0, picture.height - high)
        return picture.crop((left, top, left + wide, top + high))

    return change


def perspective(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Corners moved inwards by up to 12 % of the sides, black around."""
    return leaned(picture, dice, 0.12)


def leaned(picture: Image.Image, dice: random.Random, most: float) -> Image.Image:
    """Each corner of the picture moved inwards by up to this share of the sides."""
    wide, high = picture.size

    def shift(length: int) -> float:
        return dice.uniform(0, most) * length

    corners = [(0.0, 0.0), (float(wide), 0.0), (float(wide), float(high)), (0.0, float(high))]
    inward = [
        (shift(wide), shift(high)),
        (wide - shift(wide), shift(high)),
        (wide - shift(wide), high - shift(high)),
        (shift(wide), high - shift(high)),
    ]
    terms = _homography(inward, corners)
    return picture.transform(picture.size, Image.Transform.PERSPECTIVE, terms, Image.Resampling.BILINEAR)


def _homography(output: list[tuple[float, float]], source: list[tuple[float, float]]) -> list[float]:
    """The eight terms that Pillow wants: output coordinates to source coordinates."""
    rows, values = [], []
    for (x, y), (u, v) in zip(output, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(term) for term in np.linalg.solve(np.array(rows), np.array(values))]


def lens(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Barrel or pincushion distortion; at the corners a tenth of the way."""
    return _bent(picture, dice.choice((-0.12, 0.12)), 0.0)


def swirl(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Turned about the middle by up to 40 degrees, less towards the rim."""
    return _bent(picture, 0.0, math.radians(40) * dice.choice((-1, 1)))


def _bent(picture: Image.Image, swell: float, twist: float) -> Image.Image:
    pixels = np.asarray(picture)
    high, wide = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j].astype(np.float32)
    square = x * x + y * y
    angle = twist * np.clip(1 - np.sqrt(square), 0, None)
    east, south = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    grown = 1 + swell * (square - 1)
    column = np.clip((east * grown + 1) / 2 * (wide - 1), 0, wide - 1).round().astype(np.intp)
    row = np.clip((south * grown + 1) / 2 * (high - 1), 0, high - 1).round().astype(np.intp)
    return Image.fromarray(pixels[row, column])
