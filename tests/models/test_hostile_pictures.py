"""What strangers send: each is refused with the right error, and none of it comes near the pixels."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import (
    CorruptMedia,
    EmptyMedia,
    MediaError,
    MediaTooLarge,
    TooManyFrames,
    TooManyPixels,
    UnsupportedMedia,
)
from models.media.image import decode_image
from models.media.types import MediaLimits

Scene = Callable[..., Image.Image]
Encode = Callable[..., bytes]

LIMITS = MediaLimits()


def png_claiming(width: int, height: int) -> bytes:
    """A sound PNG header of any size with next to nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def test_an_empty_upload_is_refused() -> None:
    with pytest.raises(EmptyMedia):
        decode_image(b"", LIMITS)


def test_an_upload_over_the_byte_limit_is_refused(scene: Scene, encode: Encode) -> None:
    data = encode(scene())
    assert decode_image(data, MediaLimits(max_bytes=len(data)))
    with pytest.raises(MediaTooLarge):
        decode_image(data, MediaLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize(
    "data",
    [b"hello, this is text", b"\0" * 500, b"%PDF-1.7 ...", b"\0\0\0\x18ftypmp42" + b"\0" * 40, b"<svg/>", b"x"],
    ids=["text", "zeros", "pdf", "mp4", "svg", "one byte"],
)
def test_what_is_no_picture_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        decode_image(data, LIMITS)


def test_formats_that_pillow_reads_but_people_do_not_upload_are_unsupported(scene: Scene, encode: Encode) -> None:
    for kind in ("PPM", "TGA", "ICO", "JPEG2000", "PCX"):
        with pytest.raises(UnsupportedMedia):
            decode_image(encode(scene(64, 64), kind), LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9])
def test_a_truncated_picture_is_corrupt(scene: Scene, encode: Encode, kind: str, kept: float) -> None:
    data = encode(scene(), kind)
    with pytest.raises(CorruptMedia):
        decode_image(data[: int(len(data) * kept)], LIMITS)


def test_a_signature_with_nothing_behind_it_is_corrupt() -> None:
    for signature in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"):
        with pytest.raises(CorruptMedia):
            decode_image(signature, LIMITS)


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(TooManyPixels):
        decode_image(png_claiming(60_000, 60_000), LIMITS)


def test_the_zone_in_which_pillow_only_warns_is_refused_too() -> None:
    warned_at = int((Image.MAX_IMAGE_PIXELS or 0) * 1.5)
    with pytest.raises(TooManyPixels):
        decode_image(png_claiming(warned_at // 1000, 1000), LIMITS)


def test_the_pixel_limit_is_inclusive(scene: Scene, encode: Encode) -> None:
    data = encode(scene(100, 50))
    assert decode_image(data, MediaLimits(max_pixels=5_000))
    with pytest.raises(TooManyPixels):
        decode_image(data, MediaLimits(max_pixels=4_999))


def test_an_animation_of_too_many_frames_is_refused_not_cut(scene: Scene, encode: Encode) -> None:
    shots = [scene(24, 24, seed=seed) for seed in range(6)]
    data = encode(shots[0], "GIF", save_all=True, append_images=shots[1:], duration=20)
    assert len(decode_image(data, MediaLimits(max_frames=6)).frames) == 6
    with pytest.raises(TooManyFrames):
        decode_image(data, MediaLimits(max_frames=5))


def test_an_animation_truncated_after_its_first_frame_is_corrupt(scene: Scene, encode: Encode) -> None:
    shots = [scene(64, 64, seed=seed) for seed in range(4)]
    data = encode(shots[0], "WEBP", save_all=True, append_images=shots[1:], duration=20, lossless=True)
    with pytest.raises(CorruptMedia):
        decode_image(data[: len(data) // 2], LIMITS)


def test_an_error_tells_nothing_of_the_content() -> None:
    secret = b"secret-name.jpg"
    with pytest.raises(MediaError) as caught:
        decode_image(b"II*\0" + secret * 20, LIMITS)
    assert "secret" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]),
    wounds=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_a_damaged_file_gives_a_picture_or_a_media_error_and_nothing_else(
    kind: str, wounds: list[tuple[float, int]]
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    for where, value in wounds:
        data[int(where * (len(data) - 1))] = value
    try:
        media = decode_image(bytes(data), MediaLimits(max_pixels=1_000_000))
    except MediaError:
        return
    assert all(0 <= still.pdq_quality <= 100 and len(still.pdq) == 32 for still in media.frames)
