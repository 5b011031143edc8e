"""
Puts sightings into clusters, one after the other, as they come.

Each joins, of the clusters that it is linked to and that admit it, the one whose first member is nearest; else it stays
by itself until another one joins it. Nothing is ever taken back, so that what was told of a cluster stays true.
"""

from collections.abc import Callable

import numpy as np

from index.clusters.graph import Anchored, Link, Look, Rules, ordered
from index.clusters.records import Batch, Cluster, Clustered, Novelty, Placed, Seen

_NOTHING = Look(np.empty((0, 0), np.float32), np.empty(0, np.bool_), np.empty((0, 32), np.uint8))


def clustered(batch: Batch, rules_of: Callable[[Look], Rules]) -> Clustered:
    """
    Args:
        batch: the sightings, and what they are linked to.
        rules_of: what cosines mean for whoever looks like this; a space may judge plain pictures more strictly.
    """
    work = _Work(batch, rules_of)
    for sighting in batch.sightings:
        work.place(sighting)
    return Clustered(tuple(work.placed.values()), tuple(work.grown.values()), tuple(work.novelties))


class _Work:
    def __init__(self, batch: Batch, rules_of: Callable[[Look], Rules]) -> None:
        self._batch = batch
        self._rules_of = rules_of
        self._seen: dict[int, Seen] = {**batch.earlier, **{one.key: one for one in batch.sightings}}
        self._clusters: dict[int, Cluster] = dict(batch.clusters)
        self._home: dict[int, int] = {
            one.key: one.cluster_key for one in batch.earlier.values() if one.cluster_key is not None
        }
        self.placed: dict[int, Placed] = {}
        self.grown: dict[int, Cluster] = {}
        self.novelties: list[Novelty] = []

    def place(self, sighting: Seen) -> None:
        links = ordered(link for link in self._batch.links.get(sighting.key, ()) if link.earlier in self._seen)
        look = self._look(sighting.key)
        rules = self._rules_of(look)
        by_home: dict[int, Link] = {}
        for link in links:
            if link.joins(rules):
                by_home.setdefault(self._home.get(link.earlier, link.earlier), link)
        admitting = [(near, -home) for home in by_home if (near := self._admits(home, look, rules)) is not None]
        if admitting:
            _, home = max(admitting)
            self._join(sighting, by_home[-home], look, rules)
            return
        nearest = links[0] if links else None
        self.placed[sighting.key] = Placed(sighting, None, nearest)
        if sighting.incident_key is not None:
            self.novelties.append(Novelty(sighting, sighting.incident_key, None, nearest, caught=True))

    def _admits(self, home: int, look: Look, rules: Rules) -> float | None:
        cluster = self._clusters.get(home)
        anchored = Anchored([self._look(home)]) if cluster is None else cluster.anchored
        return anchored.admits(look, rules)

    def _join(self, sighting: Seen, link: Link, look: Look, rules: Rules) -> None:
        home = self._home.get(link.earlier)
        cluster = self._begun(self._seen[link.earlier]) if home is None else self._clusters[home]
        cluster.anchored.join(look, rules)
        self._note(sighting, cluster, link)
        _count(cluster, sighting)
        if cluster.weakest_strength is None or link.strength < cluster.weakest_strength:
            cluster.weakest_key, cluster.weakest_strength = sighting.key, link.strength
        self._home[sighting.key] = cluster.key
        self.placed[sighting.key] = Placed(sighting, cluster.key, link)
        self.grown[cluster.key] = cluster

    def _note(self, sighting: Seen, cluster: Cluster, link: Link) -> None:
        """What it means for an incident that this one joins."""
        if sighting.incident_key is not None and cluster.incident_key is None:
            self.novelties.append(Novelty(sighting, sighting.incident_key, cluster.key, link, caught=True))
        elif cluster.incident_key is not None and not sighting.known:
            self.novelties.append(Novelty(sighting, cluster.incident_key, cluster.key, link, caught=False))

    def _begun(self, founder: Seen) -> Cluster:
        """A cluster of one, for another to join: it is only made when there is another."""
        anchored = Anchored([self._look(founder.key).bounded()])
        before = self.placed.get(founder.key)
        nearest = before.link if before is not None else self._nearest(founder.key)
        cluster = Cluster(
            founder.key,
            founder.sighting_id,
            self._batch.space_key,
            anchored,
            relative=nearest,
            first_us=founder.observed_us,
            last_us=founder.observed_us,
        )
        _count(cluster, founder)
        self._clusters[founder.key] = cluster
        self._home[founder.key] = founder.key
        self.placed[founder.key] = Placed(founder, founder.key, nearest)
        return cluster

    def _nearest(self, key: int) -> Link | None:
        links = ordered(self._batch.links.get(key, ()))
        return links[0] if links else None

    def _look(self, key: int) -> Look:
        return self._batch.looks.get(key, _NOTHING)


def _count(cluster: Cluster, sighting: Seen) -> None:
    cluster.members += 1
    cluster.matched += sighting.known
    cluster.known = cluster.known or sighting.known
    if cluster.incident_key is None:
        cluster.incident_key = sighting.incident_key
    cluster.platforms.add(sighting.platform)
    cluster.first_us = min(cluster.first_us, sighting.observed_us)
    cluster.last_us = max(cluster.last_us, sighting.observed_us)
    cluster.received_us = max(cluster.received_us, sighting.received_us)
