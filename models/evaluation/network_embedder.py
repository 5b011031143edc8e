"""A network of ours as an embedder, without open_clip: for the untrained baseline and for checkpoints under study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.calibration import CalibrationRecord
from models.embedder import EmbedderId, Embeddings, Space
from models.media.types import Frame
from models.network import CopyNetwork, Shape, folded
from models.views import Views


class NetworkEmbedder:
    """
    Looks at frames as the shipped local-dir does; on the CPU, for one thread.

    Args:
        network: folded, in evaluation mode.
        image_px: the side it looks at.
        name: of its space; not a name that anything may be stored under.
        views: what of each frame it looks at.
        calibration: of its space, if there is one.
    """

    def __init__(
        self,
        network: CopyNetwork,
        image_px: int,
        name: str,
        views: Views | None = None,
        calibration: CalibrationRecord | None = None,
    ) -> None:
        self._network = network.to(memory_format=torch.channels_last)
        self._views = views or Views()
        self.space = Space(EmbedderId(name), name, network.shape.dim, image_px, calibration)
        self.device = "cpu"
        self.degraded = False

    def reference_views(self, frame: Frame) -> list[Frame]:
        return self._views.reference_views(frame)

    def query_views(self, frame: Frame) -> list[Frame]:
        return self._views.query_views(frame)

    def prepare(self, view: Frame) -> NDArray[np.float32]:
        side = self.space.image_px
        square = Image.fromarray(view).resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray((np.asarray(square, dtype=np.float32) / 255 - 0.5) * 4, dtype=np.float32)

    def embed(self, batch: Sequence[NDArray[np.float32]]) -> Embeddings:
        pictures = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return np.asarray(self._network(pictures).numpy(), dtype=np.float32)

    def close(self) -> None:
        pass


def untrained(width: int, image_px: int, seed: int = 0) -> NetworkEmbedder:
    """The network before it has learned anything: what training adds is the difference to this."""
    torch.manual_seed(seed)
    network = CopyNetwork(Shape(width, norm=True))
    calm = torch.randn(64, 3, image_px, image_px)
    with torch.no_grad():
        # Batch statistics of noise, so that activations neither vanish nor explode.
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = None
        network.train()(calm)
    return NetworkEmbedder(folded(network), image_px, "untrained")
