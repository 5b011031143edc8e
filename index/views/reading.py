"""Searching one state of the views."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.engines.perceptual import PdqIndex
from index.engines.vectors import VectorIndex
from index.errors import BadEmbedding, SpaceMismatch, UnknownBank
from index.identifiers import item_id_of, item_key_of
from index.records.banks import BankRule
from index.records.changes import Origins, Version, joined
from index.records.hits import PerceptualHit, SemanticHit
from index.records.items import ItemId
from index.records.rows import PDQ_BYTES, Embeddings, PdqRows, RowMask, Rows
from index.records.spaces import SpaceId, SpaceRecord
from index.views.layers import Layer, Sized
from index.views.ranking import Candidates, Pairs, best_items, best_pairs

Offsets = NDArray[np.float32]
"""Shape (q,): taken off the scores of each query before items are ranked; the scores in the hits are whole."""

Index = TypeVar("Index", bound=Sized)
Hit = TypeVar("Hit", SemanticHit, PerceptualHit)


@dataclass(frozen=True, slots=True)
class SemanticLayers:
    dim: int
    layers: tuple[Layer[VectorIndex], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """
    Everything that can be found at one version; it never changes, whatever is added or removed meanwhile.

    Safe from any thread. Take one for each request and drop it with the answer.
    """

    version: Version
    banks: Mapping[str, BankRule]
    """By name."""
    bank_keys: Mapping[str, int]
    semantic: Mapping[SpaceId, SemanticLayers]
    perceptual: tuple[Layer[PdqIndex], ...]
    spaces: tuple[SpaceRecord, ...] = ()
    """Every space of the catalog; the same object while none has changed."""

    def embeddings_in(self, space: SpaceId) -> int:
        """
        How many embeddings a search of the space compares with: what a false-positive rate is multiplied by.

        Raises:
            SpaceMismatch: the space is not served here.
        """
        return sum(layer.living for layer in self._view_of(space).layers)

    def search(
        self,
        space: SpaceId,
        queries: Embeddings,
        k: int,
        banks: Collection[str] | None = None,
        offsets: Offsets | None = None,
    ) -> list[SemanticHit]:
        """
        The k items nearest an upload, each with its best pair; best first.

        Args:
            space: of the queries.
            queries: shape (q, dim), float32, each row of norm 1: all the views and frames of one upload.
            k: at least 1.
            banks: names; only items of these are found. None means all.
            offsets: rank by `score - offset of the query` instead of by score.

        Raises:
            SpaceMismatch: the space is not served here.
            BadEmbedding: its embeddings are of another length.
            UnknownBank: one of the banks does not exist.
        """
        keys, shift = self._keys_of(banks), _shift(queries, offsets)
        hits: list[tuple[float, SemanticHit]] = []
        for layer in self._layers_of(space, queries):
            allowed = layer.allowed(keys)

            def find(depth: int, layer: Layer[VectorIndex] = layer, allowed: RowMask | None = allowed) -> Candidates:
                found = layer.index.search(queries, depth, allowed)
                return Candidates(found.rows, found.scores - shift)

            hits += _semantic_hits(layer, best_items(find, layer.origins, k), shift)
        return _ranked(hits, k)

    def search_pdq(
        self, hashes: PdqRows, k: int, max_distance: int | None = None, banks: Collection[str] | None = None
    ) -> list[PerceptualHit]:
        """
        The k items with the hash nearest any of the upload's, nearest first.

        Args:
            hashes: shape (q, 32), uint8.
            k: at least 1.
            max_distance: farther items are left out; None keeps them.
            banks: names; only items of these are found. None means all.

        Raises:
            UnknownBank: one of the banks does not exist.
        """
        keys = self._keys_of(banks)
        hits: list[tuple[float, PerceptualHit]] = []
        for layer in _searchable(self.perceptual, hashes):
            allowed = layer.allowed(keys)

            def find(depth: int, layer: Layer[PdqIndex] = layer, allowed: RowMask | None = allowed) -> Candidates:
                found = layer.index.search(hashes, depth, allowed)
                return Candidates(found.rows, -found.distances.astype(np.float32))

            hits += _perceptual_hits(layer, best_items(find, layer.origins, k))
        return [hit for hit in _ranked(hits, k) if max_distance is None or hit.distance <= max_distance]

    def scores_of(
        self, space: SpaceId, queries: Embeddings, item_ids: Collection[ItemId], offsets: Offsets | None = None
    ) -> dict[ItemId, SemanticHit]:
        """
        The best pair of each of these items; those that cannot be found in the space are missing.

        Raises:
            SpaceMismatch: the space is not served here.
            BadEmbedding: its embeddings are of another length.
        """
        keys, shift = _item_keys(item_ids), _shift(queries, offsets)
        hits: list[tuple[float, SemanticHit]] = []
        for layer in self._layers_of(space, queries):
            rows = layer.rows_of(keys)
            merits = queries @ layer.index.vectors(rows).T - shift
            hits += _semantic_hits(layer, _pairs_of(rows, merits, layer.origins), shift)
        return {hit.item_id: hit for _, hit in hits if hit.item_id in item_ids}

    def distances_of(self, hashes: PdqRows, item_ids: Collection[ItemId]) -> dict[ItemId, PerceptualHit]:
        """The nearest hash of each of these items; those that have none are missing."""
        keys = _item_keys(item_ids)
        hits: list[tuple[float, PerceptualHit]] = []
        for layer in _searchable(self.perceptual, hashes):
            rows = layer.rows_of(keys)
            merits = -layer.index.distances(hashes, rows).astype(np.float32)
            hits += _perceptual_hits(layer, _pairs_of(rows, merits, layer.origins))
        return {hit.item_id: hit for _, hit in hits if hit.item_id in item_ids}

    def items_in(self, banks: Collection[str]) -> NDArray[np.int64]:
        """
        The keys of everything that can be found of some banks, ascending.

        Raises:
            UnknownBank: one of the banks does not exist.
        """
        wanted = np.array(self._keys_of(banks), np.int64)
        layers: list[Layer[Any]] = [layer for view in self.semantic.values() for layer in view.layers]
        found = [
            layer.origins.items[layer.alive & np.isin(layer.origins.banks, wanted)]
            for layer in [*layers, *self.perceptual]
        ]
        return np.unique(np.concatenate([np.empty(0, np.int64), *found]))

    def rows_of(self, space: SpaceId, items: NDArray[np.int64]) -> tuple[Origins, Embeddings]:
        """
        What these items look like in a space, one row each for every view of every frame; those that cannot be found
        in it are missing.

        Args:
            space: of the rows.
            items: keys, ascending.

        Raises:
            SpaceMismatch: the space is not served here.
        """
        view = self._view_of(space)
        rows = [layer.rows_of(items) for layer in view.layers]
        pairs = list(zip(view.layers, rows, strict=True))
        embeddings = [np.empty((0, view.dim), np.float32), *(layer.index.vectors(of) for layer, of in pairs)]
        return joined([layer.origins.take(of) for layer, of in pairs]), np.concatenate(embeddings)

    def hashes_of(self, items: NDArray[np.int64]) -> tuple[Origins, PdqRows, NDArray[np.int16]]:
        """The hashes of these items and their qualities; items: keys, ascending."""
        pairs = [(layer, layer.rows_of(items)) for layer in self.perceptual]
        hashes = [np.empty((0, PDQ_BYTES), np.uint8), *(layer.index.hashes(of) for layer, of in pairs)]
        qualities = [np.empty(0, np.int16), *(layer.index.qualities[of] for layer, of in pairs)]
        origins = joined([layer.origins.take(of) for layer, of in pairs])
        return origins, np.concatenate(hashes), np.concatenate(qualities)

    def _layers_of(self, space: SpaceId, queries: Embeddings) -> list[Layer[VectorIndex]]:
        view = self._view_of(space)
        if queries.ndim != 2 or queries.shape[1] != view.dim:  # noqa: PLR2004 - rows and columns
            raise BadEmbedding(f"Embeddings of this space are rows of length {view.dim}.")
        return _searchable(view.layers, queries)

    def _view_of(self, space: SpaceId) -> SemanticLayers:
        if space not in self.semantic:
            raise SpaceMismatch("Embeddings of a space that is not served here.")
        return self.semantic[space]

    def _keys_of(self, banks: Collection[str] | None) -> list[int] | None:
        if banks is None:
            return None
        if not all(name in self.bank_keys for name in banks):
            raise UnknownBank("There is no bank of that name.")
        return [self.bank_keys[name] for name in banks]


def _searchable(layers: Iterable[Layer[Index]], queries: NDArray[Any]) -> list[Layer[Index]]:
    return [layer for layer in layers if len(layer.origins) and len(queries)]


def _shift(queries: Embeddings, offsets: Offsets | None) -> NDArray[np.float32]:
    """Shape (q, 1)."""
    return np.zeros((len(queries), 1), np.float32) if offsets is None else offsets.astype(np.float32).reshape(-1, 1)


def _item_keys(item_ids: Iterable[ItemId]) -> NDArray[np.int64]:
    keys = {key for key in map(item_key_of, item_ids) if key is not None}
    return np.array(sorted(keys), np.int64)


def _pairs_of(rows: Rows, merits: NDArray[np.float32], origins: Origins) -> Pairs:
    return best_pairs(Candidates(np.broadcast_to(rows, merits.shape), merits), origins)


def _semantic_hits(
    layer: Layer[VectorIndex], pairs: Pairs, shift: NDArray[np.float32]
) -> list[tuple[float, SemanticHit]]:
    scores = pairs.merits + shift[pairs.queries, 0]
    return [
        (
            float(merit),
            SemanticHit(
                item_id=_item_id(layer.origins, row),
                query_row=int(query),
                score=min(1.0, max(-1.0, float(score))),  # rounding may carry a cosine past its ends
                position_ms=int(layer.origins.positions[row]),
            ),
        )
        for row, query, score, merit in zip(pairs.rows, pairs.queries, scores, pairs.merits, strict=True)
    ]


def _perceptual_hits(layer: Layer[PdqIndex], pairs: Pairs) -> list[tuple[float, PerceptualHit]]:
    qualities = layer.index.qualities[pairs.rows]
    return [
        (
            float(merit),
            PerceptualHit(
                item_id=_item_id(layer.origins, row),
                query_row=int(query),
                distance=-int(merit),
                quality=None if quality < 0 else int(quality),
                position_ms=int(layer.origins.positions[row]),
            ),
        )
        for row, query, quality, merit in zip(pairs.rows, pairs.queries, qualities, pairs.merits, strict=True)
    ]


def _item_id(origins: Origins, row: int) -> ItemId:
    return item_id_of(int(origins.items[row]), int(origins.tags[row]))


def _ranked(hits: list[tuple[float, Hit]], k: int) -> list[Hit]:
    """Best first, of equals the oldest."""
    hits.sort(key=lambda pair: (-pair[0], pair[1].item_id))
    return [hit for _, hit in hits[:k]]
