"""
Systems that bank tiles of each picture beside the whole, as a bank may that wants small crops found.

What is asked is asked of the same queries, and what was found of a pair before is not looked for again: measured beside
the plain system, tiles cost little more than the embedding of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.evaluation.systems import EmbeddingSystem, System
from models.evaluation.verified import Eye, Looked, Seen, VerifiedSystem, candidates
from models.geometry import MIRRORED, Location, locate
from models.media.types import DecodedFrame
from models.views import tiles


class TiledSystem(EmbeddingSystem):
    """
    The descriptor with more rows of what is banked.

    Args:
        plain: the same without, which is asked.
        count: tiles of each picture: see `models.views.tiles`.
    """

    def __init__(self, plain: EmbeddingSystem, count: int) -> None:
        super().__init__(f"{plain.name}, {count} tiles", plain.embedder, plain.normalisation)
        self._plain = plain
        self._count = count

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        cut = [tiles(frame.pixels, self._count) for frame in frames]
        whole = self._plain.banked(frames)
        if not any(cut):
            return whole
        return [np.concatenate(both) for both in zip(whole, self._embedded(cut), strict=True)]

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return self._plain.asked(frames)


@dataclass(frozen=True, slots=True, eq=False)
class TiledSeen(Seen):
    """
    What is known of a banked picture and its tiles.

    Args:
        plain: the same without its tiles.
    """

    plain: Seen


class TiledEye(Eye):
    """
    Looks at what is near to any tile.

    Args:
        embeddings: of the tiled system.
        plain: the eye of the same system without tiles.
    """

    def __init__(self, embeddings: TiledSystem, plain: Eye) -> None:
        super().__init__(embeddings)
        self._plain = plain

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        if self._last_banked[0] is not frames:
            rows, seen = self._embeddings.banked(frames), self._plain.banked(frames)
            self._last_banked = (
                frames,
                [TiledSeen(row, one.pdq, one.features, one) for row, one in zip(rows, seen, strict=True)],
            )
        return list(self._last_banked[1])

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return self._plain.asked(frames)

    def _look(self, queries: Sequence[Seen], bank: Sequence[Seen]) -> Looked:
        known = self._plain.looked(queries, [one.plain if isinstance(one, TiledSeen) else one for one in bank])
        scores = self._embeddings.scores([one.rows for one in queries], [one.rows for one in bank])
        locations: list[dict[int, Location | None]] = []
        for place, query in enumerate(queries):
            chosen = candidates(scores[place], known.distances[place])
            locations.append(_located(query, bank, chosen, known.locations[place]))
        rows = sum(len(one.rows) for one in bank)
        return replace(known, scores=scores, locations=tuple(locations), rows=rows)


def _located(
    query: Seen, bank: Sequence[Seen], chosen: Sequence[int], before: dict[int, Location | None]
) -> dict[int, Location | None]:
    """As `locate_each` has it, with what it had of other candidates where it looked for the same in them."""
    mirrored_before = {at: place < MIRRORED for place, at in enumerate(before)}
    found: dict[int, Location | None] = {}
    for place, at in enumerate(chosen):
        mirrored = place < MIRRORED
        if mirrored_before.get(at) is mirrored:
            found[at] = before[at]
        else:
            found[at] = locate(query.features, bank[at].features, mirrored_too=mirrored)
    return found


def banks_tiles(system: System) -> bool:
    """Whether more is banked of a picture than an answer about it holds."""
    return isinstance(system, TiledSystem) or (isinstance(system, VerifiedSystem) and isinstance(system.eye, TiledEye))
