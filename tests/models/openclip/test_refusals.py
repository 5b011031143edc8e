"""Models that cannot be what they are said to be are refused before anything is served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models.embedder import Embeddings
from models.errors import ModelUnavailable, UnknownModel, WeightsMissing
from models.media.types import Frame
from models.openclip import open_embedder
from models.tower_embedder import TowerEmbedder

Scene = Callable[..., Image.Image]


def ours(embedder: TowerEmbedder, *frames: Frame) -> Embeddings:
    return embedder.embed([embedder.prepare(frame) for frame in frames])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "no model name"),
        ("nonsense", "no model name"),
        ("ViT-B-23/laion2b_s34b_b79k", "ViT-B-32"),
        ("ViT-B-32/no_such_tag", "laion2b_s34b_b79k"),
        ("tiny-vit/anything", "none"),
        ("/etc/passwd", "no model name"),
        ("tiny-vit:", "no model name"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(name: str, says: str) -> None:
    with pytest.raises(UnknownModel, match=says):
        open_embedder(name)


def test_missing_files_say_what_to_do(tmp_path: Path, vit: Path) -> None:
    with pytest.raises(WeightsMissing, match="no file"):
        open_embedder(f"tiny-vit:{tmp_path / 'absent.safetensors'}")
    with pytest.raises(WeightsMissing, match="pickle"):
        open_embedder(f"tiny-vit:{vit.with_suffix('.pt')}")
    with pytest.raises(WeightsMissing, match=r"open_clip_config\.json"):
        open_embedder(f"local-dir:{tmp_path / 'absent'}")


def test_a_folder_with_pickles_only_is_refused(local_dir: Path) -> None:
    (local_dir / "open_clip_model.safetensors").rename(local_dir / "open_clip_pytorch_model.bin")
    with pytest.raises(WeightsMissing, match="pickle"):
        open_embedder(f"local-dir:{local_dir}")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_cfg": 3}', '{"model_cfg": {"vision_cfg": null}}'])
def test_a_damaged_configuration_is_refused(local_dir: Path, content: str) -> None:
    (local_dir / "open_clip_config.json").write_text(content)
    with pytest.raises(UnknownModel):
        open_embedder(f"local-dir:{local_dir}")


def test_a_configuration_that_cannot_be_built_is_refused(local_dir: Path) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"] = {"timm_model_name": "no_such_network", "image_size": 64}
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownModel, match="cannot build"):
        open_embedder(f"local-dir:{local_dir}")


@pytest.mark.parametrize("wound", ["missing", "extra", "shape", "garbage", "truncated", "text only"])
def test_weights_that_do_not_fit_are_refused(vit: Path, tmp_path: Path, wound: str) -> None:
    weights = load_file(str(vit))
    damaged = tmp_path / "damaged.safetensors"
    if wound == "missing":
        del weights["visual.proj"]
    elif wound == "extra":
        weights["visual.surplus"] = torch.zeros(3)
    elif wound == "shape":
        weights["visual.proj"] = torch.zeros(3, 3)
    elif wound == "text only":
        weights = {key: value for key, value in weights.items() if not key.startswith("visual.")}
    save_file(weights, str(damaged))
    if wound == "garbage":
        damaged.write_bytes(b"garbage" * 100)
    elif wound == "truncated":
        damaged.write_bytes(vit.read_bytes()[:-1000])
    with pytest.raises(WeightsMissing):
        open_embedder(f"tiny-vit:{damaged}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_weights_that_give_no_embedding_are_refused_before_anything_is_served(
    vit: Path, tmp_path: Path, value: float
) -> None:
    weights = load_file(str(vit))
    weights["visual.proj"].fill_(value)
    save_file(weights, str(tmp_path / "damaged.safetensors"))
    with pytest.raises(ModelUnavailable, match="damaged"):
        open_embedder(f"tiny-vit:{tmp_path / 'damaged.safetensors'}")


@pytest.mark.parametrize("wrong", [{"mode": "L"}, {"mean": "grey"}, {"interpolation": 5}])
def test_preprocessing_that_cannot_be_carried_out_is_refused(local_dir: Path, wrong: dict[str, Any]) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= wrong
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable):
        open_embedder(f"local-dir:{local_dir}")


def test_a_checkpoint_of_the_picture_tower_alone_is_enough(vit: Path, tmp_path: Path, frame: Frame) -> None:
    tower = {key: value for key, value in load_file(str(vit)).items() if key.startswith("visual.")}
    alone = tmp_path / "alone.safetensors"
    save_file(tower, str(alone))
    whole, part = open_embedder(f"tiny-vit:{vit}"), open_embedder(f"tiny-vit:{alone}")
    assert whole.space.embedder_id == part.space.embedder_id
    assert np.array_equal(ours(whole, frame), ours(part, frame))


# The hub, played by a folder
