"""From whatever a file holds to plain RGB of a bounded size: depth scaled, transparency on white, memory bounded."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import UnsupportedMedia

WHITE = (255, 255, 255)
REDUCTION_GAIN = 2
"""Whole-number averaging goes down to at least this many times the wanted size; a filtered resize does the rest."""
BAND_PIXELS = 4_000_000
"""A large picture is converted in bands of about this many pixels, so that only the original is ever held whole."""
FULL_SCALES = (1.0, 255.0, 65_535.0, 4_294_967_295.0)
"""What white may mean where the file does not say."""
PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")


def fitted(size: tuple[int, int], side_px: int) -> tuple[int, int]:
    """The width and height that fit into a square of that side; a smaller size stays as it is."""
    longest = max(size)
    if longest <= side_px:
        return size
    width, height = (max(1, round(extent * side_px / longest)) for extent in size)
    return width, height


def rgb_within(image: Image.Image, side_px: int) -> Image.Image:
    """
    A loaded image as RGB on white that fits into a square of that side.

    Raises:
        UnsupportedMedia: a colour model that is not read, such as CIELAB.
    """
    if image.mode not in PLAIN_MODES:
        image = _from_deep(image)
    target = fitted(image.size, side_px)
    if target == image.size:
        return _on_white(image)
    across, down = (max(1, have // (REDUCTION_GAIN * want)) for have, want in zip(image.size, target, strict=True))
    reduced = _on_white(image) if across == down == 1 else _averaged(image, across, down)
    exact = (0, 0, image.width / across, image.height / down)
    return reduced.resize(target, Image.Resampling.HAMMING, box=exact)


def _averaged(image: Image.Image, across: int, down: int) -> Image.Image:
    """The image as RGB, each pixel the mean of a block of `across` by `down`, made band by band."""
    width, height = image.size
    averaged = Image.new("RGB", (-(-width // across), -(-height // down)))
    rows = down * max(1, BAND_PIXELS // (width * down))
    for top in range(0, height, rows):
        band = image if rows >= height else image.crop((0, top, width, min(height, top + rows)))
        averaged.paste(_on_white(band).reduce((across, down)), (0, top // down))
    return averaged


def _on_white(image: Image.Image) -> Image.Image:
    """
    The image as RGB, with its transparency composited on white.

    Otherwise pixels that nobody sees would decide a match.
    """
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layered = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, WHITE)
    canvas.paste(layered, mask=layered.getchannel("A"))
    return canvas


def _from_deep(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, scaled: converting it directly would clip nearly all of it to white."""
    if not image.mode.startswith(("I", "F")):
        raise UnsupportedMedia("The picture's colour model is not read here.")
    deep = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey: NDArray[np.uint8] = (deep.astype(np.uint16) >> 8).astype(np.uint8)
    else:
        values = np.nan_to_num(deep.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
        brightest = float(values.max(initial=0.0))
        white = next((scale for scale in FULL_SCALES if brightest <= scale), brightest)
        grey = (values * (255.0 / white)).astype(np.uint8)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey = np.where(deep == hidden, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")
