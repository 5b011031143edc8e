"""The photographs of an evaluation: which can be read, and which are copies of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import MediaError
from models.media.image import decode_image
from models.media.types import DecodedFrame, Frame, MediaLimits
from models.perceptual import pdq_forms

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic"})
LIMITS = MediaLimits()
SAME_PDQ = 31
"""Pictures this near in PDQ, in any of its eight orientations, are copies. Source: PDQ's own recommendation."""
UPLOAD_QUALITY = 90
"""Edited pictures are saved as JPEG of this quality before they are looked at, as uploads are."""

Tick = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Picture:
    """
    Args:
        name: the path within its folder; seeds whatever is random about it.
        path: where it is.
        pdq: its hash, 32 bytes.
    """

    name: str
    path: Path
    pdq: bytes


@dataclass(frozen=True, slots=True)
class Folder:
    """
    Args:
        pictures: one of each group of copies, in order of name.
        copies: names of pictures that are copies, by groups; the first of each is among `pictures`.
        broken: names of files that could not be read.
    """

    pictures: tuple[Picture, ...]
    copies: tuple[tuple[str, ...], ...]
    broken: tuple[str, ...]


def read_folder(folder: Path, tick: Tick) -> Folder:
    """Every picture under a folder; none at all is an empty answer."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    pictures: list[Picture] = []
    broken: list[str] = []
    turned: list[list[bytes]] = []
    for place, path in enumerate(paths):
        tick(f"reading {folder.name}", place, len(paths))
        name = path.relative_to(folder).as_posix()
        try:
            frame = decode_image(path.read_bytes(), LIMITS).frames[0]
        except (OSError, MediaError):
            broken.append(name)
            continue
        pictures.append(Picture(name, path, frame.pdq))
        turned.append(dihedral_hashes(frame.pixels))
    groups = _groups([picture.pdq for picture in pictures], turned)
    kept = tuple(pictures[group[0]] for group in groups)
    copies = tuple(tuple(pictures[place].name for place in group) for group in groups if len(group) > 1)
    return Folder(kept, copies, tuple(broken))


def looked_at(picture: Image.Image) -> DecodedFrame:
    """A picture as the service sees it once it was uploaded."""
    held = BytesIO()
    picture.save(held, "JPEG", quality=UPLOAD_QUALITY)
    return decode_image(held.getvalue(), LIMITS).frames[0]


def original(picture: Picture) -> DecodedFrame:
    """The picture itself, decoded as the service does."""
    return decode_image(picture.path.read_bytes(), LIMITS).frames[0]


def dihedral_hashes(frame: Frame) -> list[bytes]:
    """PDQ hashes of the eight turns and mirror images of a frame, itself first."""
    return pdq_forms(frame)


def signs(hashes: Sequence[bytes]) -> np.ndarray:
    """Hashes as rows of -1 and 1, float32, shape (n, 256): their products are 256 - 2 * distance."""
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 32), axis=1)
    return bits.astype(np.float32) * 2 - 1


def _groups(hashes: list[bytes], turned: list[list[bytes]]) -> list[list[int]]:
    """Positions grouped by nearness of any form of one to the other, in order of their first members."""
    if not hashes:
        return []
    leader = list(range(len(hashes)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    plain = signs(hashes)
    for form in range(8):
        near = (256 - signs([forms[form] for forms in turned]) @ plain.T) / 2 <= SAME_PDQ
        for one, other in np.argwhere(near):
            if one != other:
                first, second = sorted((find(int(one)), find(int(other))))
                leader[second] = first
    groups: dict[int, list[int]] = {}
    for place in range(len(hashes)):
        groups.setdefault(find(place), []).append(place)
    return [groups[first] for first in sorted(groups)]
