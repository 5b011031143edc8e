"""Clusters as the catalog keeps them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.catalog.incidents.tallies import Tallied
from index.clusters.clustering import clustered
from index.clusters.graph import Rules
from index.clusters.records import Clustered
from index.errors import LeaseLost, NothingToBank, UnknownCluster, UnknownSighting
from index.records.changes import Version
from index.records.events import EventKind, NewEvent
from index.records.incidents import NewIncident
from index.records.rows import Embeddings
from index.records.sightings import EdgeRows, NewSighting, SightedFrame, SightingId
from index.records.spaces import SpaceId

DIM = 16
SPACE = SpaceId("test-000000000000")
RULES = Rules(join=0.8, hold=0.6)
WEEK = timedelta(days=7)
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)


def near(seed: int, score: float = 0.97) -> Embeddings:
    """Like every other row of a score, more or less; unlike those of other families, which are seeds over a hundred."""
    centre = np.random.default_rng(seed // 100).standard_normal(DIM)
    centre /= np.linalg.norm(centre)
    away = np.random.default_rng(seed).standard_normal(DIM)
    away -= (away @ centre) * centre
    row = score * centre + np.sqrt(1 - score**2) * away / np.linalg.norm(away)
    return np.asarray(row.reshape(1, -1), np.float32)


def record(catalog: Catalog, row: Embeddings | None, platform: str = "a.example", **facts: object) -> SightingId:
    frames = [] if row is None else [SightedFrame(0, None, None, {SPACE: row})]
    values: dict[str, object] = {
        "platform": platform,
        "upload_id": "<b>\x1b[2J",
        "observed_at": HOUR,
        "publisher": None,
        "context": None,
        "kind": "image",
        "band": "none",
        "action": "none",
        "reasons": (),
        "index_version": Version(0),
        "frames": frames,
    }
    return catalog.sightings.record(NewSighting(**(values | facts)), WEEK)  # type: ignore[arg-type]


@pytest.fixture
def turn(catalog: Catalog) -> Turn:
    taken = catalog.duties.take_turn("test", 3600)
    assert taken is not None
    return taken


def link_and_cluster(catalog: Catalog, turn: Turn, after: int = 0, told: Sequence[NewEvent] = ()) -> Clustered:
    head = catalog.sightings.head()
    with catalog.sightings.after(0) as held:
        (rows,) = list(held.rows(SPACE))
    scores: NDArray[np.float32] = rows.embeddings @ rows.embeddings.T
    later, earlier = np.nonzero((scores >= 0.7) & (rows.keys[:, None] > rows.keys[None, :]))
    fresh = rows.keys[later] > after
    later, earlier = later[fresh], earlier[fresh]
    nothing = np.full(len(later), -1, np.int64)
    edges = EdgeRows(rows.keys[later], rows.keys[earlier], scores[later, earlier].astype(np.float64), nothing)
    catalog.sightings.link(Step(turn, "link", head), edges)
    found = clustered(catalog.clusters.batch(after, head, SPACE), lambda _: RULES)
    catalog.clusters.keep(Step(turn, "cluster", head), found, told, Tallied({}))
    return found


def test_a_cluster_is_kept_and_grows_from_one_piece_of_work_to_the_next(catalog: Catalog, turn: Turn) -> None:
    first = record(catalog, near(101))
    record(catalog, near(102), "b.example", observed_at=HOUR + timedelta(hours=1))
    record(catalog, near(901))
    link_and_cluster(catalog, turn)
    (group,) = catalog.clusters.unknown(HOUR)
    assert (group.members, group.recent, group.platforms, group.banked) == (2, 2, 2, False)
    record(catalog, near(103), "b.example", observed_at=HOUR + timedelta(hours=1))
    link_and_cluster(catalog, turn, after=3)
    (group,) = catalog.clusters.unknown(HOUR + timedelta(hours=1))
    assert (group.members, group.recent) == (3, 2)
    (facts,) = catalog.clusters.facts([group])
    assert (facts.cluster_id, facts.first_platform, facts.matched) == (first, "a.example", 0)
    at = [int(when.timestamp()) * 10**6 for when in (HOUR, HOUR + timedelta(hours=1))]
    assert list(facts.counts) == [(at[0], "a.example", 1), (at[1], "b.example", 2)]
    assert facts.weakest_strength is not None
    keys, links, strengths, _ = catalog.clusters.members(group.key)
    assert keys.tolist() == [1, 2, 4]
    assert links.tolist()[:2] == [0, 1]
    assert strengths[1] == pytest.approx(float(near(101)[0] @ near(102)[0]), abs=2e-3)


def test_anchors_come_back_as_they_were(catalog: Catalog, turn: Turn) -> None:
    for seed in range(101, 106):
        record(catalog, near(seed, 0.92))
    link_and_cluster(catalog, turn)
    batch = catalog.clusters.batch(0, 5, SPACE)
    assert batch.clusters == {}  # nobody is linked to what is not in the batch
    record(catalog, near(110, 0.92))
    link_and_cluster(catalog, turn, after=5)
    (cluster,) = catalog.clusters.batch(5, 6, SPACE).clusters.values()
    assert np.allclose(cluster.anchored.anchors[0].rows, near(101, 0.92), atol=2e-3)
    (other,) = catalog.clusters.batch(5, 6, SpaceId("other-00000000000")).clusters.values()
    assert len(other.anchored.anchors[0].rows) == 0, "nothing is compared across spaces"


def test_only_whose_turn_it_is_writes_clusters(catalog: Catalog, turn: Turn) -> None:
    record(catalog, near(101))
    record(catalog, near(102))
    with pytest.raises(LeaseLost):
        link_and_cluster(catalog, Turn("somebody else"))
    assert catalog.clusters.unknown(HOUR) == []
    told = [NewEvent(EventKind.EMERGING_CLUSTER)]
    link_and_cluster(catalog, turn, told=told)
    assert catalog.events.head() == 1


def test_what_is_banked_while_clusters_are_looked_for_is_known_afterwards(catalog: Catalog, turn: Turn) -> None:
    incident = catalog.incidents.create(NewIncident(name="i", type="exercise", banks=("known",)))
    ids = [record(catalog, near(seed)) for seed in (101, 102)]
    link_and_cluster(catalog, turn)
    ids.append(record(catalog, near(103)))
    catalog.sightings.link(Step(turn, "link", 3), EdgeRows(*(np.array([each]) for each in (3, 1, 0.95, -1))))
    found = clustered(catalog.clusters.batch(2, 3, SPACE), lambda _: RULES)
    for banked in ids[1:]:  # by somebody else, meanwhile: one is in the cluster, the other is about to be
        catalog.clusters.bank("known", banked, {})
    catalog.clusters.keep(Step(turn, "cluster", 3), found, [], Tallied({}))
    assert catalog.clusters.unknown(HOUR) == []
    facts = catalog.clusters.one(ids[0], HOUR)
    assert (facts.group.members, facts.matched) == (3, 2)
    record(catalog, near(104))
    catalog.sightings.link(Step(turn, "link", 4), EdgeRows(*(np.array([each]) for each in (4, 1, 0.95, -1))))
    (novelty,) = clustered(catalog.clusters.batch(3, 4, SPACE), lambda _: RULES).novelties
    assert (novelty.incident_key, novelty.caught) == (incident.key, False), "the incident has a new near-copy"


def test_a_cluster_whose_match_is_gone_is_known_again_by_another_match(catalog: Catalog, turn: Turn) -> None:
    first = record(catalog, near(101))
    catalog.delete_item("known", catalog.clusters.bank("known", first, {}).item.item_id)
    record(catalog, near(102))
    link_and_cluster(catalog, turn)
    assert len(catalog.clusters.unknown(HOUR)) == 1
    catalog.clusters.bank("known", first, {"again": "yes"})
    assert catalog.clusters.unknown(HOUR) == []


def test_a_cluster_is_forgotten_with_its_last_sighting(catalog: Catalog, turn: Turn) -> None:
    first = record(catalog, near(101))
    record(catalog, near(102))
    link_and_cluster(catalog, turn)
    assert not catalog.clusters.forget(timedelta(0))
    assert len(catalog.clusters.unknown(HOUR)) == 1
    catalog.sightings.forget(Step(turn, "forget", 0), timedelta(0), 1)
    (group,) = catalog.clusters.unknown(HOUR)
    assert catalog.clusters.facts([group])[0].cluster_id == first, "its name outlives its first sighting"
    catalog.sightings.forget(Step(turn, "forget", 0), timedelta(0), 1)
    assert not catalog.clusters.forget(timedelta(0))
    assert catalog.clusters.unknown(HOUR) == []
    with pytest.raises(UnknownCluster):
        catalog.clusters.one(first, HOUR)


def test_what_is_banked_from_a_sighting_is_what_was_kept_of_it(catalog: Catalog, turn: Turn) -> None:
    incident = catalog.incidents.create(NewIncident(name="i", type="exercise", banks=("known",)))
    first = record(catalog, near(101))
    record(catalog, near(102), "b.example")
    link_and_cluster(catalog, turn)
    added = catalog.clusters.bank("known", first, {"from": "desk"})
    assert (added.created, added.item.kind.value, added.item.labels) == (True, "signature", {"from": "desk"})
    again = catalog.clusters.bank("known", first, {})
    assert (again.created, again.item.item_id) == (False, added.item.item_id)
    assert catalog.clusters.unknown(HOUR) == []
    (group,) = catalog.clusters.of_incident(incident.key, HOUR)
    assert (group.members, group.banked) == (2, True)
    (facts,) = catalog.clusters.facts([group], incident.key)
    assert [(item.item_id, item.bank) for item in facts.banked] == [(added.item.item_id, "known")]
    assert [(one.platform, one.inside) for one in facts.frontier] == [("b.example", True)]
    catalog.delete_item("known", added.item.item_id)
    assert [group.banked for group in catalog.clusters.unknown(HOUR)] == [False]


def test_nothing_is_banked_from_nothing(catalog: Catalog) -> None:
    blank = record(catalog, None)
    with pytest.raises(NothingToBank):
        catalog.clusters.bank("known", blank, {})
    with pytest.raises(UnknownSighting):
        catalog.clusters.bank("known", f"{9:012x}{0:016x}", {})
    with pytest.raises(UnknownSighting):
        catalog.clusters.bank("known", "no id", {})
    assert catalog.bank("known").items == 0
