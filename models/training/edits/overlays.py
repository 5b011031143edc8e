"""
Edits that put something on, under or around a picture: captions, writing, stickers, another picture.

`extras` are pictures of other identities, of shape (m, 3, s, s) at the output's size.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from models.training.canvas import over, palettes, softened
from models.training.dice import Dice
from models.training.edits.geometry import FRAMES
from models.training.shapes import inside, pasted, placed, writing


def fillings(
    dice: Dice, pictures: torch.Tensor, frame: torch.Tensor, extras: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    What is around the picture in its frame: a colour, another picture, its own blur, or a page of an app.

    Args:
        dice: the randomness.
        pictures: shape (n, 3, s, s), the unframed originals, any size.
        frame: shape (n,), an entry of FRAMES by place.
        extras: shape (m, 3, out, out).

    Returns:
        shape (n, 3, out, out), and for each picture which of the extras it is put on, -1 for none.
    """
    count, size = len(pictures), extras.shape[-1]
    draw = dice.uniform(count, 1)
    tone = torch.where(draw < 0.35, 0.0, torch.where(draw < 0.65, 1.0, dice.uniform(count, 3)))  # noqa: PLR2004
    around = tone[:, :, None, None].expand(-1, -1, size, size).clone()
    inset, bars = frame == FRAMES.index("inset"), frame == FRAMES.index("bars")
    screen = frame == FRAMES.index("screen")
    on_other = (inset & dice.chance(0.7, count)) | dice.chance(0.02, count)
    on_blur = (bars & dice.chance(0.35, count)) | (screen & dice.chance(0.1, count))
    extra = torch.where(on_other, dice.integers(0, len(extras) - 1, count), -1)
    rows = on_other.nonzero()[:, 0]
    if len(rows):
        around[rows] = extras[extra[rows]]
    rows = on_blur.nonzero()[:, 0]
    if len(rows):
        around[rows] = _own_blur(dice, pictures[rows], size)
    rows = (screen & ~on_blur).nonzero()[:, 0]
    if len(rows):
        around[rows] = _app(dice, around[rows])
    return around, extra


def _own_blur(dice: Dice, pictures: torch.Tensor, size: int) -> torch.Tensor:
    small = dice.whole(5, 14)
    shrunk = functional.interpolate(pictures, size=(small, small), mode="bilinear", antialias=True)
    soft = functional.interpolate(shrunk, size=(size, size), mode="bicubic").clamp(0, 1)
    return soft * dice.uniform(len(pictures), 1, 1, 1, low=0.5)


def _app(dice: Dice, plain: torch.Tensor) -> torch.Tensor:
    """A plain page with lines of writing and a few round or square buttons."""
    count, _, size, _ = plain.shape
    ink = torch.where(plain.mean((1, 2, 3), keepdim=True) > 0.5, 0.1, 0.9)  # noqa: PLR2004
    ink = torch.where(dice.chance(0.7, count, 1, 1, 1), ink, dice.uniform(count, 3, 1, 1))
    for _ in range(2):
        plain = over(
            plain, ink, pasted(dice, writing(dice, count, size, dice.whole(1, 3)), 0.2, 0.7, turn=0.0, aspect=0.25)
        )
    for _ in range(dice.whole(1, 3)):
        across, down, scale = placed(dice, count, size, 0.04, 0.12)
        mask = (inside(dice, across, down) * scale * size / 2 + 0.5).clamp(0, 1)[:, None]
        plain = over(plain, palettes(dice, count, 1).reshape(count, 3, 1, 1), mask)
    return plain


def captioned(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """A bar with writing above or below; the picture is squeezed to make room, or the bar covers part of it."""
    count, _, size, _ = pictures.shape
    bar = round(size * dice.number(0.1, 0.33))
    tone = torch.where(dice.chance(0.6, count, 1, 1, 1), 1.0, 0.0)
    tone = torch.where(dice.chance(0.75, count, 1, 1, 1), tone, dice.uniform(count, 3, 1, 1)).expand(-1, 3, -1, -1)
    signs = functional.interpolate(writing(dice, count, size, dice.whole(1, 2)), size=(bar, size), mode="bilinear")
    band = over(tone.expand(-1, -1, bar, size), 1 - tone, signs)
    if dice.number() < 0.7:  # noqa: PLR2004
        rest = functional.interpolate(pictures, size=(size - bar, size), mode="bilinear", antialias=True)
    else:
        rest = pictures[:, :, : size - bar] if dice.number() < 0.5 else pictures[:, :, bar:]  # noqa: PLR2004
    return torch.cat([band, rest], 2) if dice.number() < 0.5 else torch.cat([rest, band], 2)  # noqa: PLR2004


def inscribed(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """Lines of writing across the picture, black, white or coloured, some see-through."""
    count, _, size, _ = pictures.shape
    signs = pasted(dice, writing(dice, count, size), 0.25, 1.0, turn=0.15, aspect=0.35)
    tone = torch.where(dice.chance(0.5, count, 1, 1, 1), 1.0, 0.0)
    tone = torch.where(dice.chance(0.6, count, 1, 1, 1), tone, dice.uniform(count, 3, 1, 1)).expand(-1, 3, -1, -1)
    return over(pictures, tone, signs * dice.uniform(count, 1, 1, 1, low=0.4))


def stickered(dice: Dice, pictures: torch.Tensor, extras: torch.Tensor) -> torch.Tensor:
    """One to four shapes on the picture, of a colour, striped, or cut from another picture."""
    count, _, size, _ = pictures.shape
    for _ in range(dice.whole(1, 4)):
        across, down, scale = placed(dice, count, size, 0.1, 0.45)
        mask = (inside(dice, across, down) * scale * size / 2 + 0.5).clamp(0, 1)[:, None]
        stripes = 0.25 * (across * dice.uniform(count, 1, 1, low=1, high=9)).sin()[:, None]
        paint = (dice.uniform(count, 3, 1, 1) + stripes).clamp(0, 1)
        other = extras[dice.integers(0, len(extras) - 1, count)]
        pictures = over(pictures, torch.where(dice.chance(0.3, count, 1, 1, 1), other, paint), mask)
    return pictures


def blended(dice: Dice, pictures: torch.Tensor, extras: torch.Tensor) -> torch.Tensor:
    """Another picture laid over, thinly."""
    other = extras[dice.integers(0, len(extras) - 1, len(pictures))]
    return over(pictures, other, dice.uniform(len(pictures), 1, 1, 1, low=0.1, high=0.4))


def censored(dice: Dice, pictures: torch.Tensor) -> torch.Tensor:
    """A part blurred beyond recognition, as faces and number plates are."""
    count, _, size, _ = pictures.shape
    across, down, scale = placed(dice, count, size, 0.15, 0.5)
    mask = (inside(dice, across, down) * scale * size / 2 + 0.5).clamp(0, 1)[:, None]
    return over(pictures, softened(softened(pictures, 9), 9), mask)
