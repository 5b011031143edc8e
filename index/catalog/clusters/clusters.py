"""Clusters of sightings: assigned by one process, listed for everyone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, delete, exists, select, type_coerce

from index.catalog import duties, events
from index.catalog.clusters import lists as cluster_lists
from index.catalog.clusters import rows as cluster_rows
from index.catalog.clusters import variants
from index.catalog.clusters import writing as cluster_writing
from index.catalog.duties import Step
from index.catalog.incident_tables import clusters, sightings
from index.catalog.incidents.tallies import Tallied
from index.catalog.incidents.tallies import add as add_tallies
from index.catalog.spaces import rows as space_rows
from index.catalog.storage.database import Database
from index.clusters.graph import Keys
from index.clusters.records import Batch, Clustered, ClusterFacts, Group
from index.errors import NothingToBank, UnknownCluster, UnknownSighting
from index.identifiers import item_key_of
from index.records.banks import Labels
from index.records.events import NewEvent
from index.records.items import Added, ItemId
from index.records.spaces import SpaceId

Clock = Callable[[], datetime]
_FORGOTTEN_AT_ONCE: Final = 500


class ClusterTable:
    """
    Safe from any thread.

    Every method raises CatalogUnavailable when the database fails, StorageFull when it has no room.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def batch(self, after: int, upto: int, space: SpaceId) -> Batch:
        """The sightings after one number and up to another, with what it takes to find clusters for them."""
        with self._database.reading() as connection:
            known = space_rows.known(connection).get(space)
            return cluster_rows.read_batch(connection, after, upto, known)

    def keep(self, step: Step, clustered: Clustered, told: Sequence[NewEvent], tallied: Tallied) -> None:
        """
        Writes where sightings were put, and tells of it.

        Raises:
            LeaseLost: it is another's turn by now; nothing is written.
        """

        def write(connection: Connection) -> None:
            duties.advance(connection, step)
            cluster_writing.write(connection, clustered)
            add_tallies(connection, tallied)
            if told:
                events.append_all(connection, self._clock(), told)

        self._database.write(write)

    def forget(self, older_than: timedelta) -> bool:
        """Deletes some clusters of which no sighting is kept any more; whether there may be others."""
        gone = ~exists().where(sightings.c.cluster_key == clusters.c.cluster_key)
        old = clusters.c.received_at < self._clock() - older_than
        wanted = select(clusters.c.cluster_key).where(old, gone).limit(_FORGOTTEN_AT_ONCE)
        with self._database.reading() as connection:
            keys = list(connection.execute(wanted).scalars())
        if keys:
            self._database.write(
                lambda connection: connection.execute(delete(clusters).where(clusters.c.cluster_key.in_(keys), gone))
            )
        return len(keys) == _FORGOTTEN_AT_ONCE

    def bank(self, bank: str, sighting_id: str, labels: Labels) -> Added:
        """
        Banks what is kept of a sighting; again it is the same item. Whoever may see the sighting was asked before.

        Raises:
            UnknownBank: there is none of that name.
            UnknownSighting: there is none of that id.
            NothingToBank: nothing was to be seen in it.
        """
        key = item_key_of(ItemId(sighting_id))
        there = sightings.c.sighting_key == key, sightings.c.sighting_id == sighting_id

        def write(connection: Connection) -> Added:
            if key is None or connection.execute(select(sightings.c.sighting_key).where(*there)).first() is None:
                raise UnknownSighting("There is no sighting of that id; those that are old are forgotten.")
            new = variants.signature_of(connection, key, sighting_id, labels)
            if not new.frames:
                raise NothingToBank("There was too little to see in this upload to find it again.")
            return variants.bank(connection, bank, key, new, self._clock())

        return self._database.write(write)

    def of_incident(self, incident_key: int, recent_since: datetime) -> list[Group]:
        """All there are around an incident, in no order; a sighting that has no near-copy is one by itself."""
        with self._database.reading() as connection:
            return cluster_lists.of_incident(connection, incident_key, recent_since)

    def unknown(self, recent_since: datetime, platform: str | None = None) -> list[Group]:
        """Those that match nothing known, in no order; with a platform, those that it has a part in."""
        with self._database.reading() as connection:
            return cluster_lists.unknown(connection, recent_since, platform)

    def facts(self, groups: Sequence[Group], incident_key: int | None = None) -> list[ClusterFacts]:
        """Of a few of these, in their order; what nothing caught is told where an incident is given."""
        with self._database.reading() as connection:
            return cluster_lists.facts(connection, groups, incident_key)

    def one(self, cluster_id: str, recent_since: datetime, platform: str | None = None) -> ClusterFacts:
        """
        Args:
            cluster_id: the id of its first sighting.
            recent_since: when what is recent began.
            platform: that must have a part in it; None need not.

        Raises:
            UnknownCluster: there is none of that id, or it has none.
        """
        key = item_key_of(ItemId(cluster_id))
        with self._database.reading() as connection:
            if key is not None and cluster_lists.is_there(connection, key, cluster_id, platform):
                (group,) = cluster_lists.groups(connection, [key], recent_since)
                return cluster_lists.facts(connection, [group], None)[0]
        raise UnknownCluster("There is no cluster of that id; those of which no sighting is kept are forgotten.")

    def members(self, cluster_key: int) -> tuple[Keys, Keys, NDArray[np.float64], Keys]:
        """The sightings that are kept of it: their numbers, what each joined by, how strong that is, and when."""
        mine = sightings.c
        query = (
            select(
                mine.sighting_key,
                mine.link_key,
                mine.link_score,
                mine.link_distance,
                type_coerce(mine.observed_at, BigInteger).label("observed_us"),
            )
            .where(mine.cluster_key == cluster_key)
            .order_by(mine.sighting_key)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return cluster_lists.as_columns(rows)

    def ids(self, keys: Sequence[int]) -> Mapping[int, str]:
        """The ids of sightings that are still kept."""
        with self._database.reading() as connection:
            return cluster_lists.ids(connection, keys)
