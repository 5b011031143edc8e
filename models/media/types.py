"""The values that decoding passes on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import EmptyMedia, MediaTooLarge

Frame = NDArray[np.uint8]
"""RGB pixels of shape (height, width, 3), upright, transparency composited on white."""


FRAME_RECIPE = "frames-1"
"""
The version of the pixel path from bytes to frames: which reduction, which filter, how transparency and depth are
treated. It is a part of every `embedder_id`, so a change of it is a change of space.
"""


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What an upload may cost. Over a limit is an error, never a silent cut."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_frames: int = 2_000
    sampled_frames: int = 8
    """How many frames of an animated file are looked at, spread evenly over it."""
    side_px: int = 512
    """
    Frames are reduced to fit into a square of this side; smaller ones stay as they are. Not for an operator to choose:
    embeddings depend on it, and `FRAME_RECIPE` stands for this one.
    """

    def refuse_by_size(self, data: bytes) -> None:
        """
        What can be said of an upload without looking into it.

        Raises:
            EmptyMedia: no bytes at all.
            MediaTooLarge: more bytes than allowed.
        """
        if not data:
            raise EmptyMedia("The upload is empty.")
        if len(data) > self.max_bytes:
            raise MediaTooLarge(f"The upload has {len(data)} bytes; at most {self.max_bytes} are accepted.")


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One still of an upload, with its PDQ hash."""

    pixels: Frame
    pdq: bytes
    """32 bytes, most significant bit first, as ThreatExchange writes it in hex."""
    pdq_quality: int
    """0..100; PDQ itself advises against hashes under 50."""
    low_information: bool
    """Blank, black, or nearly so: too little to see for a match to mean anything."""
    position_ms: int


@dataclass(frozen=True, slots=True)
class Media:
    """An upload, decoded."""

    kind: Literal["image", "video"]
    """An animated picture is an image with several frames and a duration."""
    format: str
    """`jpeg`, `png`, `webp`, `gif`, `avif`, `bmp`, `tiff`, `heif`."""
    width_px: int
    """Of the upload itself, upright, before any reduction."""
    height_px: int
    frames: tuple[DecodedFrame, ...]
    duration_ms: int | None
    sha256: str
    """Hex digest of the uploaded bytes."""

    @property
    def low_information(self) -> bool:
        return all(frame.low_information for frame in self.frames)
