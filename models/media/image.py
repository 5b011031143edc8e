"""
Bytes of a picture to frames, in this process. Hostile uploads belong in `models.media.sandbox`, which calls this.

The pixel path is a part of every space (`FRAME_RECIPE`): change it, and every bank has to be embedded anew.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.errors import (
    CorruptMedia,
    DecodingTooCostly,
    MediaError,
    TooManyFrames,
    TooManyPixels,
    UnsupportedMedia,
)
from models.media.information import low_information
from models.media.pixels import fitted, rgb_within
from models.media.types import DecodedFrame, Media, MediaLimits
from models.perceptual import pdq

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
"""Of the many formats Pillow reads, those that people upload: each further one is a further attack surface."""
STILL_FORMATS = ("JPEG", "MPO")
"""Phones put depth and gain maps behind the picture; what people see is the first one alone."""
TIMED_WHEN_LOADED = ("WEBP", "AVIF")
"""Formats whose frames have no duration before their pixels are decoded."""
ORIENTATION_TAG = 0x0112
SIGNATURE_BYTES = 16

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of an EXIF orientation upright."""
LYING = (5, 6, 7, 8)
"""The orientations that swap width and height."""


def decode_image(data: bytes, limits: MediaLimits, digest: str | None = None) -> Media:
    """
    Decode a picture into upright RGB frames with their PDQ hashes.

    A still gives one frame, an animated file `limits.sampled_frames` spread evenly over it.

    Args:
        data: the picture.
        limits: what it may cost.
        digest: its SHA-256, where the caller has it or wants none.

    Raises:
        MediaError: one of its leaves; the sentence says nothing of the picture's content.
    """
    limits.refuse_by_size(data)
    with _blaming_the_upload():
        image = _opened(data)
        _refuse_bombs(image, limits)
        size = image.size  # before a draft makes it smaller
        frames, duration_ms = _frames(image, limits)
        width, height = _upright_size(image, size)
    return Media(
        kind="image",
        format="jpeg" if image.format in STILL_FORMATS else str(image.format).lower(),
        width_px=width,
        height_px=height,
        frames=tuple(frames),
        duration_ms=duration_ms,
        sha256=hashlib.sha256(data).hexdigest() if digest is None else digest,
    )


@cache
def readable_formats() -> tuple[str, ...]:
    """What can be decoded here: HEIF only when pillow-heif is installed."""
    try:
        import pillow_heif  # noqa: PLC0415 an extra that need not be there
    except ImportError:
        return FORMATS
    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


@contextmanager
def _blaming_the_upload() -> Iterator[None]:
    try:
        yield
    except (MediaError, NameError, ImportError):
        raise  # the latter two are our own mistakes
    except MemoryError as error:
        raise DecodingTooCostly("Decoding this picture takes more memory than it may.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels("The picture has more pixels than are accepted.") from error
    except Exception as error:
        # Decoders let anything through when bytes are hostile: struct.error, KeyError, zlib.error, RecursionError …
        raise CorruptMedia("The picture is truncated or damaged.") from error


def _opened(data: bytes) -> Image.Image:
    formats = readable_formats()
    try:
        return Image.open(BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        if _claims_to_be(data[:SIGNATURE_BYTES], formats):
            raise CorruptMedia("The picture is truncated or damaged.") from error
        known = ", ".join(formats)
        raise UnsupportedMedia(f"The upload is not a picture in a format that is read here: {known}.") from error


def _claims_to_be(signature: bytes, formats: tuple[str, ...]) -> bool:
    """Whether the first bytes are those of one of the formats, whatever follows."""
    for name in formats:
        accept = Image.OPEN[name][1]
        if accept is not None and accept(signature) is True:
            return True
    return False


def _refuse_bombs(image: Image.Image, limits: MediaLimits) -> None:
    """Judge by the header, before a pixel is decoded."""
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise TooManyPixels(f"The picture has {pixels} pixels; at most {limits.max_pixels} are accepted.")


def _frames(image: Image.Image, limits: MediaLimits) -> tuple[list[DecodedFrame], int | None]:
    """The frames to look at, and how long an animation lasts."""
    count = _frame_count(image)
    if count > limits.max_frames:
        raise TooManyFrames(f"The animation has {count} frames; at most {limits.max_frames} are accepted.")
    if count == 1:
        return [_frame(image, 0, limits)], None
    wanted = set(np.linspace(0, count - 1, min(count, limits.sampled_frames)).round().astype(int).tolist())
    frames = []
    clock_ms = 0
    for number in range(count):
        image.seek(number)
        _refuse_bombs(image, limits)
        if number in wanted:
            frames.append(_frame(image, clock_ms, limits))
        elif image.format in TIMED_WHEN_LOADED:
            image.load()
        clock_ms += int(image.info.get("duration", 0))
    return frames, clock_ms or None


def _frame_count(image: Image.Image) -> int:
    if image.format in STILL_FORMATS or not getattr(image, "is_animated", False):
        return 1
    return int(getattr(image, "n_frames", 1))


def _frame(image: Image.Image, position_ms: int, limits: MediaLimits) -> DecodedFrame:
    """The current still of an opened image: reduced, on white, upright, hashed."""
    if image.format in STILL_FORMATS:
        # A JPEG is decoded at the least of its own scales that is large enough: a third of the time at 1024 pixels,
        # for a cosine of 0.9998 to the embedding of a full decoding (twice the scale: 0.99996).
        image.draft(None, fitted(image.size, limits.side_px))
    image.load()
    picture = rgb_within(image, limits.side_px)
    turn = UPRIGHT.get(_orientation(image))
    if turn is not None:
        picture = picture.transpose(turn)
    pixels = np.array(picture)
    pdq_hash, quality = pdq(pixels)
    return DecodedFrame(pixels, pdq_hash, quality, low_information(picture), position_ms)


def _upright_size(image: Image.Image, size: tuple[int, int]) -> tuple[int, int]:
    """
    Width and height of a loaded image as people see it, from those its header gave.

    Those of a TIFF are upright already: Pillow turns it by itself, and takes its orientation away.
    """
    return size[::-1] if _orientation(image) in LYING else size


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where it is missing or unreadable."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 damaged metadata raises anything, and is no reason to refuse a sound picture
        return 1
