"""A small score on pictures that are not trained on, taken while training goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from models.network import CopyNetwork
from models.training.dice import Dice
from models.training.edits.pairs import paired
from models.training.generator import generate
from models.training.options import TrainingOptions

PICTURES = 128
ROUNDS = 3
"""Hard views of each picture."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """
    Args:
        generated: clean pictures and their hard views, uint8, (n, 3, s, s) and (rounds, n, 3, s, s).
        photographs: likewise, None where there are none.
    """

    generated: tuple[torch.Tensor, torch.Tensor]
    photographs: tuple[torch.Tensor, torch.Tensor] | None

    @classmethod
    def prepare(cls, options: TrainingOptions, photographs: torch.Tensor) -> HeldOut:
        """Make them; the same for every run of one size, whatever its seed."""
        size = options.shipped_size
        dice = Dice.of("held out")
        made = generate(dice, PICTURES, max(options.pool_size, size))
        photos = None
        if len(photographs):
            photos = _with_views(dice, photographs[:PICTURES].float() / 255, size)
        return cls(_with_views(dice, made, size), photos)

    def scores(self, network: CopyNetwork) -> tuple[float, float | None]:
        """Micro-AP of the hard views against the clean pictures: of generated ones, and of photographs."""
        photos = None if self.photographs is None else _score(network, *self.photographs)
        return _score(network, *self.generated), photos


def _with_views(dice: Dice, pictures: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    count = len(pictures)
    ids = torch.arange(count)
    small = functional.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True)
    origins = torch.stack([ids, torch.full_like(ids, -1)], 1)
    views = [paired(dice, pictures, origins, small, ids, size=size).hard for _ in range(ROUNDS)]
    return (small.clamp(0, 1) * 255).round().to(torch.uint8), torch.stack(views)


@torch.inference_mode()
def _score(network: CopyNetwork, clean: torch.Tensor, views: torch.Tensor) -> float:
    device = network.head.weight.device

    def embedded(pictures: torch.Tensor) -> torch.Tensor:
        rows = [
            network(((part.to(device).float() / 255 - 0.5) * 4).contiguous(memory_format=torch.channels_last))
            for part in torch.split(pictures, 64)
        ]
        return torch.cat(rows).float().cpu()

    network.eval()
    bank = embedded(clean)
    scores = torch.cat([embedded(part) @ bank.T for part in views]).numpy()
    truth = np.tile(np.eye(len(bank), dtype=bool), (len(views), 1))
    order = np.lexsort((truth.ravel(), -scores.ravel()))
    hits = truth.ravel()[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / hits.sum())
