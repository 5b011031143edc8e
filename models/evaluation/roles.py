"""Which picture plays which part, drawn once by a seed; no picture plays two."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from models.evaluation.errors import TooFewPictures
from models.evaluation.pictures import Picture

LEAST = 12
NEGATIVE_SHARE = 1 / 7
"""At least this share of the pictures is never banked."""


@dataclass(frozen=True, slots=True)
class Roles:
    """
    Args:
        bank: what is banked; the first `originals` of it are edited and asked about.
        originals: how many.
        negatives: never banked; asked about, and lent as background to edits.
    """

    bank: tuple[Picture, ...]
    originals: int
    negatives: tuple[Picture, ...]


def drawn(pictures: Sequence[Picture], bank: int, originals: int, seed: int) -> Roles:
    """
    Draw the parts.

    Args:
        pictures: distinct ones.
        bank: how many to bank at most; at least a seventh of the pictures is kept out of it.
        originals: how many of these to edit at most.
        seed: the same seed and pictures give the same parts.

    Raises:
        TooFewPictures: fewer than LEAST.
    """
    if len(pictures) < LEAST:
        raise TooFewPictures(f"{len(pictures)} distinct pictures that can be read; at least {LEAST} are needed")
    shuffled = list(pictures)
    random.Random(seed).shuffle(shuffled)
    size = min(bank, len(shuffled) - max(2, round(len(shuffled) * NEGATIVE_SHARE)))
    return Roles(tuple(shuffled[:size]), min(originals, size), tuple(shuffled[size:]))
