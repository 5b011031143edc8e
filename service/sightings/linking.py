"""
Links each new sighting to the earlier ones that it looks like.

Only embeddings and hashes are compared: of sightings nothing else is kept. A sighting has at most `_MOST` edges, to its
nearest, and few of them below the variant threshold: enough to see what lies around a cluster, too few to fill the
catalog with chance likenesses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.catalog.sightings.rows import joined_hashes, joined_rows
from index.records.rows import Embeddings, PdqRows
from index.records.sightings import EdgeRows, SightedHashes, SightedRows
from index.records.spaces import SpaceId
from index.sightings.hash_store import trusted
from index.sightings.view import SightingView
from service.matching.policy import PDQ_EXACT_DISTANCE
from service.metrics import Metrics
from service.sightings.memory import LINK, SightingMemory

_BATCH: Final = 32
"""Sightings linked at once: a second or two of work among a million."""
_MOST: Final = 16
_MOST_BELOW: Final = 4
"""Of these, below the variant threshold."""
_BELOW: Final = 0.5
"""How far below it edges go: this share of the way down to the related threshold."""
_NEAREST: Final = 24
"""Rows looked at for each row of a sighting; one sighting may own several."""

Bounds = Callable[[SpaceId, Embeddings], NDArray[np.float32]]
"""The variant and the related threshold of each row of a query in a space, shape (q, 2)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sightings that are not linked yet."""

    upto: int
    """The newest of them."""
    keys: NDArray[np.int64]
    index_versions: NDArray[np.int64]
    rows: Mapping[SpaceId, SightedRows]
    hashes: SightedHashes


class Link:
    """
    The duty.

    Args:
        catalog: where sightings are.
        memory: what is held of them; other duties search in it.
        leading: the space that is compared in: the leading one.
        bounds: where its bands begin.
        before: called with each batch before it is linked, with the duty's step as it is: what it writes is written
            again where the link is not.
        metrics: where to tell how far behind it is.
    """

    name = LINK

    def __init__(
        self,
        *,
        catalog: Catalog,
        memory: SightingMemory,
        leading: Callable[[], SpaceId],
        bounds: Bounds,
        before: Callable[[Step, Batch], None],
        metrics: Metrics,
    ) -> None:
        self._catalog = catalog
        self._memory = memory
        self._leading = leading
        self._bounds = bounds
        self._before = before
        self._metrics = metrics

    def step(self, turn: Turn) -> bool:
        memory = self._memory
        memory.be_of(turn)
        memory.view.tend()
        head = self._catalog.sightings.head()
        self._metrics.duty_behind.labels(self.name).set(head - memory.linked)
        if head <= memory.linked:
            return False
        batch = self._next()
        self._before(Step(turn, self.name, memory.linked), batch)
        space = self._leading()
        rows = batch.rows.get(space)
        edges = edges_of(memory.view, space, rows, batch.hashes, self._bounds)
        try:
            self._catalog.sightings.link(Step(turn, self.name, batch.upto), edges)
        except BaseException:
            memory.doubt()
            raise
        memory.hold(batch.upto, batch.rows, batch.hashes)
        return batch.upto < head

    def _next(self) -> Batch:
        linked = self._memory.linked
        spaces = self._memory.spaces()
        with self._catalog.sightings.after(linked, _BATCH) as held:
            keys, versions = held.index_versions(_BATCH)
            rows = {space: list(held.rows(space)) for space in spaces}
            hashes = joined_hashes(list(held.hashes()))
            upto = min(held.head, linked + _BATCH)
        found = {name: joined_rows(parts, parts[0].embeddings.shape[1]) for name, parts in rows.items() if parts}
        return Batch(upto, keys, versions, found, hashes)


def edges_of(
    view: SightingView, space: SpaceId, rows: SightedRows | None, hashes: SightedHashes, bounds: Bounds
) -> EdgeRows:
    """
    From each new sighting to the nearest of those before it, in the view and among the new ones.

    Args:
        view: the sightings before them.
        space: that they are compared in.
        rows: what they look like in it; None where none was recorded in it.
        hashes: theirs.
        bounds: where the space's bands begin.
    """
    near = _Neighbours()
    if rows is not None:
        _by_rows(near, view, space, rows, bounds)
    _by_hashes(near, view, hashes)
    return _edges(near, view, space, rows, hashes)


class _Neighbours:
    """Who is near whom: by the later one, the earlier ones with their score and whether that is a variant's."""

    def __init__(self) -> None:
        self.scores: dict[int, dict[int, tuple[float, bool]]] = {}
        self.same: dict[int, set[int]] = {}
        """Those whose hashes are as good as equal."""

    def score(self, key: int, earlier: int, score: float, *, variant: bool) -> None:
        held = self.scores.setdefault(key, {})
        if earlier not in held or score > held[earlier][0]:
            held[earlier] = score, variant or (earlier in held and held[earlier][1])

    def alike(self, key: int, earlier: int) -> None:
        self.same.setdefault(key, set()).add(earlier)

    def chosen(self, key: int) -> list[int]:
        """The nearest: equal hashes first, then by score."""
        same, scores = self.same.get(key, set()), self.scores.get(key, {})
        ranked = sorted(scores, key=lambda earlier: (earlier not in same, -scores[earlier][0], earlier))
        ranked += sorted(same - scores.keys())
        above = [each for each in ranked if each in same or scores[each][1]]
        below = [each for each in ranked if each not in same and not scores[each][1]]
        return (above[:_MOST] + below[:_MOST_BELOW])[:_MOST]

    @property
    def keys(self) -> list[int]:
        return sorted(self.scores.keys() | self.same.keys())


def _asked(rows: SightedRows) -> SightedRows:
    """What is asked with: every view of a picture; of what has several frames, each frame as a whole."""
    numbers, first = np.unique(rows.keys, return_index=True)
    last = np.append(first[1:], len(rows.keys))
    several = {
        int(key) for key, start, stop in zip(numbers, first, last, strict=True) if len(set(rows.frames[start:stop])) > 1
    }
    kept = rows.whole | ~np.isin(rows.keys, list(several))
    return SightedRows(rows.keys[kept], rows.frames[kept], rows.whole[kept], rows.embeddings[kept])


def _by_rows(near: _Neighbours, view: SightingView, space: SpaceId, rows: SightedRows, bounds: Bounds) -> None:
    asked = _asked(rows)
    variant, related = bounds(space, asked.embeddings).T
    least = variant - (variant - related) * np.float32(_BELOW)
    among = rows.embeddings[rows.whole], rows.keys[rows.whole]
    scores = asked.embeddings @ among[0].T
    scores[asked.keys[:, None] <= among[1][None, :]] = -np.inf  # to the earlier ones alone
    _keep(near, asked.keys, np.broadcast_to(among[1], scores.shape), scores, (least, variant))
    if space in view.spaces:
        found = view.spaces[space].wholes.near(asked.embeddings, _NEAREST)
        _keep(near, asked.keys, found.keys, found.scores, (least, variant))


def _keep(
    near: _Neighbours,
    keys: NDArray[np.int64],
    others: NDArray[np.int64],
    scores: NDArray[np.float32],
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    least, variant = bounds
    lines, columns = np.nonzero((scores >= least[:, None]) & (others >= 0))
    for line, column in zip(lines.tolist(), columns.tolist(), strict=True):
        score = float(scores[line, column])
        near.score(int(keys[line]), int(others[line, column]), min(score, 1.0), variant=score >= variant[line])


def _by_hashes(near: _Neighbours, view: SightingView, hashes: SightedHashes) -> None:
    good = trusted(hashes.qualities)
    own, keys = hashes.hashes[good], hashes.keys[good]
    if len(own) == 0:
        return
    lines, others = view.hashes.near(own, _MOST, PDQ_EXACT_DISTANCE)
    for line, other in zip(lines.tolist(), others.tolist(), strict=True):
        near.alike(int(keys[line]), other)
    lines, columns = np.nonzero((_distances(own, own) <= PDQ_EXACT_DISTANCE) & (keys[:, None] > keys[None, :]))
    for line, column in zip(lines.tolist(), columns.tolist(), strict=True):
        near.alike(int(keys[line]), int(keys[column]))


def _edges(
    near: _Neighbours, view: SightingView, space: SpaceId, rows: SightedRows | None, hashes: SightedHashes
) -> EdgeRows:
    """With the score and the distance of each pair, however it was found."""
    found: list[tuple[int, int, float, int]] = []
    for key in near.keys:
        own_rows = np.empty((0, 0), np.float32) if rows is None else rows.embeddings[rows.keys == key]
        own_hashes = hashes.hashes[hashes.keys == key]
        for earlier in near.chosen(key):
            score = near.scores.get(key, {}).get(earlier, (np.nan, False))[0]
            if np.isnan(score) and rows is not None and len(own_rows):
                others = rows.embeddings[(rows.keys == earlier) & rows.whole]
                if len(others) == 0 and space in view.spaces:
                    others = view.spaces[space].wholes.of(earlier)
                score = float((own_rows @ others.T).max(initial=-1.0)) if len(others) else np.nan
            other_hashes = hashes.hashes[hashes.keys == earlier]
            other_hashes = other_hashes if len(other_hashes) else view.hashes.of(earlier)
            distance = int(_distances(own_hashes, other_hashes).min()) if len(own_hashes) and len(other_hashes) else -1
            found.append((key, earlier, score, distance))
    keys, earlier_keys, scores, distances = list(zip(*found, strict=True)) or ((), (), (), ())
    return EdgeRows(
        np.array(keys, np.int64),
        np.array(earlier_keys, np.int64),
        np.array(scores, np.float64),
        np.array(distances, np.int64),
    )


def _distances(one: PdqRows, other: PdqRows) -> NDArray[np.int64]:
    distances: NDArray[np.int64] = np.bitwise_count(one[:, None, :] ^ other[None, :, :]).sum(axis=2, dtype=np.int64)
    return distances
