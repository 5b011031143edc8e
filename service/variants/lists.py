"""Variants of an incident, and clusters that nobody has banked yet: in the order in which one should look at them."""

import heapq
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from index.catalog import Catalog
from index.catalog.storage.cursors import cursor_for, text_position
from index.catalog.storage.instants import from_us
from index.clusters.graph import cut
from index.clusters.records import ClusterFacts, Group
from index.errors import BadCursor, UnknownSighting
from index.records.banks import Labels, Purpose
from index.records.incidents import Incident
from index.records.items import Added
from service.errors import Fault, InvalidField
from service.keys.viewer import Viewer
from service.variants.clustering import CLUSTER
from service.variants.shapes import ClusterList, ClusterPart, cluster_resource

_RECENT: Final = timedelta(hours=1)
_MOST_PARTS: Final = 100

Rank = tuple[int, int, int, int, int]


def recent_since(now: datetime | None = None) -> datetime:
    """When the full hour before the present one began: counts are kept by the hour."""
    now = now or datetime.now(UTC)
    return now.replace(minute=0, second=0, microsecond=0) - _RECENT


def rank(group: Group) -> Rank:
    """What an analyst should look at first: what nobody banked, then what spreads, grows, is large, is new."""
    spreads = group.recent * group.platforms
    return (int(group.banked), -spreads, -group.members, -group.last_us, group.key)


class Variants:
    """
    Safe from any thread.

    Args:
        catalog: where sightings and clusters are.
        follow: has the views of this process hear of what is banked, where there are any.
    """

    def __init__(self, catalog: Catalog, follow: Callable[[], object] = lambda: None) -> None:
        self._catalog = catalog
        self._follow = follow

    def of_incident(self, incident: Incident, limit: int, cursor: str | None) -> ClusterList:
        """
        Near-copies around an incident's items. Those who take part see of each how often, where and when.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        return self._listed(f"variants {incident.incident_id}", limit, cursor, Viewer(), incident.key)

    def seen_by(self, incident: Incident, limit: int, cursor: str | None, eyes: Viewer) -> ClusterList:
        """The same as this viewer may see it: what nothing caught is shown to its own platform alone."""
        listed = self.of_incident(incident, limit, cursor)
        if eyes.sees_all:
            return listed
        items = [
            one.model_copy(update={"frontier": [each for each in one.frontier if eyes.owns(each.platform)]})
            for one in listed.items
        ]
        return listed.model_copy(update={"items": items})

    def unknown(self, limit: int, cursor: str | None, eyes: Viewer) -> ClusterList:
        """
        Clusters that match nothing known; a platform sees those that it has a part in.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        return self._listed("clusters", limit, cursor, eyes, None)

    def one(self, cluster_id: str, eyes: Viewer) -> ClusterFacts:
        """
        Raises:
            UnknownCluster: there is none of that id, or this platform has no part in it.
        """
        return self._catalog.clusters.one(cluster_id, recent_since(), eyes.platform)

    def member(self, cluster_id: str, sighting_id: str | None, eyes: Viewer) -> str:
        """
        The sighting that is meant: the first one unless it was said.

        Raises:
            UnknownCluster, UnknownSighting: there is none of that id, or it is in another cluster.
        """
        cluster = self.one(cluster_id, eyes)
        if sighting_id is None:
            return cluster.cluster_id
        if self._catalog.sightings.get(sighting_id, eyes.platform).sighting.cluster_id != cluster.cluster_id:
            raise UnknownSighting("There is no sighting of that id in this cluster.")
        return sighting_id

    def parts(self, cluster_key: int, threshold: float) -> list[ClusterPart]:
        """What a cluster falls into when only links of this strength hold, the largest first."""
        keys, links, strengths, seen = self._catalog.clusters.members(cluster_key)
        firsts, homes = np.unique(cut(keys, links, strengths, threshold), return_inverse=True)
        sizes = np.bincount(homes, minlength=len(firsts))
        shown = sorted(range(len(firsts)), key=lambda part: (-int(sizes[part]), int(firsts[part])))[:_MOST_PARTS]
        ids = self._catalog.clusters.ids([int(firsts[part]) for part in shown])
        return [
            ClusterPart(
                first_sighting_id=ids.get(int(firsts[part])),
                sightings=int(sizes[part]),
                first_seen=from_us(int(seen[homes == part].min())),
                last_seen=from_us(int(seen[homes == part].max())),
            )
            for part in shown
        ]

    def bank_of(self, incident: Incident, named: str | None) -> str:
        """
        Which of an incident's banks is meant.

        Raises:
            InvalidField: it is none of them; or none was named, and there is not just one harmful one.
        """
        if named is not None and named in incident.banks:
            return named
        if named is not None:
            raise InvalidField("The bank is none of this incident's.", [Fault("/bank", "not one of its banks")])
        harmful = [name for name in incident.banks if self._catalog.bank(name).purpose is Purpose.HARMFUL]
        if len(harmful) != 1:
            known = ", ".join(harmful) or "none"
            raise InvalidField("Say which bank.", [Fault("/bank", f"needed: the incident's harmful banks are {known}")])
        return harmful[0]

    def bank(self, bank: str, sighting_id: str, labels: Labels, eyes: Viewer) -> Added:
        """
        Banks a variant from a sighting, without its media; again it is the same item.

        Raises:
            UnknownBank, UnknownSighting, NothingToBank
        """
        self._catalog.sightings.get(sighting_id, eyes.platform)
        added = self._catalog.clusters.bank(bank, sighting_id, labels)
        self._follow()
        return added

    def _listed(self, name: str, limit: int, cursor: str | None, eyes: Viewer, incident_key: int | None) -> ClusterList:
        since, after = (recent_since(), None) if cursor is None else _position(cursor, name)
        table = self._catalog.clusters
        groups = table.unknown(since, eyes.platform) if incident_key is None else table.of_incident(incident_key, since)
        following = [(rank(group), group) for group in groups if after is None or rank(group) > after]
        page = heapq.nsmallest(limit, following, key=lambda pair: pair[0])
        facts = table.facts([group for _, group in page], incident_key)
        return ClusterList(
            items=[cluster_resource(one, since, eyes) for one in facts],
            next=_cursor(name, since, page[-1][0]) if len(following) > limit else None,
            behind=self.behind(),
        )

    def behind(self) -> int:
        """Recorded uploads that no cluster was looked for yet."""
        return max(0, self._catalog.sightings.head() - self._catalog.duties.cursor(CLUSTER))


def _cursor(name: str, since: datetime, place: Rank) -> str:
    """Goes on in the order as it was when the list began, as far as what is listed has not changed since."""
    return cursor_for(name, json.dumps([since.isoformat(), *place]))


def _position(cursor: str, name: str) -> tuple[datetime, Rank]:
    try:
        since, *place = json.loads(text_position(cursor, name))
        banked, spreads, members, last, key = (int(each) for each in place)
        return datetime.fromisoformat(since).astimezone(UTC), (banked, spreads, members, last, key)
    except (ValueError, TypeError, OverflowError):
        raise BadCursor("The cursor is not one of this list; start again without it.") from None
