"""
The golden embedding: proof, at every start, that a model still gives what it gave when it was sealed.

Wrong weights change the `embedder_id`; a wrong resize, a changed library or a faulty device may not, but they change
the embedding of a known picture.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.embedder import EmbedderId, Embeddings
from models.errors import GoldenMismatch
from models.media.types import Frame

FILE = "golden.json"
FORMAT = 1
PICTURE = "rings-1"
LEAST_COSINE = 0.999
"""Between machines and devices the cosine is over 0.99999; another resize filter already gives less than this."""
DECIMALS = 7
NORM_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Golden:
    """What a sealed model says of itself."""

    name: str
    """The readable part of its `embedder_id`."""
    embedder_id: EmbedderId
    embedding: Embeddings
    """Shape (1, dim), of `golden_picture()` as a whole."""

    @classmethod
    def load(cls, folder: Path) -> "Golden | None":
        """
        The seal of a local-dir, if it has one.

        Raises:
            GoldenMismatch: it has one that cannot be read.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT or told["picture"] != PICTURE:
                raise GoldenMismatch(f"{FILE} was written by another release: seal the model again.")
            embedding = np.array([told["embedding"]], dtype=np.float32)
            if not abs(float(np.linalg.norm(embedding)) - 1.0) <= NORM_TOLERANCE:  # also true of what is no number
                raise GoldenMismatch(f"{FILE} holds what is no embedding: seal the model again.")
            return cls(str(told["name"]), EmbedderId(str(told["embedder_id"])), embedding)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GoldenMismatch(f"{FILE} cannot be read: seal the model again.") from error

    def save(self, folder: Path) -> None:
        told = {
            "format": FORMAT,
            "name": self.name,
            "embedder_id": self.embedder_id,
            "picture": PICTURE,
            "embedding": [round(float(value), DECIMALS) for value in self.embedding[0]],
        }
        (folder / FILE).write_text(json.dumps(told) + "\n", encoding="utf-8")

    def check(self, embedder_id: EmbedderId, embedding: Embeddings) -> None:
        """
        Hold a freshly opened model against the seal.

        Raises:
            GoldenMismatch: weights, configuration, preprocessing or device do not give what was sealed.
        """
        if embedder_id != self.embedder_id:
            raise GoldenMismatch(
                f"The model is {embedder_id} but was sealed as {self.embedder_id}: "
                "its weights, configuration or views have changed since."
            )
        if embedding.shape != self.embedding.shape or not float((embedding * self.embedding).sum()) >= LEAST_COSINE:
            raise GoldenMismatch(
                f"The model {embedder_id} does not give its golden embedding here: "
                "its preprocessing, a library or the device is not what it was sealed with."
            )


def golden_picture() -> Frame:
    """A colourful still of whole-number arithmetic: the same bits on every machine and with every library."""
    height, width = 192, 256
    y, x = np.ogrid[0:height, 0:width]
    rings = ((x - 85) ** 2 + (y - 70) ** 2) // 175 % 256
    weave = (x * 5 // 4 + y * 3 // 2) % 256
    tiles = (x // 16 + y // 12) % 2 * 90 + x // 2
    picture = np.stack([rings, weave, tiles], axis=2)
    picture[115:170, 150:235, 0] = 2 * y[115:170] - 200
    picture[115:170, 150:235, 1] = 255 - x[:, 150:235]
    return picture.clip(0, 255).astype(np.uint8)
