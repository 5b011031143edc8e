"""Photographs to mix into the generated pictures: any folder, read once, kept as small squares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.errors import MediaError
from models.media.image import decode_image
from models.media.types import MediaLimits
from models.training.errors import NoTrainingPictures

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
KEPT_SIDE = 192
HELD_OUT_OF = 24
"""One photograph in this many is held out, chosen by its name."""
LIMITS = MediaLimits(max_bytes=1 << 30, sampled_frames=1, side_px=1 << 20)
"""Files of one's own may be large, and are not reduced on the way: one resize brings them to their square."""


@dataclass(frozen=True, slots=True)
class Photographs:
    """
    Args:
        training: uint8, shape (n, 3, side, side).
        held_out: likewise, never trained on.
        broken: how many files could not be read.
    """

    training: torch.Tensor
    held_out: torch.Tensor
    broken: int


def read_photographs(folder: Path, side: int = KEPT_SIDE) -> Photographs:
    """
    Every picture under a folder, in order of name.

    Raises:
        NoTrainingPictures: none of the files is a picture, or the folder is not there.
    """
    training: list[np.ndarray] = []
    held_out: list[np.ndarray] = []
    broken = 0
    for path in sorted(part for part in folder.rglob("*") if part.suffix.lower() in SUFFIXES):
        try:
            square = _square(path, side)
        except (OSError, MediaError):
            broken += 1
            continue
        apart = int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % HELD_OUT_OF == 0
        (held_out if apart else training).append(square)
    if not training:
        raise NoTrainingPictures(f"no picture that can be read among the files of the folder ({broken} broken)")
    return Photographs(_stacked(training, side), _stacked(held_out, side), broken)


def _square(path: Path, side: int) -> np.ndarray:
    """The picture as the service would see it (upright, on white, 16 bits scaled), brought to a square."""
    upright = Image.fromarray(decode_image(path.read_bytes(), LIMITS).frames[0].pixels)
    return np.asarray(upright.resize((side, side), Image.Resampling.BOX, reducing_gap=None))


def _stacked(squares: list[np.ndarray], side: int) -> torch.Tensor:
    if not squares:
        return torch.zeros(0, 3, side, side, dtype=torch.uint8)
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
