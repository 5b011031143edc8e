"""What makes two embeddings comparable, as one short digest."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from models.embedder import EmbedderId
from models.media.types import FRAME_RECIPE

DIGEST_DIGITS = 12
NORMALISATION = "l2"


@dataclass(frozen=True, slots=True)
class SpaceParts:
    """All that shapes an embedding, but the weights."""

    architecture: Mapping[str, Any]
    """open_clip's configuration of the picture tower."""
    preprocessing: Mapping[str, Any]
    reference_views: tuple[str, ...]
    query_views: tuple[str, ...]


def embedder_id(name: str, parts: SpaceParts, weights: Mapping[str, torch.Tensor]) -> EmbedderId:
    """
    The name of a space: the same parts and weights give the same id on every machine.

    Args:
        name: a short one for people; the digest is what counts.
        parts: everything but the weights.
        weights: of the picture tower alone, on the CPU.
    """
    told = {
        "architecture": parts.architecture,
        "preprocessing": parts.preprocessing,
        "reference_views": parts.reference_views,
        "query_views": parts.query_views,
        "frames": FRAME_RECIPE,
        "normalisation": NORMALISATION,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode())
    for key in sorted(weights):
        tensor = weights[key].detach().contiguous()
        digest.update(f"|{key}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "model"
    return EmbedderId(f"{readable}-{digest.hexdigest()[:DIGEST_DIGITS]}")
