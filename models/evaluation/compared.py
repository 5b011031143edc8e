"""Which systems an evaluation compares."""

from __future__ import annotations

from collections.abc import Sequence

from models.embedder import Embedder
from models.evaluation.network_embedder import untrained
from models.evaluation.systems import (
    DihedralPdqSystem,
    EmbeddingSystem,
    PdqSystem,
    PerceptualHashSystem,
    System,
)
from models.evaluation.tiled import TiledEye, TiledSystem
from models.evaluation.verified import AutomaticSystem, Eye, VerifiedSystem
from models.features import EXTRACTOR

UNTRAINED_WIDTH = 32

Named = tuple[str, Embedder]


def compared(models: Sequence[Named], tiles: Sequence[int], *, baselines: bool) -> list[System]:
    """
    Each model alone and with a closer look, the same with tiles of what is banked, and what all should beat.

    Args:
        models: embedders with the names they have in tables.
        tiles: numbers of tiles.
        baselines: whether perceptual hashes and the untrained network are among them.
    """
    systems: list[System] = []
    for name, embedder in models:
        record = embedder.space.calibration
        descriptor = EmbeddingSystem(name, embedder, record.normalisation if record else None)
        eye = Eye(descriptor)
        systems += _looking(descriptor, eye)
        for count in tiles:
            tiled = TiledSystem(descriptor, count)
            systems += _looking(tiled, TiledEye(tiled, eye))
    if baselines:
        systems += [PdqSystem(), DihedralPdqSystem(), PerceptualHashSystem()]
        systems.append(EmbeddingSystem("untrained", untrained(UNTRAINED_WIDTH, 96)))
    return systems


def _looking(descriptor: EmbeddingSystem, eye: Eye) -> list[System]:
    """A descriptor alone and, where there is a record that weighs it, with a closer look."""
    weighing = descriptor.embedder.space.verification
    if weighing is None or weighing.extractor != EXTRACTOR:
        return [descriptor]
    name = f"{descriptor.name} + verification"
    return [descriptor, VerifiedSystem(name, eye, weighing), AutomaticSystem(f"{name}, auto", eye, weighing)]
