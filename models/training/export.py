"""The result of a run as an open_clip local-dir: what the service loads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.documents import write_json
from models.network import NAMED_SHAPES, CopyNetwork, Shape, folded
from models.training.errors import CheckpointMismatch, ExportFailed

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
TRAINING_FILE = "training.json"
BUNDLED = Path("bundled")
"""The name of the shipped network; a folder of one's own that is called so is told by its whole path."""
BUNDLED_FOLDER = Path(__file__).parents[1] / "bundled"
TOWER = "visual.trunk."
READABLE = 0o644
MEAN, DEVIATION = 0.5, 0.25
TEXT_TOWER = {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
"""open_clip insists on one; its weights are zeros and mean nothing."""


def config(shape: Shape, size: int) -> dict[str, object]:
    """What open_clip reads: how to build the network and how to prepare pictures of `size` pixels for it."""
    return {
        "model_cfg": {
            "embed_dim": shape.dim,
            "vision_cfg": {
                "timm_model_name": shape.name,
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "none",
                "image_size": size,
            },
            "text_cfg": TEXT_TOWER,
        },
        "preprocess_cfg": {
            "size": [size, size],
            "mode": "RGB",
            "mean": [MEAN] * 3,
            "std": [DEVIATION] * 3,
            "interpolation": "bilinear",
            "resize_mode": "squash",
            "fill_color": 0,
        },
    }


def export(network: CopyNetwork, folder: Path, size: int, facts: dict[str, object]) -> Path:
    """
    Write config, weights with batch normalisation folded in, and how they came to be.

    Args:
        network: as trained.
        folder: the local-dir; other files in it (a calibration, a card) are left alone.
        size: the side, in pixels, at which it will look at pictures.
        facts: written to `training.json`.

    Raises:
        ExportFailed: the folder cannot be written; what was in it is unchanged.
    """
    shape = Shape(network.shape.width, network.shape.dim)
    if shape not in NAMED_SHAPES:
        raise ExportFailed(f"no network of width {shape.width} is registered: add it to NAMED_SHAPES")
    tensors = {TOWER + key: value.contiguous() for key, value in folded(network).state_dict().items()}
    tensors |= _text_tower(shape.dim)
    aside = folder / (WEIGHTS_FILE + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(aside), metadata={"format": "pt"})
        aside.chmod(READABLE)  # safetensors writes for its owner alone
        aside.replace(folder / WEIGHTS_FILE)
        write_json(folder / CONFIG_FILE, config(shape, size))
        write_json(folder / TRAINING_FILE, facts)
    except (OSError, SafetensorError) as error:
        raise ExportFailed(f"the local-dir could not be written: {error}") from error
    return folder


def shipped_network(folder: Path) -> CopyNetwork:
    """
    The network of a local-dir of ours, folded, in evaluation mode, without open_clip.

    Args:
        folder: the local-dir, or `bundled`.

    Raises:
        CheckpointMismatch: the folder does not hold one.
    """
    folder = _where(folder)
    try:
        told = json.loads((folder / CONFIG_FILE).read_text())
        name = told["model_cfg"]["vision_cfg"]["timm_model_name"]
        shape = {known.name: known for known in NAMED_SHAPES}[name]
        with safe_open(str(folder / WEIGHTS_FILE), framework="pt") as opened:
            keys = [key for key in opened.keys() if key.startswith(TOWER)]  # noqa: SIM118 not a dict
            tensors = {key.removeprefix(TOWER): opened.get_tensor(key) for key in keys}
        network = CopyNetwork(shape)
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointMismatch("the folder holds no network of ours") from error
    return network.eval()


def weights_sha256(folder: Path) -> str:
    """
    Hex digest of the weights' file of a local-dir, or of `bundled`.

    Raises:
        CheckpointMismatch: the folder does not hold one.
    """
    try:
        with (_where(folder) / WEIGHTS_FILE).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointMismatch("the folder holds no network of ours") from error


def _where(folder: Path) -> Path:
    return BUNDLED_FOLDER if folder == BUNDLED else folder


def _text_tower(dim: int) -> dict[str, torch.Tensor]:
    width, length, words = TEXT_TOWER["width"], TEXT_TOWER["context_length"], TEXT_TOWER["vocab_size"]
    block = "transformer.resblocks.0."
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (length, width),
        "text_projection": (width, dim),
        "logit_scale": (),
        "token_embedding.weight": (words, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        block + "ln_1.weight": (width,),
        block + "ln_1.bias": (width,),
        block + "attn.in_proj_weight": (3 * width, width),
        block + "attn.in_proj_bias": (3 * width,),
        block + "attn.out_proj.weight": (width, width),
        block + "attn.out_proj.bias": (width,),
        block + "ln_2.weight": (width,),
        block + "ln_2.bias": (width,),
        block + "mlp.c_fc.weight": (4 * width, width),
        block + "mlp.c_fc.bias": (4 * width,),
        block + "mlp.c_proj.weight": (width, 4 * width),
        block + "mlp.c_proj.bias": (width,),
    }
    return {key: torch.zeros(shape) for key, shape in shapes.items()}
