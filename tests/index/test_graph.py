"""Which sightings belong together: honest families stay whole, and no stream that is sent makes one of two."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.clusters import anchors
from index.clusters.clustering import clustered
from index.clusters.graph import MOST_ANCHORS, Anchored, Link, Look, Rules, components, cut, likeness, tightest
from index.clusters.records import Batch, Cluster, Clustered, Seen

DIM = 64
RULES = Rules(join=0.62, hold=0.45)
FLOOR = 0.54
NO_HASHES = np.empty((0, 32), np.uint8)
Row = NDArray[np.float32]


def unit(row: NDArray[np.floating]) -> Row:
    return np.asarray(row / np.linalg.norm(row), np.float32)


def direction(seed: int) -> Row:
    return unit(np.random.default_rng(seed).standard_normal(DIM))


def near(row: Row, score: float, seed: int) -> Row:
    """Another row whose cosine with this one is the score."""
    away = np.random.default_rng(seed).standard_normal(DIM)
    away = unit(away - (away @ row) * row)
    return unit(score * row + np.sqrt(1 - score**2) * away)


def look(row: Row, hashes: NDArray[np.uint8] = NO_HASHES) -> Look:
    return Look(row.reshape(1, -1), np.ones(1, np.bool_), hashes)


class Stream:
    """Uploads one after the other, linked and clustered as the service does it."""

    def __init__(self, size: int = 50) -> None:
        self.rows: dict[int, Look] = {}
        self.home: dict[int, int] = {}
        self.clusters: dict[int, Cluster] = {}
        self._size = size

    def send(self, looks: Iterable[Look]) -> list[int]:
        """Their keys."""
        keys = []
        for each in looks:
            self.rows[len(self.rows) + 1] = each
            keys.append(len(self.rows))
        for start in range(0, len(keys), self._size):
            self._step(keys[start : start + self._size])
        return keys

    def _step(self, keys: list[int]) -> Clustered:
        links = {key: self._links(key) for key in keys}
        ends = {link.earlier for each in links.values() for link in each}
        found = clustered(
            Batch(
                upto=keys[-1],
                sightings=[self._seen(key) for key in keys],
                links=links,
                earlier={key: self._seen(key) for key in ends - set(keys)},
                clusters={home: self.clusters[home] for end in ends if (home := self.home.get(end)) is not None},
                looks=self.rows,
                space_key=1,
            ),
            lambda _: RULES,
        )
        for placed in found.placed:
            if placed.cluster_key is not None:
                self.home[placed.sighting.key] = placed.cluster_key
        self.clusters |= {cluster.key: cluster for cluster in found.clusters}
        return found

    def _seen(self, key: int) -> Seen:
        return Seen(key, f"{key:028x}", "p", key, key, None, "none", known=False, cluster_key=self.home.get(key))

    def _links(self, key: int) -> list[Link]:
        found = []
        for earlier in range(1, key):
            alike = likeness(self.rows[key], self.rows[earlier])
            if (alike.score is not None and alike.score >= FLOOR) or (alike.distance or 99) <= 31:
                found.append(Link(earlier, alike.score, alike.distance))
        return sorted(found, key=lambda link: -link.strength)[:16]

    def homes(self, keys: Iterable[int]) -> set[int]:
        return {self.home.get(key, key) for key in keys}


def family(row: Row, count: int, score: float = 0.85, seed: int = 1) -> list[Look]:
    """Edits of one picture: each as near to it as that, and to each other as chance will have it."""
    return [look(near(row, score, seed * 1000 + turn)) for turn in range(count)]


def between(one: Row, other: Row, steps: int) -> list[Look]:
    """Pictures that go from one to the other in even steps."""
    angle = np.arccos(np.clip(one @ other, -1, 1))
    parts = np.linspace(0, 1, steps + 2)[1:-1]
    return [look(unit(np.sin((1 - t) * angle) * one + np.sin(t * angle) * other)) for t in parts]


def spread(stream: Stream, home: int) -> float:
    """The worst likeness of two anchors of a cluster."""
    rows = [anchor.rows[0] for anchor in stream.clusters[home].anchored.anchors]
    return float(min(one @ other for one in rows for other in rows))


def test_edits_of_one_picture_are_one_cluster() -> None:
    stream = Stream()
    keys = stream.send(family(direction(1), 120))
    assert len(stream.homes(keys)) == 1
    (cluster,) = stream.clusters.values()
    assert cluster.members == 120
    assert cluster.weakest_strength is not None
    assert RULES.join <= cluster.weakest_strength < 0.85


def test_strangers_are_in_no_cluster() -> None:
    stream = Stream()
    keys = stream.send(look(direction(seed)) for seed in range(100))
    assert stream.clusters == {}
    assert len(stream.homes(keys)) == 100


A, B = direction(1), direction(2)


def collages(count: int) -> list[Look]:
    """Both pictures side by side, in ever other shares: truly like each of the two."""
    return [look(unit(share * A + (1 - share) * B)) for share in np.linspace(0.3, 0.7, count)]


POISON: dict[str, Callable[[], list[Look]]] = {
    "one that lies between": lambda: collages(1),
    "very many that lie between": lambda: collages(80),
    "a chain of small steps": lambda: between(A, B, 60),
    "a chain of tiny steps, there and back": lambda: between(A, B, 70) + between(B, A, 70),
    "ends that creep towards each other": lambda: [
        each for pair in zip(between(A, B, 80)[:40], between(B, A, 80)[:40], strict=True) for each in pair
    ],
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_no_poisoned_stream_makes_one_cluster_of_two(poison: Callable[[], list[Look]], when: str) -> None:
    stream = Stream()
    sent: dict[str, list[int]] = {"a": [], "b": []}
    parts = {"a": family(A, 25, seed=3), "b": family(B, 25, seed=4)}
    if when == "before":
        stream.send(poison())
    sent["a"] += stream.send(parts["a"][:10])
    sent["b"] += stream.send(parts["b"][:10])
    if when == "between":
        stream.send(poison())
    sent["a"] += stream.send(parts["a"][10:])
    sent["b"] += stream.send(parts["b"][10:])
    if when == "after":
        stream.send(poison())
    assert not stream.homes(sent["a"]) & stream.homes(sent["b"])
    for home in stream.homes(sent["a"] + sent["b"]) & stream.clusters.keys():
        assert spread(stream, home) >= RULES.hold - 1e-3


def test_poison_that_comes_later_takes_nobody_out_of_a_cluster_and_does_not_keep_others_out() -> None:
    stream = Stream()
    mine = stream.send(family(A, 20, 0.9))
    home = stream.homes(mine)
    assert len(home) == 1
    stream.send(collages(8))
    assert stream.homes(mine + stream.send(family(A, 20, 0.9, seed=7))) == home


def test_a_chain_that_drifts_is_cut_though_each_step_is_small() -> None:
    stream = Stream()
    one, other = direction(1), near(direction(1), 0.0, 2)
    path = between(one, other, 60) + between(other, -one, 60)
    keys = stream.send(path)
    steps = [float(one.rows[0] @ other.rows[0]) for one, other in pairwise(path)]
    assert min(steps) > 0.99
    assert len(stream.homes(keys)) >= 3
    for home in stream.homes(keys) & stream.clusters.keys():
        inside = [stream.rows[key].rows[0] for key in keys if stream.home.get(key) == home]
        assert min(float(inside[0] @ each) for each in inside) > 0


def test_a_cluster_that_a_chain_was_cut_from_is_the_relative_of_what_follows() -> None:
    stream = Stream()
    stream.send(between(direction(1), direction(2), 60))
    later = [cluster for cluster in stream.clusters.values() if cluster.key != 1]
    assert later
    for cluster in later:
        assert cluster.relative is not None
        assert stream.home[cluster.relative.earlier] != cluster.key


def test_hashes_alone_join_and_do_not_drift_either() -> None:
    random = np.random.default_rng(5)
    bits = random.integers(0, 2, 256).astype(np.uint8)
    nothing = np.empty((0, 0), np.float32), np.empty(0, np.bool_)
    looks = []
    for turn in range(12):  # each a dozen bits further
        bits = bits.copy()
        bits[turn * 12 : turn * 12 + 12] ^= 1
        looks.append(Look(*nothing, np.packbits(bits).reshape(1, 32)))
    stream = Stream()
    keys = stream.send(looks)
    assert stream.home[keys[1]] == keys[0]
    assert len(stream.homes(keys)) >= 2


def test_a_part_is_compared_with_wholes_and_never_with_parts() -> None:
    row, other = direction(1), direction(2)
    one = Look(np.stack([direction(3), row]), np.array([True, False]), NO_HASHES)
    two = Look(np.stack([direction(4), row]), np.array([True, False]), NO_HASHES)
    found = likeness(one, two)
    assert found.score is not None
    assert found.score < 0.5
    assert likeness(one, look(row)).score == pytest.approx(1)
    assert likeness(look(other), Look(row[None, :32], np.ones(1, np.bool_), NO_HASHES)).score is None


def test_anchors_are_few_and_stay_who_they_are() -> None:
    cluster = Anchored([look(A)])
    rows = [look(near(A, 0.7, seed)) for seed in range(200)]
    for each in rows:
        if cluster.admits(each, RULES):
            cluster.join(each, RULES)
    assert len(cluster.anchors) <= MOST_ANCHORS
    assert np.array_equal(cluster.anchors[0].rows[0], A)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 5), st.integers(1, 40))
def test_anchors_are_read_as_they_were_written(rows: int, hashes: int, count: int, dim: int) -> None:
    random = np.random.default_rng(rows * 100 + hashes)
    written = []
    for _ in range(count):
        values = random.standard_normal((rows, dim)).astype(np.float32) if rows else np.empty((0, 0), np.float32)
        values = values / np.linalg.norm(values, axis=1, keepdims=True) if rows else values
        written.append(Look(values, random.random(rows) < 0.5, random.integers(0, 256, (hashes, 32)).astype(np.uint8)))
    read = anchors.unpack(anchors.pack(written))
    assert len(read) == count
    for one, other in zip(written, read, strict=True):
        assert one.rows.shape == other.rows.shape
        assert np.allclose(one.rows, other.rows, atol=2e-3)
        assert np.array_equal(one.whole, other.whole)
        assert np.array_equal(one.hashes, other.hashes)


@pytest.mark.parametrize("damage", [slice(0, -1), slice(0, 3)])
def test_damaged_anchors_are_refused(damage: slice) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - ours or numpy's
        anchors.unpack(anchors.pack([look(A)])[damage])


def test_a_tighter_threshold_cuts_where_a_link_is_weaker() -> None:
    keys = np.array([3, 5, 8, 9, 12])
    links = np.array([0, 3, 5, 8, 99])  # 99 is no member
    strengths = np.array([-1.0, 0.9, 0.7, 0.95, 0.99])
    assert cut(keys, links, strengths, 0.6).tolist() == [3, 3, 3, 3, 12]
    assert cut(keys, links, strengths, 0.7).tolist() == [3, 3, 3, 3, 12]
    assert cut(keys, links, strengths, 0.8).tolist() == [3, 3, 8, 8, 12]
    assert cut(keys, links, strengths, 0.96).tolist() == [3, 5, 8, 9, 12]
    nothing = np.empty(0, np.int64)
    assert cut(nothing, nothing, np.empty(0), 0.5).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_a_threshold_cuts_is_what_a_plain_search_finds(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    links = [data.draw(st.integers(0, key)) for key in range(1, count + 1)]  # 0 or itself: by none
    strengths = [data.draw(st.floats(0, 1)) for _ in range(count)]
    threshold = data.draw(st.floats(0, 1))
    parent = list(range(count + 1))
    for key, (link, strength) in enumerate(zip(links, strengths, strict=True), 1):
        if link and strength >= threshold:
            parent[key] = parent[link]
    keys = np.arange(1, count + 1)
    assert cut(keys, np.array(links), np.array(strengths), threshold).tolist() == parent[1:]


def test_components_and_weakest_links_of_nothing_are_nothing() -> None:
    nothing = np.empty(0, np.int64)
    assert components(0, nothing, nothing)[0] == 0
    assert tightest([None]) is None
    assert tightest([0.9, None, 0.7]) == 0.7
