"""A run small enough for a test, and a folder of pictures made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.training import held_out, pool
from models.training.dice import Dice
from models.training.generator import generate
from models.training.options import TrainingOptions

TinyRun = Callable[..., TrainingOptions]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Many small operations are slower on several threads than on one."""
    torch.set_num_threads(1)


@pytest.fixture
def _simple_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coloured noise in place of generated pictures, which cost more than the rest of a tiny run."""

    def noise(dice: Dice, count: int, size: int) -> torch.Tensor:
        small = dice.uniform(count, 3, 5, 5)
        return torch.nn.functional.interpolate(small, size=(size, size), mode="bilinear")

    monkeypatch.setattr(pool, "generate", noise)
    monkeypatch.setattr(held_out, "generate", noise)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRun:
    """Options of a run of a few steps on few and small pictures."""

    def make(**changes: object) -> TrainingOptions:
        plain: dict[str, object] = {
            "folder": tmp_path / "run",
            "width": 24,
            "steps": 4,
            "finish_steps": 2,
            "size": 32,
            "finish_size": 40,
            "shipped_size": 32,
            "pairs": 4,
            "pool": 64,
            "pool_start": 64,
            "pool_pictures": 64,
            "pool_size": 40,
            "workers": 0,
            "warmup_steps": 2,
            "report_steps": 2,
            "held_out_steps": 1000,
            "memory": 16,
            "memory_from": 1,
            "checkpoint_minutes": 0.0,
            "device": "cpu",
        }
        return TrainingOptions(**(plain | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def generated() -> torch.Tensor:
    return generate(Dice.of("tests"), 64, 40)


@pytest.fixture
def photographs(tmp_path: Path, generated: torch.Tensor) -> Path:
    """A folder of pictures of different shapes, one in a subfolder, one broken, one no picture."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for place, picture in enumerate(generated[:30]):
        pixels = (picture.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        name = folder / ("more" if place == 0 else "") / f"{place}.jpg"
        Image.fromarray(pixels).resize((60, 40 + place)).save(name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (folder / "notes.txt").write_text("not a picture")
    return folder
