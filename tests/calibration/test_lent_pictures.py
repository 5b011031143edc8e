"""What edits put pictures beside or on top of must not be what they are then held against."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.embedder import EmbedderId, Embeddings, Space
from models.evaluation.calibrating import CalibrationOptions, calibrate
from models.media.types import Frame

PICTURES = 20
COPY = 0.9
"""Thumbnails of unrelated noise never agree this well; a copy's always do."""


class HalvesEmbedder:
    """Grey thumbnails of a frame and of its halves: it finds a picture beside another for sure."""

    def __init__(self) -> None:
        self.space = Space(EmbedderId("halves"), "halves", 64, 8, None)
        self.device = "cpu"
        self.degraded = False

    def reference_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def query_views(self, frame: Frame) -> list[Frame]:
        height, width = frame.shape[0] // 2, frame.shape[1] // 2
        return [frame, frame[:, :width], frame[:, width:], frame[:height], frame[height:]]

    def prepare(self, view: Frame) -> NDArray[np.float32]:
        small = Image.fromarray(np.ascontiguousarray(view)).convert("L").resize((8, 8), Image.Resampling.BOX)
        row = np.asarray(small, dtype=np.float32).reshape(-1)
        return np.asarray(row - row.mean(), dtype=np.float32)

    def embed(self, batch: Sequence[NDArray[np.float32]]) -> Embeddings:
        rows = np.stack(batch)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), dtype=np.float32)

    def close(self) -> None:
        pass


def test_an_innocent_query_never_shows_a_banked_picture(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    for place in range(PICTURES):
        cells = dice.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(cells).resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / f"{place:02d}.png")
    made = calibrate(CalibrationOptions(tmp_path, edits=10), HalvesEmbedder(), lambda *_: None)
    record = getattr(made, "record", made)
    assert record.variant.score < COPY
