"""Where the pictures of a rehearsal come from: drawn from random numbers, or somebody's own photographs."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from models.perceptual import pdq
from service.picture_files import looks_like_picture

LONGEST_SIDE = 640
"""What platforms make of an upload before anybody sees it; larger photographs are reduced to this."""
_LEAST_SIDE = 160
_LEAST_QUALITY = 60
"""PDQ's own, of a picture that is worth showing: enough happens in it."""
_APART = 80
"""Pictures this near in PDQ may be copies, and would make the score a matter of luck."""
_DRAWN_SIDE = 256
_SHAPES = ((512, 384), (512, 512), (384, 512))


class TooFewPictures(Exception):
    """There are not enough pictures for a rehearsal of this size; the sentence says how many are missing."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The pictures, by the part they play; none plays two."""

    footage: tuple[Image.Image, ...]
    """What the event is about."""
    benign: tuple[Image.Image, ...]
    """What people upload on any other day."""
    lent: tuple[Image.Image, ...]
    """What footage is put on and beside; uploaded by nobody."""


@dataclass(frozen=True, slots=True)
class Wanted:
    footage: int
    benign: int
    lent: int = 8

    @property
    def total(self) -> int:
        return self.footage + self.benign + self.lent


def drawn_pictures(wanted: Wanted, seed: int) -> Cast:
    """Pictures of the generator that also draws what the bundled model is trained on, with seeds that it never uses."""
    return _dealt(_drawn(seed, wanted.total), wanted)


def photographs(folder: Path, wanted: Wanted, seed: int) -> Cast:
    """
    Photographs below a folder, chosen by the seed.

    Raises:
        TooFewPictures: fewer can be used; what cannot be decoded, is tiny, flat or a copy of another is left out.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and looks_like_picture(path))
    random.Random(seed).shuffle(paths)
    return _dealt(_opened(paths), wanted)


def _dealt(pictures: Iterator[Image.Image], wanted: Wanted) -> Cast:
    chosen = _distinct(pictures, wanted.total)
    if len(chosen) < wanted.total:
        raise TooFewPictures(
            f"{wanted.total} different pictures are needed, and {len(chosen)} can be used: add some, or ask for a "
            "smaller rehearsal."
        )
    footage, rest = chosen[: wanted.footage], chosen[wanted.footage :]
    return Cast(tuple(footage), tuple(rest[wanted.lent :]), tuple(rest[: wanted.lent]))


def _distinct(pictures: Iterator[Image.Image], most: int) -> list[Image.Image]:
    """The first so many in which enough happens and that are no copies of each other."""
    chosen: list[Image.Image] = []
    bits: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    for picture in pictures:
        digest, quality = pdq(np.asarray(picture))
        own = np.unpackbits(np.frombuffer(digest, np.uint8))
        if quality < _LEAST_QUALITY or any(np.count_nonzero(own != other) <= _APART for other in bits):
            continue
        chosen.append(picture)
        bits.append(own)
        if len(chosen) == most:
            break
    return chosen


def _opened(paths: Sequence[Path]) -> Iterator[Image.Image]:
    for path in paths:
        try:
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        if min(picture.size) >= _LEAST_SIDE:
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            yield picture


def _drawn(seed: int, about: int) -> Iterator[Image.Image]:
    """More than wanted, for some are left out; in portions, for drawing takes its time."""
    from models.training.dice import Dice  # noqa: PLC0415 - torch takes seconds, which photographs do not need
    from models.training.generator import generate  # noqa: PLC0415 - likewise

    shapes = random.Random(seed)
    for portion in range(8):
        count = max(16, round(about * 1.3)) if portion == 0 else max(16, about // 3)
        made = generate(Dice.of("rehearsal", seed, portion), count, _DRAWN_SIDE)
        for pixels in (made.permute(0, 2, 3, 1) * 255).round().byte().numpy():
            yield ImageOps.fit(Image.fromarray(pixels), shapes.choice(_SHAPES), Image.Resampling.LANCZOS)
