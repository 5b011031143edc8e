"""Folders of pictures made on the spot, and an embedder that costs nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.calibration import CalibrationRecord
from models.embedder import EmbedderId, Embeddings, Space
from models.media.types import Frame
from models.opencv import use_one_thread

MakeFolder = Callable[..., Path]


def picture(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Structure at several scales, as photographs have."""
    dice = np.random.default_rng(seed)
    canvas = np.zeros((height, width, 3))
    for cells, strength in ((3, 90.0), (6, 60.0), (14, 40.0)):
        coarse = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        canvas += strength / 128 * (np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) - 128.0)
    return Image.fromarray((canvas + 128).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """OpenCV's threads, as many as there are cores in each test process, only wait for each other."""
    use_one_thread()


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[..., Image.Image]:
    return picture


@pytest.fixture
def folder(tmp_path: Path) -> MakeFolder:
    """Makes a folder of distinct pictures."""

    def make(count: int, name: str = "photos", start: int = 0) -> Path:
        made = tmp_path / name
        made.mkdir(exist_ok=True)
        for seed in range(start, start + count):
            picture(seed).save(made / f"{seed:03d}.png")
        return made

    return make


class ThumbnailEmbedder:
    """Rows that are tiny grey thumbnails: a descriptor simple enough to think about."""

    def __init__(self, calibration: CalibrationRecord | None = None) -> None:
        self.space = Space(EmbedderId("thumbnail"), "thumbnail", 64, 8, calibration)
        self.device = "cpu"
        self.degraded = False

    def reference_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def query_views(self, frame: Frame) -> list[Frame]:
        return [frame, np.ascontiguousarray(frame[:, ::-1])]

    def prepare(self, view: Frame) -> NDArray[np.float32]:
        small = Image.fromarray(view).convert("L").resize((8, 8), Image.Resampling.BOX)
        row = np.asarray(small, dtype=np.float32).reshape(-1)
        return row - row.mean()

    def embed(self, batch: Sequence[NDArray[np.float32]]) -> Embeddings:
        rows = np.stack(batch)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), dtype=np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def thumbnails() -> ThumbnailEmbedder:
    return ThumbnailEmbedder()
