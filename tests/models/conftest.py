"""Pictures that the tests make themselves: photograph-like, seeded, of any size and format."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.media.types import Frame
from models.opencv import use_one_thread

Scene = Callable[..., Image.Image]
Encode = Callable[..., bytes]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """OpenCV's threads, as many as there are cores in each test process, only wait for each other."""
    use_one_thread()


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Makes a picture with structure at all scales, as photographs have."""

    def make(width: int = 320, height: int = 240, seed: int = 0) -> Image.Image:
        dice = np.random.default_rng(seed)
        canvas = np.zeros((height, width, 3))
        for cells, strength in ((3, 90.0), (7, 60.0), (20, 35.0)):
            coarse = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            canvas += strength / 128 * (np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) - 128.0)
        return Image.fromarray((canvas + 128).clip(0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def frame(scene: Scene) -> Frame:
    return np.asarray(scene())


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Writes a picture as bytes of a format."""

    def write(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
        buffer = BytesIO()
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    return write
