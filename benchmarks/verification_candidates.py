"""
Which candidates a closer look is offered, by where they come from: more views of the query, of what is banked, PDQ.

What is not among the candidates cannot be verified, and `auto` looks only at those that are nearer than one in ten
innocent uploads comes to anything. Tiles of the query may find what stands small in it, tiles of what is banked what is
a small part of it; each tile costs an embedding, and is one more chance for an innocent upload to come near.

    python benchmarks/verification_candidates.py --photos DIR
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import print_heading, print_table

from models.embedder import Device, Embedder
from models.evaluation import queries
from models.evaluation.edits.registry import named
from models.evaluation.pictures import original, read_folder
from models.evaluation.systems import EmbeddingSystem, System
from models.evaluation.verified import BY_PDQ, BY_SCORE, pdq_distances
from models.media.types import DecodedFrame, Frame
from models.openclip import open_embedder, use_threads
from models.perceptual import pdq_forms
from models.views import tiles

EDITS = (
    "mirror",
    "quarter_turn",
    "tilt_15",
    "crop_50",
    "crop_25",
    "crop_15",
    "inset_70",
    "inset_50",
    "inset_30",
    "side_by_side",
    "refilmed",
    "blend",
    "chain_2",
    "chain_3",
)
BENIGN_LOOKED = 0.1
Views = Callable[[Frame], list[Frame]]


@dataclass(frozen=True)
class Source:
    """Views beyond the model's own, of queries and of what is banked."""

    name: str
    of_query: Views
    of_banked: Views


class Tiled(EmbeddingSystem):
    """The descriptor with more views."""

    def __init__(self, source: Source, embedder: Embedder) -> None:
        super().__init__(source.name, embedder)
        self._source = source

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        views = self.embedder.reference_views
        return self._embedded([[*views(frame.pixels), *self._source.of_banked(frame.pixels)] for frame in frames])

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        views = self.embedder.query_views
        return self._embedded([[*views(frame.pixels), *self._source.of_query(frame.pixels)] for frame in frames])


class Hashes:
    """The PDQ hash of what is banked, and the eight forms of what is asked."""

    name = "PDQ"
    fixed_threshold = None

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return [frame.pdq for frame in frames]

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return [tuple(pdq_forms(frame.pixels)) for frame in frames]

    def as_banked(self, queries: Sequence[Any]) -> list[Any]:
        return [forms[0] for forms in queries]

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> NDArray[np.float32]:
        return -pdq_distances(queries, bank).astype(np.float32)


def tiled(count: int) -> Views:
    return lambda frame: tiles(frame, count)


def none(_frame: Frame) -> list[Frame]:
    return []


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--photos", type=Path, required=True)
    told.add_argument("--originals", type=int, default=60)
    told.add_argument("--seed", type=int, default=0)
    given = told.parse_args()
    use_threads(1)
    print_heading("Where candidates come from", given)
    pictures = list(read_folder(given.photos, lambda *_: None).pictures)
    random.Random(given.seed).shuffle(pictures)
    half = len(pictures) // 2
    banked, others = pictures[:half], pictures[half:]
    embedder = open_embedder("bundled", Device.CPU)
    sources = [
        Source("as shipped", none, none),
        Source("4 tiles of the query", tiled(4), none),
        Source("9 tiles of the query", tiled(9), none),
        Source("4 tiles of what is banked", none, tiled(4)),
        Source("9 tiles of what is banked", none, tiled(9)),
    ]
    systems = [Tiled(source, embedder) for source in sources]
    hashes = Hashes()
    everything: list[System] = [*systems, hashes]
    lend = queries.lender(others)
    edits = named(EDITS)
    kept = queries.bank(banked, everything, lambda *_: None)
    copies = queries.ask(banked[: given.originals], edits, everything, lend, tick=lambda *_: None, label="")
    innocent = queries.ask(others, (), everything, lend, tick=lambda *_: None, label="")
    truth, kinds = np.array(copies.owner), np.array(copies.edit)
    frame = original(banked[0]).pixels
    rows: list[tuple[str, ...]] = []
    for source, system in zip(sources, systems, strict=True):
        name = system.name
        found = system.scores(copies.signatures[name], kept[name])
        benign = system.scores(innocent.signatures[name], kept[name]).max(axis=1)
        own = found[np.arange(len(truth)), truth]
        first = (found > own[:, None]).sum(axis=1) < BY_SCORE
        near = first & (own >= np.quantile(benign, 1 - BENIGN_LOOKED))
        views = len(system.embedder.query_views(frame)) + len(source.of_query(frame))
        shares = [first, near, *(near[kinds == each] for each in range(len(edits)))]
        rows.append((name, str(views), str(1 + len(source.of_banked(frame))), *map(_share, shares)))
    headings = "candidates", "rows a query", "rows banked", "in the first 20", "near enough for `auto`"
    print_table((*headings, *(edit.name for edit in edits)), rows)
    _hashes(
        hashes,
        (copies.signatures["PDQ"], kept["PDQ"]),
        truth,
        systems[0].scores(copies.signatures["as shipped"], kept["as shipped"]),
    )


def _share(found: NDArray[np.bool_]) -> str:
    return f"{found.mean():.3f}"


def _hashes(
    system: Hashes, both: tuple[list[Any], list[Any]], truth: NDArray[np.int64], scores: NDArray[np.float32]
) -> None:
    asked, bank = both
    own = scores[np.arange(len(truth)), truth]
    missed = (scores > own[:, None]).sum(axis=1) >= BY_SCORE
    rows: list[tuple[str, ...]] = []
    for name, forms in (("PDQ as it is", 1), ("PDQ's eight forms", 8)):
        near = system.scores([each[:forms] for each in asked], bank)
        at = near[np.arange(len(truth)), truth]
        first = (near > at[:, None]).sum(axis=1) < BY_PDQ
        rows.append((name, _share(first), f"{int((first & missed).sum())} of {int(missed.sum())}"))
    print_table(("candidates", "in the first 3", "of those that the descriptor has not in its first 20"), rows)


if __name__ == "__main__":
    main()
