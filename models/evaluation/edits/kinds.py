"""What an edit of the evaluation is: a function of a picture, seeded randomness, and other pictures to lend from."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image

Lender = Callable[[random.Random], Image.Image]
"""Gives a picture that is neither banked nor asked about, to put others on or beside."""
Change = Callable[[Image.Image, random.Random, Lender], Image.Image]


class Group(StrEnum):
    """Families of edits, as tables and plots put them together."""

    PHOTOMETRIC = "photometric"
    GEOMETRIC = "geometric"
    FRAMED = "framed"
    OVERLAID = "overlaid"
    CHAINED = "chained"


@dataclass(frozen=True, slots=True)
class Edit:
    """
    One kind of edit, at a fixed severity.

    Args:
        name: as in tables.
        group: its family.
        change: RGB in, RGB out; random only through what it is given.
        held_out: whether the training does without this kind.
        counted: whether it is part of the overall figures; those that are not show where it ends.
    """

    name: str
    group: Group
    change: Change
    held_out: bool = False
    counted: bool = True


def share_of(picture: Image.Image, share: float) -> int:
    """This share of the shorter side, in pixels, at least 1."""
    return max(1, round(min(picture.size) * share))


def any_colour(dice: random.Random) -> tuple[int, int, int]:
    return dice.randrange(256), dice.randrange(256), dice.randrange(256)


def fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Scaled to cover a box and cut to it from the middle."""
    scale = max(width / picture.width, height / picture.height)
    grown = picture.resize((max(width, round(picture.width * scale)), max(height, round(picture.height * scale))))
    left, top = (grown.width - width) // 2, (grown.height - height) // 2
    return grown.crop((left, top, left + width, top + height))
