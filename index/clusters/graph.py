"""
Which sightings belong together, and what keeps those apart that only look so.

Joining whatever looks alike, pair by pair, drifts: each step is small and the ends have nothing in common, and whoever
wants two clusters to be one sends pictures that lie between them. So a cluster keeps a few *anchors*, its first member
and those that differ most from each other, and whoever joins it must be

* like one of its members (`join`), which is what a link says,
* not far from its first member (`core`), so that a chain cannot wander, and
* not too unlike any other anchor (`hold`), so that what is unlike each other cannot come in from two sides.

A member that differs more than an anchor does takes its place; the first member stays. Clusters are never merged. So
two pictures that are less alike than `hold` are not in one cluster, once one of them is an anchor, whatever else was
sent and in whatever order. The price is that one family of pictures may be two clusters, of which each is the other's
relative. Pure arrays: it knows neither catalog nor clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from index.records.rows import Embeddings, PdqRows

Keys = NDArray[np.int64]
MOST_ANCHORS: Final = 6
_MOST_ROWS: Final = 16
"""Of one sighting that are compared: an upload of many frames must not cost more than one of few."""
SAME_DISTANCE: Final = 31
"""PDQ hashes this near are of the same picture. Source: PDQ, "The TMK+PDQF video-hashing algorithm and the PDQ
image-hashing algorithm", Facebook, 2019: 31 of 256 bits at a quality of 50 or more."""
HOLD_DISTANCE: Final = 2 * SAME_DISTANCE
"""Two pictures that are each the same as a third cannot be further apart."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Cosines of a space, and what they mean for a cluster."""

    join: float
    """Of two sightings that are near-copies."""
    hold: float
    """Of two that may still be in one cluster."""

    @property
    def core(self) -> float:
        """Of one that joins and the first member."""
        return (self.join + self.hold) / 2

    @property
    def same(self) -> float:
        """Of two that hardly differ: nothing is learned from the second."""
        return 1 - (1 - self.join) / 8


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one sighting looks like in one space."""

    rows: Embeddings
    whole: NDArray[np.bool_]
    """Which rows are of whole frames."""
    hashes: PdqRows

    def bounded(self) -> "Look":
        """At most so many rows; those of whole frames first."""
        order = np.argsort(~self.whole, kind="stable")[:_MOST_ROWS]
        return Look(self.rows[order], self.whole[order], self.hashes[:_MOST_ROWS])


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two are: the best cosine, and the least distance of their hashes; None where there is none."""

    score: float | None
    distance: int | None


def likeness(one: Look, other: Look) -> Likeness:
    """A part of a picture is compared with whole ones, never with parts."""
    score = None
    if len(one.rows) and len(other.rows) and one.rows.shape[1] == other.rows.shape[1]:
        scores = one.rows @ other.rows.T
        score = float(np.max(np.where(one.whole[:, None] | other.whole[None, :], scores, -1.0)))
    distance = None
    if len(one.hashes) and len(other.hashes):
        differing = np.bitwise_count(one.hashes[:, None, :] ^ other.hashes[None, :, :])
        distance = int(differing.sum(axis=2, dtype=np.int64).min())
    return Likeness(score, distance)


@dataclass(slots=True)
class Anchored:
    """A cluster as far as joining it goes: the first anchor is its first member."""

    anchors: list[Look] = field(default_factory=list)

    def admits(self, look: Look, rules: Rules) -> float | None:
        """How near somebody who is like a member is to the first one; None where it may not join."""
        first, *others = self.anchors
        found = likeness(first, look)
        within = _reaches(found, rules.core) and all(_reaches(likeness(anchor, look), rules.hold) for anchor in others)
        return _closeness(found) if within else None

    def join(self, look: Look, rules: Rules) -> None:
        """Takes in whoever it admits; the anchors are those that differ most then."""
        fresh = look.bounded()
        if any(_same(likeness(anchor, fresh), rules) for anchor in self.anchors):
            return
        self.anchors.append(fresh)
        if len(self.anchors) > MOST_ANCHORS:
            del self.anchors[self._most_alike()]

    def _most_alike(self) -> int:
        """Of the two anchors that differ least the one that differs less from all the others; never the first."""
        count = len(self.anchors)
        closeness = np.zeros((count, count))
        for one in range(count):
            for other in range(one):
                found = likeness(self.anchors[one], self.anchors[other])
                closeness[one, other] = closeness[other, one] = _closeness(found)
        pair = np.argmax(closeness)
        candidates = [place for place in divmod(int(pair), count) if place != 0]
        return max(candidates, key=lambda place: float(closeness[place].sum()))


def _closeness(found: Likeness) -> float:
    """To compare pairs by, where one has a score and another only hashes."""
    by_hash = -1.0 if found.distance is None else 1 - found.distance / 128  # 128 bits differ by chance
    return max(-1.0 if found.score is None else found.score, by_hash)


def _same(found: Likeness, rules: Rules) -> bool:
    return (found.score is not None and found.score >= rules.same) or _within(found.distance, SAME_DISTANCE)


def _reaches(found: Likeness, least: float) -> bool:
    return (found.score is not None and found.score >= least) or _within(found.distance, HOLD_DISTANCE)


def _within(distance: int | None, most: int) -> bool:
    return distance is not None and distance <= most


@dataclass(frozen=True, slots=True)
class Link:
    """That a sighting looks like an earlier one."""

    earlier: int
    score: float | None
    distance: int | None

    @property
    def strength(self) -> float:
        """To order by: the score, or what the distance is worth where only hashes are alike."""
        by_hash = 1 - self.distance / 256 if self.distance is not None and self.distance <= HOLD_DISTANCE else -1.0
        return max(-1.0 if self.score is None else self.score, by_hash)

    def joins(self, rules: Rules) -> bool:
        return (self.score is not None and self.score >= rules.join) or _within(self.distance, SAME_DISTANCE)


def ordered(links: Iterable[Link]) -> list[Link]:
    """The strongest first; of equals the earliest."""
    return sorted(links, key=lambda link: (-link.strength, link.earlier))


def cut(keys: Keys, links: Keys, strengths: NDArray[np.float64], threshold: float) -> Keys:
    """
    What clusters fall into when only links of a strength hold.

    Args:
        keys: of members, each once.
        links: the earlier member that each joined by; any other number where it joined by none.
        strengths: of these links.
        threshold: the least that holds, inclusive.

    Returns:
        for each member the first of its part.
    """
    order = np.argsort(keys, kind="stable")
    ascending = keys[order]
    position = np.searchsorted(ascending, links)
    known = (position < len(keys)) & (ascending[np.minimum(position, len(keys) - 1)] == links) if len(keys) else []
    holds = np.flatnonzero(known & (strengths >= threshold)) if len(keys) else np.empty(0, np.int64)
    _, parts = components(len(keys), holds, order[position[holds]] if len(keys) else holds)
    firsts = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(firsts, parts, keys)
    return firsts[parts]


def components(count: int, one: Keys, other: Keys) -> tuple[int, NDArray[np.int32]]:
    """How many parts a graph has, and the part of each node; edges are given by their ends."""
    if not count:
        return 0, np.empty(0, np.int32)
    edges = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    found: tuple[int, NDArray[np.int32]] = connected_components(edges, directed=False)
    return found


def tightest(strengths: Sequence[float | None]) -> float | None:
    """The weakest link of a cluster: cut there, it falls apart."""
    known = [strength for strength in strengths if strength is not None]
    return min(known, default=None)
