"""
Finds clusters among recorded uploads, as they are linked, and tells of what is new.

Clusters are found for sightings in the order in which they came, once each; `index.clusters.graph` has the rule.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.catalog.incidents.tallies import Means, Tallied, Tally
from index.catalog.storage.instants import from_us
from index.clusters.clustering import clustered
from index.clusters.graph import Look, Rules
from index.clusters.records import Batch, Cluster, Clustered, Novelty
from index.records.events import EventKind, NewEvent
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from service.metrics import Metrics
from service.schemas import Action, Band
from service.sightings.memory import LINK

CLUSTER: Final = "cluster"
_BATCH: Final = 128
_TIDY_EVERY_S: Final = 30.0
_EMERGING_PLATFORMS: Final = 2
"""What one platform alone sends, or is sent, is its own affair."""

Bounds = Callable[[SpaceId, Embeddings], NDArray[np.float32]]


class FindClusters:
    """
    The duty.

    Args:
        catalog: where sightings and their edges are.
        leading: the space that is compared in.
        bounds: where its bands begin, for each row.
        alert: how many sightings of at least two platforms are told of as an emerging cluster; each doubling again.
        metrics: where to tell how far behind it is.
    """

    name = CLUSTER

    def __init__(
        self, catalog: Catalog, leading: Callable[[], SpaceId], bounds: Bounds, alert: int, metrics: Metrics
    ) -> None:
        self._catalog = catalog
        self._leading = leading
        self._bounds = bounds
        self._alert = alert
        self._metrics = metrics

    def step(self, turn: Turn) -> bool:
        done, linked = self._catalog.duties.cursor(self.name), self._catalog.duties.cursor(LINK)
        self._metrics.duty_behind.labels(self.name).set(linked - done)
        if linked <= done:
            return False
        upto, space = min(done + _BATCH, linked), self._leading()
        batch = self._catalog.clusters.batch(done, upto, space)
        found = clustered(batch, lambda look: self._rules(space, look))
        told = [_novelty(batch, each) for each in found.novelties] + _emerging(found, self._alert)
        self._catalog.clusters.keep(Step(turn, self.name, upto), found, told, _tallied(found))
        return upto < linked

    def _rules(self, space: SpaceId, look: Look) -> Rules:
        """Of several frames the strictest: none of them shall lead into a cluster by being plain."""
        rows = look.rows[look.whole] if len(look.rows) else np.empty((0, 1), np.float32)
        if not len(rows):
            return Rules(join=1.0, hold=1.0)
        join, hold = self._bounds(space, rows).max(axis=0)
        return Rules(min(float(join), 1.0), float(hold))


class TidyUp:
    """
    The duty that forgets old events, and clusters of which nothing is left.

    Args:
        catalog: where they are.
        keep_events: for how long.
        keep_sightings: likewise; a cluster is kept as long as its last one.
        clock: for tests.
    """

    name = "tidy"

    def __init__(
        self,
        catalog: Catalog,
        keep_events: timedelta,
        keep_sightings: timedelta,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._catalog = catalog
        self._keep_events = keep_events
        self._keep_sightings = keep_sightings
        self._clock = clock
        self._not_before = -float("inf")

    def step(self, turn: Turn) -> bool:
        del turn  # twice does no harm
        if self._clock() < self._not_before:
            return False
        more = self._catalog.events.forget(self._keep_events)
        more = self._catalog.clusters.forget(self._keep_sightings) or more
        if not more:
            self._not_before = self._clock() + _TIDY_EVERY_S
        return more


def _novelty(batch: Batch, new: Novelty) -> NewEvent:
    seen = new.sighting
    relative = None if new.link is None else batch.earlier.get(new.link.earlier)
    within = {one.key: one for one in batch.sightings}
    if relative is None and new.link is not None:
        relative = within.get(new.link.earlier)
    data: dict[str, Any] = {
        "sighting_id": seen.sighting_id,
        "platform": seen.platform,
        "relative_id": None if relative is None else relative.sighting_id,
        "score": None if new.link is None or new.link.score is None else round(new.link.score, 6),
        "distance": None if new.link is None else new.link.distance,
    }
    if new.caught:
        return NewEvent(EventKind.NEW_VARIANT, new.incident_key, None, data)
    return NewEvent(EventKind.NEAR_VARIANT, new.incident_key, seen.platform, data)


def _emerging(found: Clustered, alert: int) -> list[NewEvent]:
    told = []
    for cluster in found.clusters:
        if cluster.known:
            cluster.announced = 0  # once it is unknown again, it is told of anew
            continue
        due = max(alert, 2 * cluster.announced)
        if len(cluster.platforms) < _EMERGING_PLATFORMS or cluster.members < due:
            continue
        cluster.announced = cluster.members
        told.append(NewEvent(EventKind.EMERGING_CLUSTER, None, None, _facts_of(cluster)))
    return told


def _facts_of(cluster: Cluster) -> Mapping[str, Any]:
    """Without the names of the platforms: everyone hears of it, and sees its own part where it looks closer."""
    return {
        "cluster_id": cluster.cluster_id,
        "sightings": cluster.members,
        "platforms": len(cluster.platforms),
        "first_seen": _told(cluster.first_us),
        "last_seen": _told(cluster.last_us),
    }


def _tallied(found: Clustered) -> Tallied:
    """What nothing caught, and what was found all the same: among its likes."""
    counted = Counter(
        Tally(
            hour=from_us(new.sighting.received_us).replace(minute=0, second=0, microsecond=0),
            platform=new.sighting.platform,
            incident_key=new.incident_key,
            bank_key=0,
            means=Means.VARIANT,
            band=Band.NONE.value,
            action=Action.NONE.value,
            capped=False,
            shadow=False,
        )
        for new in found.novelties
        if not new.caught
    )
    return Tallied(counted)


def _told(us: int) -> str:
    return from_us(us).isoformat().replace("+00:00", "Z")
