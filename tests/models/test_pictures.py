"""From bytes to frames: every format, and every way in which a file's pixels are not what people see."""

import hashlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.media.image import decode_image, readable_formats
from models.media.types import Media, MediaLimits

Scene = Callable[..., Image.Image]
Encode = Callable[..., bytes]

LIMITS = MediaLimits()


def decoded(data: bytes, limits: MediaLimits = LIMITS) -> Media:
    return decode_image(data, limits)


def pixels_of(data: bytes) -> np.ndarray:
    return decoded(data).frames[0].pixels.astype(int)


def difference(left: np.ndarray, right: Image.Image | np.ndarray) -> float:
    return float(np.abs(left.astype(int) - np.asarray(right).astype(int)).mean())


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 92}, 3.0),
        ("JPEG", {"quality": 92, "progressive": True}, 3.0),
        ("PNG", {}, 0.0),
        ("WEBP", {"quality": 92}, 3.0),
        ("WEBP", {"lossless": True}, 0.0),
        ("AVIF", {"quality": 90}, 3.0),
        ("BMP", {}, 0.0),
        ("TIFF", {"compression": "tiff_lzw"}, 0.0),
    ],
)
def test_a_picture_comes_out_of_each_format_as_it_went_in(
    scene: Scene, encode: Encode, kind: str, options: dict[str, Any], tolerance: float
) -> None:
    picture = scene()
    media = decoded(encode(picture, kind, **options))
    assert (media.kind, media.format) == ("image", kind.lower())
    assert (media.width_px, media.height_px, media.duration_ms) == (320, 240, None)
    assert len(media.frames) == 1
    assert difference(media.frames[0].pixels, picture) <= tolerance


def test_heif_is_read_where_its_extra_is_installed(scene: Scene, encode: Encode) -> None:
    pytest.importorskip("pillow_heif")
    readable_formats()
    media = decoded(encode(scene(), "HEIF", quality=90))
    assert media.format == "heif"
    assert difference(media.frames[0].pixels, scene()) < 4


def test_palette_grey_and_bilevel_pictures_become_rgb(scene: Scene, encode: Encode) -> None:
    picture = scene()
    assert difference(pixels_of(encode(picture.quantize(64), "PNG")), picture.quantize(64).convert("RGB")) == 0
    assert difference(pixels_of(encode(picture.convert("L"), "PNG")), picture.convert("L").convert("RGB")) == 0
    assert difference(pixels_of(encode(picture.convert("1"), "PNG")), picture.convert("1").convert("RGB")) == 0


def test_cmyk_jpegs_are_not_inverted(scene: Scene, encode: Encode) -> None:
    assert difference(pixels_of(encode(scene().convert("CMYK"), "JPEG", quality=95)), scene()) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(scene: Scene, encode: Encode, orientation: int) -> None:
    picture = scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = encode(picture, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(lying)))
    media = decoded(lying)
    assert (media.width_px, media.height_px) == expected.size
    assert difference(media.frames[0].pixels, expected) == 0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied_once_in_every_format_that_has_it(scene: Scene, encode: Encode, kind: str) -> None:
    picture = scene()
    exif = Image.Exif()
    exif[0x0112] = 6
    media = decoded(encode(picture, kind, exif=exif, quality=92))
    assert (media.width_px, media.height_px) == (240, 320)
    assert difference(media.frames[0].pixels, picture.transpose(Image.Transpose.ROTATE_270)) < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_no_reason_to_refuse_a_sound_picture(scene: Scene, encode: Encode) -> None:
    data = encode(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert len(decoded(data).frames) == 1


def test_pixels_hidden_under_full_transparency_do_not_count(scene: Scene, encode: Encode) -> None:
    hidden = scene(seed=1).convert("RGBA")
    hidden.putalpha(0)
    assert (pixels_of(encode(hidden, "PNG")) == 255).all()
    assert decoded(encode(hidden, "PNG")).low_information


def test_half_transparency_is_composited_on_white(encode: Encode) -> None:
    grey = Image.new("RGBA", (40, 40), (0, 100, 200, 128))
    expected = np.array([127, 177, 227])
    assert np.abs(pixels_of(encode(grey, "PNG"))[0, 0] - expected).max() <= 1
    assert np.abs(pixels_of(encode(grey, "WEBP", lossless=True))[0, 0] - expected).max() <= 1


def test_a_transparent_palette_entry_and_a_transparent_colour_turn_white(scene: Scene, encode: Encode) -> None:
    palette = scene().quantize(16)
    shown = pixels_of(encode(palette, "PNG", transparency=3))
    assert (shown[np.asarray(palette) == 3] == 255).all()
    key = Image.new("RGB", (32, 32), (10, 20, 30))
    assert (pixels_of(encode(key, "PNG", transparency=(10, 20, 30))) == 255).all()


def test_16_bit_grey_is_scaled_and_not_clipped(encode: Encode) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    shown = pixels_of(encode(Image.fromarray(ramp), "PNG"))
    assert difference(shown[..., 0], ramp >> 8) == 0
    assert shown[:, 128].mean() == pytest.approx(128, abs=1)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 9e9])
def test_floating_point_pictures_are_scaled_to_the_white_they_mean(encode: Encode, white: float) -> None:
    ramp = np.tile(np.linspace(0, white, 256).astype(np.float32), (64, 1))
    ramp[0, 0] = np.nan
    shown = pixels_of(encode(Image.fromarray(ramp), "TIFF"))
    assert shown[:, 128].mean() == pytest.approx(128, abs=2)
    assert shown[:, 255].mean() >= 254


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_picture_is_reduced_to_the_same_frame_by_every_path(scene: Scene, encode: Encode, kind: str) -> None:
    large = scene(2600, 1300)
    media = decoded(encode(large, kind, quality=95, compress_level=1))
    assert (media.width_px, media.height_px) == (2600, 1300)
    assert media.frames[0].pixels.shape == (256, 512, 3)
    assert difference(media.frames[0].pixels, large.resize((512, 256), Image.Resampling.LANCZOS)) < 1.5


def test_bands_of_a_large_picture_leave_no_seam(scene: Scene, encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(scene(600, 600).convert("RGBA"), "PNG")
    small = MediaLimits(side_px=64)
    whole = decoded(data, small).frames[0].pixels
    monkeypatch.setattr("models.media.pixels.BAND_PIXELS", 5_000)
    assert np.array_equal(decoded(data, small).frames[0].pixels, whole)


def test_a_small_picture_stays_as_it_is(scene: Scene, encode: Encode) -> None:
    assert decoded(encode(scene(33, 17))).frames[0].pixels.shape == (17, 33, 3)


@pytest.mark.parametrize(
    ("size", "shape"), [((1, 1), (1, 1, 3)), ((10_000, 2), (1, 512, 3)), ((2, 10_000), (512, 1, 3))]
)
def test_slivers_and_single_pixels_are_decoded_and_flagged(
    scene: Scene, encode: Encode, size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    media = decoded(encode(scene(*size)))
    assert media.frames[0].pixels.shape == shape
    assert media.low_information


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("AVIF", {})])
def test_an_animation_gives_frames_spread_evenly_with_their_times(
    scene: Scene, encode: Encode, kind: str, options: dict[str, Any]
) -> None:
    shots = [scene(96, 64, seed=seed) for seed in range(9)]
    data = encode(shots[0], kind, save_all=True, append_images=shots[1:], duration=100, loop=0, **options)
    media = decoded(data, MediaLimits(sampled_frames=5))
    assert media.kind == "image"
    assert [still.position_ms for still in media.frames] == [0, 200, 400, 600, 800]
    assert media.duration_ms == 900
    for still, seed in zip(media.frames, (0, 2, 4, 6, 8), strict=True):
        assert difference(still.pixels, shots[seed]) < 12


def test_a_short_animation_gives_each_frame_once(scene: Scene, encode: Encode) -> None:
    shots = [scene(96, 64, seed=seed) for seed in range(2)]
    media = decoded(encode(shots[0], "GIF", save_all=True, append_images=shots[1:], duration=40))
    assert [still.position_ms for still in media.frames] == [0, 40]


def test_pages_of_a_tiff_are_all_looked_at(scene: Scene, encode: Encode) -> None:
    pages = [scene(96, 64, seed=seed) for seed in range(3)]
    media = decoded(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert len(media.frames) == 3
    assert media.duration_ms is None
    assert difference(media.frames[2].pixels, pages[2]) == 0


@pytest.mark.parametrize(("orientation", "size"), [(1, (96, 64)), (6, (64, 96))])
def test_the_size_of_a_tiff_is_that_of_its_first_page(
    scene: Scene, encode: Encode, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    media = decoded(encode(scene(96, 64), "TIFF", save_all=True, append_images=[scene(50, 40)], exif=exif))
    assert (media.width_px, media.height_px) == size
    assert len(media.frames) == 2


def test_a_phone_picture_with_a_second_one_behind_it_is_one_still(scene: Scene, encode: Encode) -> None:
    data = encode(scene(), "MPO", save_all=True, append_images=[scene(seed=5)])
    media = decoded(data)
    assert (media.format, len(media.frames)) == ("jpeg", 1)
    assert difference(media.frames[0].pixels, scene()) < 4


def test_the_digest_is_of_the_bytes_as_they_came(encode: Encode) -> None:
    data = encode(Image.new("RGB", (20, 20))) + b"\0"
    assert decoded(data).sha256 == hashlib.sha256(data).hexdigest()
