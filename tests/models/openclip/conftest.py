"""Architectures of a few milliseconds, and weights and folders of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

Scene = Callable[..., Image.Image]

TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
TINY: dict[str, dict[str, Any]] = {
    "tiny-vit": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "tiny-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "tiny-timm-vit": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"},
    "tiny-timm-resnet": {"image_size": 96, "timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "mlp"},
}
DIM = 32


@pytest.fixture(scope="session", autouse=True)
def _tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Teach open_clip a few architectures that take milliseconds, on one core."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("architectures")
    for name, vision in TINY.items():
        config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Weights for an architecture: random once, then as fixed as any."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(architecture: str) -> Path:
        path = folder / f"{architecture}.safetensors"
        if not path.exists():
            torch.manual_seed(7)
            model = open_clip.create_model(architecture, load_weights=False)
            save_file({key: value.contiguous() for key, value in model.state_dict().items()}, str(path))
        return path

    return make


@pytest.fixture
def vit(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint("tiny-vit")


@pytest.fixture
def local_dir(tmp_path: Path, vit: Path) -> Path:
    """A folder as open_clip pushes it to the hub."""
    folder = tmp_path / "local"
    folder.mkdir()
    config = {
        "model_cfg": {"embed_dim": DIM, "vision_cfg": TINY["tiny-vit"], "text_cfg": TEXT},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    shutil.copy(vit, folder / "open_clip_model.safetensors")
    return folder
