"""What is compared: each system turns pictures into signatures and says how near two of them are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.calibration import Normalisation
from models.embedder import Embedder
from models.evaluation.pictures import dihedral_hashes, signs
from models.media.types import DecodedFrame

Scores = NDArray[np.float32]
BATCH = 32


class System(Protocol):
    """A way to tell copies from other pictures."""

    @property
    def name(self) -> str: ...

    @property
    def fixed_threshold(self) -> float | None:
        """A score that is used in practice whatever the rate, if there is one."""

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        """One signature for each picture of the bank."""

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        """One signature for each query."""

    def as_banked(self, queries: Sequence[Any]) -> list[Any]:
        """Signatures of queries as if they had been banked, as near to that as can be had."""

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> Scores:
        """Shape (queries, bank), higher is nearer, comparable across queries."""


class EmbeddingSystem:
    """
    An embedder with its views and, if it has one, its score normalisation.

    Args:
        name: as in tables.
        embedder: of the space.
        normalisation: taken off each query's scores; None for plain cosines.
    """

    fixed_threshold = None

    def __init__(self, name: str, embedder: Embedder, normalisation: Normalisation | None = None) -> None:
        self.name = name
        self._embedder = embedder
        self._normalisation = normalisation
        self._last: tuple[Any, list[Any]] = (None, [])
        self._last_banked: tuple[Any, list[Any]] = (None, [])

    @property
    def embedder(self) -> Embedder:
        """That turns pictures into rows."""
        return self._embedder

    @property
    def normalisation(self) -> Normalisation | None:
        """What is taken off each query's scores."""
        return self._normalisation

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        """Asked for the same frames again, it gives the same answer: see `asked`."""
        if self._last_banked[0] is not frames:
            views = [self._embedder.reference_views(frame.pixels) for frame in frames]
            self._last_banked = frames, self._embedded(views)
        return list(self._last_banked[1])

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        """Asked about the same frames again, as by a system that builds on this one, it gives the same answer."""
        if self._last[0] is not frames:
            self._last = frames, self._embedded([self._embedder.query_views(frame.pixels) for frame in frames])
        return list(self._last[1])

    def as_banked(self, queries: Sequence[Any]) -> list[Any]:
        """The whole frame of each, which comes first."""
        return [rows[:1] for rows in queries]

    def _embedded(self, views: list[list[Any]]) -> list[Any]:
        prepared = [self._embedder.prepare(view) for of_one in views for view in of_one]
        rows = np.concatenate(
            [self._embedder.embed(prepared[start : start + BATCH]) for start in range(0, len(prepared), BATCH)]
        )
        ends = np.cumsum([len(of_one) for of_one in views])
        return list(np.split(rows, ends[:-1]))

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> Scores:
        return best_of_views(queries, bank, self._normalisation)


def best_of_views(queries: Sequence[Any], bank: Sequence[Any], normalisation: Normalisation | None) -> Scores:
    """
    The best cosine over the views of both sides, less what normalisation takes off each view of the query.

    Args:
        queries: rows of each query's views, each of shape (views, dim).
        bank: likewise of each banked picture.
        normalisation: None for plain cosines.
    """
    theirs = np.concatenate(list(bank))
    starts = np.cumsum([0] + [len(rows) for rows in bank[:-1]])
    parts = []
    for begin in range(0, len(queries), 256):
        block = queries[begin : begin + 256]
        rows = np.concatenate(list(block))
        scores = rows @ theirs.T
        if normalisation is not None:
            scores = scores - normalisation.shares(rows)[:, None]
        if len(theirs) != len(bank):
            scores = np.maximum.reduceat(scores, starts, axis=1)
        if len(rows) != len(block):
            scores = np.maximum.reduceat(scores, np.cumsum([0] + [len(part) for part in block[:-1]]), axis=0)
        parts.append(scores.astype(np.float32))
    return np.concatenate(parts)


class PdqSystem:
    """PDQ as it is exchanged, whatever its quality: at 31 bits in practice; a score is minus the distance."""

    name = "PDQ"
    fixed_threshold = -31.0

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return [[frame.pdq] for frame in frames]

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return [frame.pdq for frame in frames]

    def as_banked(self, queries: Sequence[Any]) -> list[Any]:
        return [[held] for held in queries]

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> Scores:
        asked = signs(queries)
        forms = [(asked @ signs([hashes[form] for hashes in bank]).T - 256) / 2 for form in range(len(bank[0]))]
        return np.asarray(np.max(forms, axis=0), dtype=np.float32)


class DihedralPdqSystem(PdqSystem):
    """PDQ that also banks the seven turns and mirror images of each picture."""

    name = "PDQ, 8 forms"

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return [[frame.pdq, *dihedral_hashes(frame.pixels)[1:]] for frame in frames]


class PerceptualHashSystem:
    """The 64-bit pHash of the imagehash library; at 8 bits in practice."""

    name = "pHash"
    fixed_threshold = -8.0

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return self.asked(frames)

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return [self._hash(frame) for frame in frames]

    def as_banked(self, queries: Sequence[Any]) -> list[Any]:
        return list(queries)

    @staticmethod
    def _hash(frame: DecodedFrame) -> NDArray[np.float32]:
        import imagehash  # noqa: PLC0415 - of the extra `evaluation`: the service, which calibrates, does without

        bits = imagehash.phash(Image.fromarray(frame.pixels)).hash
        return bits.reshape(-1).astype(np.float32) * 2 - 1

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> Scores:
        return np.asarray((np.stack(list(queries)) @ np.stack(list(bank)).T - 64) / 2, dtype=np.float32)
