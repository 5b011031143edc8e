"""Models that come from a hub, its cache, or nowhere."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from PIL import Image

from models import openclip
from models.embedder import Embeddings
from models.errors import WeightsMissing
from models.media.types import Frame
from models.openclip import open_embedder
from models.tower_embedder import TowerEmbedder

Scene = Callable[..., Image.Image]


def ours(embedder: TowerEmbedder, *frames: Frame) -> Embeddings:
    return embedder.embed([embedder.prepare(frame) for frame in frames])


def theirs(model: Any, preprocess: Any, *pictures: Image.Image) -> Embeddings:
    with torch.inference_mode():
        batch = torch.stack([preprocess(picture) for picture in pictures])
        rows: Embeddings = model.eval().encode_image(batch, normalize=True).numpy()
        return rows


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, local_dir: Path) -> list[tuple[str, str]]:
    """A hub that has the files of the local-dir, and what was asked of it."""
    asked: list[tuple[str, str]] = []

    def download(repository: str, filename: str, *, local_files_only: bool = False) -> str:
        asked.append((repository, filename))
        if local_files_only:
            raise LocalEntryNotFoundError(filename)
        if not (local_dir / filename).is_file():
            raise EntryNotFoundError(filename)
        return str(local_dir / filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    return asked


def test_a_model_comes_from_the_hub(hub: list[tuple[str, str]], local_dir: Path, frame: Frame) -> None:
    embedder = open_embedder("hf-hub:somebody/some-model")
    assert embedder.space.embedder_id.startswith("some-model-")
    assert np.array_equal(ours(embedder, frame), ours(open_embedder(f"local-dir:{local_dir}"), frame))
    assert all(repository == "somebody/some-model" for repository, _ in hub)


def test_a_tag_is_looked_up_and_brings_its_preprocessing(
    hub: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, frame: Frame, vit: Path
) -> None:
    published = {
        "hf_hub": "somebody/tiny/open_clip_model.bin",
        "quick_gelu": True,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "resize_mode": "squash",
        "size": 9999,
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-vit", {"tag": published})  # noqa: SLF001
    embedder = open_embedder("tiny-vit/tag")
    assert hub[0] == ("somebody/tiny", "open_clip_model.safetensors")
    reference, preprocess = open_clip.create_model_from_pretrained(
        "tiny-vit",
        str(vit),
        force_quick_gelu=True,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        image_resize_mode="squash",
    )
    expected = theirs(reference, preprocess, Image.fromarray(frame))
    assert (ours(embedder, frame) * expected).sum() >= 0.9999
    assert embedder.space.embedder_id != open_embedder(f"tiny-vit:{vit}").space.embedder_id


@pytest.mark.parametrize("name", ["hf-hub:somebody/some-model", "ViT-B-32/laion2b_s34b_b79k"])
def test_without_a_hub_the_error_says_what_to_do_and_the_hub_is_tried_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def download(_: str, filename: str, *, local_files_only: bool = False) -> str:
        assert filename.endswith((".safetensors", ".json")), "a pickle was asked for"
        if not local_files_only:
            tries.append(filename)
        raise LocalEntryNotFoundError(filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    with pytest.raises(WeightsMissing, match=r"cannot be reached.*local-dir:PATH"):
        open_embedder(name)
    assert len(tries) == 1


def test_what_the_cache_has_is_not_asked_of_the_hub(local_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_: str, filename: str, *, local_files_only: bool = False) -> str:
        assert local_files_only, "the hub was asked"
        return str(local_dir / filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    assert open_embedder("hf-hub:somebody/some-model").space.dim == 32


def test_a_configuration_and_weights_of_two_revisions_are_not_mixed(
    local_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = shutil.copytree(local_dir, tmp_path / "newer")

    def download(_: str, filename: str, *, local_files_only: bool = False) -> str:
        if local_files_only and filename != "open_clip_config.json":
            raise LocalEntryNotFoundError(filename)
        return str((local_dir if local_files_only else newer) / filename)

    monkeypatch.setattr(openclip, "hf_hub_download", download)
    with pytest.raises(WeightsMissing, match="revisions"):
        open_embedder("hf-hub:somebody/some-model")


def test_a_name_that_no_hub_takes_is_refused_without_one() -> None:
    with pytest.raises(WeightsMissing, match="HFValidationError"):
        open_embedder("hf-hub:not a/repository/name")


# Devices, and the model that is shipped
