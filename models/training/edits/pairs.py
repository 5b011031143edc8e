"""
Pairs of views to learn from: one near the original, as what is banked, and one as re-uploaders make it.

Kinds of edit that the evaluation has and this deliberately does not, so that what is measured there is not only what
was practised: pictures side by side, tiled watermarks, lens distortion, mosaics of large pixels, swirls, and negatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.training.canvas import over
from models.training.dice import Dice
from models.training.edits import colour, overlays
from models.training.edits.geometry import Geometry, placements, resampled

HELD_OUT = ("side_by_side", "tiled_watermark", "lens", "mosaic", "swirl", "negative")

Filter = Callable[[Dice, torch.Tensor], torch.Tensor]

MODERATE = Geometry(
    untouched=0.55,
    frames=(0.08, 0.05, 0.08, 0.05),
    inset=0.5,
    crop=(0.5, 0.35),
    turn=(0.2, 15),
    quarter=0.04,
    mirror=0.2,
    tilt=(0.1, 0.15),
)
HARD = Geometry(
    untouched=0.08,
    frames=(0.11, 0.07, 0.2, 0.09),
    inset=0.36,
    crop=(0.6, 0.14),
    turn=(0.33, 28),
    quarter=0.12,
    mirror=0.33,
    tilt=(0.15, 0.28),
)
COLOURS: tuple[tuple[Filter, float], ...] = (
    (colour.graded, 0.6),
    (colour.hue_turned, 0.15),
    (colour.curved, 0.3),
    (colour.vignetted, 0.12),
    (colour.grey, 0.16),
    (colour.sepia, 0.05),
    (colour.posterised, 0.03),
    (colour.filmed, 0.1),
    (colour.sharpened, 0.06),
    (colour.blurred, 0.12),
    (colour.blurred, 0.12),
    (colour.coarse, 0.12),
    (colour.noisy, 0.2),
    (colour.compressed, 0.25),
)
"""Each with the share of hard views that it changes; they are applied in this order."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """
    A batch: row i of `near` and row i of `hard` come from the same picture.

    Args:
        near: uint8, shape (n, 3, size, size).
        hard: likewise.
        origins: int64, shape (2, n, 3): which pictures of the pool each view shows a part of, -1 for none.
    """

    near: torch.Tensor
    hard: torch.Tensor
    origins: torch.Tensor


def paired(
    dice: Dice,
    pictures: torch.Tensor,
    origins: torch.Tensor,
    extras: torch.Tensor,
    extra_origins: torch.Tensor,
    *,
    size: int,
) -> Pairs:
    """
    Two views of each picture.

    Args:
        dice: the randomness.
        pictures: shape (n, 3, s, s), floats in 0..1.
        origins: shape (n, 2), what each is made of.
        extras: shape (m, 3, size, size), other pictures to put these on or beside.
        extra_origins: shape (m,).
        size: the views' side in pixels.
    """
    near, near_extra = _viewed(dice, pictures, extras, MODERATE, size=size, often=0.35)
    hard, hard_extra = _viewed(dice, pictures, extras, HARD, size=size, often=1.0)
    lent = [torch.where(extra >= 0, extra_origins[extra.clamp(min=0)], -1) for extra in (near_extra, hard_extra)]
    shown = torch.stack([torch.cat([origins, part[:, None]], 1) for part in lent])
    return Pairs(_bytes(near), _bytes(hard), shown)


def _viewed(
    dice: Dice, pictures: torch.Tensor, extras: torch.Tensor, rule: Geometry, *, size: int, often: float
) -> tuple[torch.Tensor, torch.Tensor]:
    place = placements(dice, len(pictures), rule)
    seen, mask = resampled(pictures, place, size)
    around, extra = overlays.fillings(dice, pictures, place.frame, extras)
    views = over(around, seen, mask)
    layers: tuple[tuple[Filter, float], ...] = (
        (overlays.captioned, 0.13),
        (overlays.inscribed, 0.18),
        (lambda d, x: overlays.stickered(d, x, extras), 0.2),
        (overlays.censored, 0.04),
        (lambda d, x: overlays.blended(d, x, extras), 0.06),
    )
    for edit, share in layers + COLOURS:
        chosen = dice.some(len(views), share * often)
        if len(chosen):
            views[chosen] = edit(dice, views[chosen])
    return views, extra


def _bytes(views: torch.Tensor) -> torch.Tensor:
    return (views.clamp(0, 1) * 255).round().to(torch.uint8)
