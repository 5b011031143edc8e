"""open_clip models: the same embeddings as open_clip itself gives, from the right weights."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models import openclip
from models.embedder import Device, Embeddings
from models.errors import ModelUnavailable
from models.media.types import Frame
from models.openclip import BUNDLED, BUNDLED_FOLDER, open_embedder
from models.tower_embedder import TowerEmbedder

Scene = Callable[..., Image.Image]


def ours(embedder: TowerEmbedder, *frames: Frame) -> Embeddings:
    return embedder.embed([embedder.prepare(frame) for frame in frames])


def theirs(model: Any, preprocess: Any, *pictures: Image.Image) -> Embeddings:
    with torch.inference_mode():
        batch = torch.stack([preprocess(picture) for picture in pictures])
        rows: Embeddings = model.eval().encode_image(batch, normalize=True).numpy()
        return rows


@pytest.mark.parametrize(
    ("architecture", "image_px"),
    [("tiny-vit", 64), ("tiny-resnet", 64), ("tiny-timm-vit", 160), ("tiny-timm-resnet", 96)],
)
def test_embeddings_are_those_of_open_clip_itself(
    architecture: str, image_px: int, checkpoint: Callable[[str], Path], scene: Scene
) -> None:
    path = checkpoint(architecture)
    pictures = [scene(200, 150, seed=1), scene(64, 300, seed=2), scene(97, 97, seed=3)]
    expected = theirs(*open_clip.create_model_from_pretrained(architecture, str(path)), *pictures)
    embedder = open_embedder(f"{architecture}:{path}", Device.CPU)
    rows = ours(embedder, *(np.asarray(picture) for picture in pictures))
    assert (rows * expected).sum(axis=1).min() >= 0.9999
    assert rows.dtype == np.float32
    assert embedder.space.dim == rows.shape[1] == 32
    assert embedder.space.image_px == image_px
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
def test_a_folder_is_preprocessed_as_it_says(local_dir: Path, scene: Scene, mode: str) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": mode, "fill_color": 7}
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    pictures = [scene(200, 150, seed=1), scene(64, 300, seed=2)]
    expected = theirs(*open_clip.create_model_from_pretrained(f"local-dir:{local_dir}"), *pictures)
    rows = ours(open_embedder(f"local-dir:{local_dir}"), *(np.asarray(picture) for picture in pictures))
    assert (rows * expected).sum(axis=1).min() >= 0.9999


def test_a_batch_gives_what_its_pictures_give_alone(vit: Path, scene: Scene) -> None:
    embedder = open_embedder(f"tiny-vit:{vit}")
    frames = [np.asarray(scene(seed=seed)) for seed in range(5)]
    alone = np.concatenate([ours(embedder, frame) for frame in frames])
    assert (ours(embedder, *frames) * alone).sum(axis=1).min() >= 0.99999


@pytest.mark.parametrize("shape", [(1, 1), (1, 512), (512, 1), (2, 40), (3, 512)])
@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
def test_slivers_and_single_pixels_are_embedded(local_dir: Path, shape: tuple[int, int], mode: str) -> None:
    config = json.loads((local_dir / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = mode
    (local_dir / "open_clip_config.json").write_text(json.dumps(config))
    embedder = open_embedder(f"local-dir:{local_dir}")
    assert ours(embedder, np.full((*shape, 3), 90, np.uint8)).shape == (1, 32)


def test_only_the_picture_tower_is_kept(vit: Path) -> None:
    embedder = open_embedder(f"tiny-vit:{vit}")
    kept = sum(value.numel() for value in embedder._tower._host.state_dict().values())  # noqa: SLF001
    assert kept == sum(value.numel() for key, value in load_file(str(vit)).items() if key.startswith("visual."))


def test_opening_a_model_leaves_the_programs_logging_alone(vit: Path, caplog: pytest.LogCaptureFixture) -> None:
    handlers, filters = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    open_embedder(f"tiny-vit:{vit}")
    assert (logging.getLogger().handlers, logging.getLogger().filters) == (handlers, filters)
    assert not caplog.records


# Identity


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants absent")
def test_a_device_that_is_not_there_is_refused(vit: Path) -> None:
    with pytest.raises(ModelUnavailable, match="auto or cpu"):
        open_embedder(f"tiny-vit:{vit}", Device.CUDA)
    assert open_embedder(f"tiny-vit:{vit}", Device.AUTO).device in ("cpu", "mps")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("architecture", ["tiny-vit", "tiny-resnet", "tiny-timm-vit", "tiny-timm-resnet"])
def test_cpu_and_gpu_agree(architecture: str, checkpoint: Callable[[str], Path], frame: Frame) -> None:
    name = f"{architecture}:{checkpoint(architecture)}"
    on_gpu, on_cpu = open_embedder(name, Device.CUDA), open_embedder(name, Device.CPU)
    assert (on_gpu.device, on_gpu.degraded) == ("cuda:0", False)
    assert (ours(on_gpu, frame) * ours(on_cpu, frame)).sum() >= 0.9999


def test_the_bundled_model_knows_a_copy_from_another_picture(scene: Scene) -> None:
    embedder = open_embedder(BUNDLED)
    assert embedder.space.embedder_id.startswith("bundled-")
    picture = scene(300, 300, seed=1)
    copy = picture.resize((200, 200)).crop((8, 8, 192, 192))
    original, edited, other = ours(embedder, *(np.asarray(seen) for seen in (picture, copy, scene(300, 300, seed=2))))
    assert original @ edited > 0.8 > original @ other


def test_the_bundled_folder_is_an_open_clip_folder(frame: Frame) -> None:
    openclip.network.register()
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{BUNDLED_FOLDER}")
    expected = theirs(model, preprocess, Image.fromarray(frame))
    assert (ours(open_embedder(BUNDLED), frame) * expected).sum() >= 0.9999
