"""Sightings as everyone else sees them: recorded, listed, linked, forgotten."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, exists, select

from index.catalog.duties import Step
from index.catalog.incident_tables import (
    sightings,
)
from index.catalog.sightings import duties as sighting_duties
from index.catalog.sightings import pages as sighting_pages
from index.catalog.sightings import recording
from index.catalog.sightings import rows as sighting_rows
from index.catalog.spaces import rows as space_rows
from index.catalog.spaces.rows import KnownSpace
from index.catalog.storage.cursors import cursor_for, number_position
from index.catalog.storage.database import Database
from index.catalog.tables import log_head
from index.errors import SpaceMismatch, UnknownSighting
from index.identifiers import item_key_of
from index.records.items import ItemId
from index.records.pages import Page
from index.records.sightings import (
    EdgeRows,
    Found,
    NewSighting,
    SightedHashes,
    SightedRows,
    Sighting,
    SightingDetail,
    SightingFacts,
    SightingId,
    SightingQuery,
)
from index.records.spaces import SpaceId

Clock = Callable[[], datetime]
_PATIENCE_S = 2.0
"""A match waits for its recording: when others have been writing for so long, it goes without."""
_LIST = "sightings"


class SightingsAfter:
    """What sightings after a number look like, in one state of the catalog."""

    def __init__(self, connection: Connection, after: int, limit: int | None) -> None:
        self._connection = connection
        self._after = after
        self._limit = limit

    @property
    def head(self) -> int:
        """The newest sighting there is."""
        return int(self._connection.execute(select(log_head.c.sighting_seq)).scalar_one())

    def rows(self, space: SpaceId) -> Iterator[SightedRows]:
        """
        Some thousands at a time.

        Raises:
            SpaceMismatch: there is no such space.
        """
        return sighting_rows.rows_after(self._connection, _known(self._connection, space), self._after, self._limit)

    def hashes(self) -> Iterator[SightedHashes]:
        return sighting_rows.hashes_after(self._connection, self._after, self._limit)

    def index_versions(self, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next sightings, and the change that each was compared up to."""
        return sighting_rows.index_versions_after(self._connection, self._after, limit)


class SightingTable:
    """
    The sightings of a catalog. Safe from any thread.

    Every method raises CatalogUnavailable when the database fails, StorageFull when it has no room.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._spaces: dict[SpaceId, int] = {}

    def record(self, new: NewSighting, keep: timedelta) -> SightingId:
        """
        Keeps what is needed to find an upload again; several that wait are written together.

        Args:
            new: the upload.
            keep: how long sightings are kept. A platform's clock may say what it likes: a time in the future is
                taken as now, one further back than that as the earliest that is kept.
        """
        return self._database.write_alike(self._record_each, recording.Recordable(new, keep), _PATIENCE_S)

    def _record_each(self, connection: Connection, new: Sequence[recording.Recordable]) -> list[SightingId]:
        return recording.record_each(connection, new, self._clock(), self._spaces)

    def head(self) -> int:
        """The newest sighting's number; cheap enough to ask several times a second."""
        return int(self._database.scalar("SELECT sighting_seq FROM log_head"))

    def get(self, sighting_id: str, platform: str | None = None) -> SightingDetail:
        """
        One sighting and what is known of it.

        Args:
            sighting_id: of it.
            platform: whose alone is to be seen, of edges too; None sees all.

        Raises:
            UnknownSighting: there is none, or it is another platform's.
        """
        key = item_key_of(ItemId(sighting_id))
        with self._database.reading() as connection:
            row = None
            if key is not None:
                wanted = sighting_pages.rows().where(
                    sightings.c.sighting_key == key, sightings.c.sighting_id == sighting_id
                )
                row = connection.execute(wanted).one_or_none()
            if row is None or platform not in {None, row.platform}:
                raise UnknownSighting("There is no sighting of that id; those that are old are forgotten.")
            return sighting_pages.detail_of(connection, row, platform)

    def page(self, query: SightingQuery, limit: int, cursor: str | None = None) -> Page[Sighting]:
        """
        In the order in which they were recorded, or against it.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        wanted = sighting_pages.conditions(query)
        belongs = f"{_LIST} {'newest' if query.newest_first else 'oldest'}"
        key = sightings.c.sighting_key
        if cursor is not None:
            position = number_position(cursor, belongs)
            wanted.append(key < position if query.newest_first else key > position)
        rows = sighting_pages.rows().where(*wanted).order_by(key.desc() if query.newest_first else key).limit(limit + 1)
        with self._database.reading() as connection:
            found = connection.execute(rows).all()
        following = cursor_for(belongs, found[limit - 1].sighting_key) if len(found) > limit else None
        return Page(tuple(sighting_pages.sighting_of(row) for row in found[:limit]), following)

    def edges_between(self, after: int, upto: int) -> EdgeRows:
        """The edges of sightings after one number and up to another, to whatever was before them."""
        with self._database.reading() as connection:
            return sighting_rows.edges_between(connection, after, upto)

    def edges_of(self, keys: NDArray[np.int64]) -> EdgeRows:
        """The edges that have one of these sightings at either end."""
        with self._database.reading() as connection:
            return sighting_rows.edges_of(connection, keys)

    def facts(self, keys: NDArray[np.int64]) -> SightingFacts:
        """Of those of these sightings that are still kept."""
        with self._database.reading() as connection:
            return sighting_rows.facts_of(connection, keys)

    def facts_of_incident(self, incident_key: int) -> SightingFacts:
        """Of the sightings that match its banks, at once or since."""
        with self._database.reading() as connection:
            return sighting_rows.facts_of_incident(connection, incident_key)

    def rows_of(self, space: SpaceId, keys: NDArray[np.int64]) -> SightedRows:
        """
        What these look like in a space.

        Raises:
            SpaceMismatch: there is no such space.
        """
        with self._database.reading() as connection:
            return sighting_rows.rows_of(connection, _known(connection, space), keys)

    @contextmanager
    def after(self, key: int, limit: int | None = None) -> Iterator[SightingsAfter]:
        """What sightings after a number look like, as of one state of the catalog, while the context is open."""
        with self._database.reading() as connection:
            yield SightingsAfter(connection, key, limit)

    def changed_items(self, since: int, upto: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Of the change log: items and incidents to look back for, and the change up to which they are all."""
        with self._database.reading() as connection:
            return sighting_rows.changed_items(connection, since, upto, limit)

    def pressing_items(
        self, since: int, upto: int, banks: Collection[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the change log: items of some banks to look back for, and incidents."""
        with self._database.reading() as connection:
            return sighting_rows.pressing_items(connection, since, upto, banks)

    def unmatched(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sightings that were not shown to match anything, and the cluster of each or its own key."""
        with self._database.reading() as connection:
            return sighting_rows.unmatched(connection)

    def oldest(self) -> int | None:
        """The number of the oldest that is kept."""
        with self._database.reading() as connection:
            return sighting_rows.oldest(connection)

    def link(self, step: Step, edges: EdgeRows) -> None:
        """
        Raises:
            LeaseLost: it is another's turn by now; nothing is written.
        """
        self._database.write(lambda connection: sighting_duties.link(connection, step, edges))

    def note_found(self, step: Step, found: Sequence[Found]) -> int:
        """
        Writes that sightings match items where it is not known yet, and tells their platforms; how many were new.

        Raises:
            LeaseLost: it is another's turn by now; nothing is written.
        """
        return self._database.write(
            lambda connection: sighting_duties.note_found(connection, step, found, self._clock())
        )

    def any_older_than(self, age: timedelta) -> bool:
        """A look that writes nothing."""
        too_old = exists().where(sightings.c.received_at < self._clock() - age)
        with self._database.reading() as connection:
            return bool(connection.execute(select(too_old)).scalar_one())

    def purge(self, step: Step, space: SpaceId, after: int, upto: int) -> None:
        """
        Deletes what sightings after one number and up to another look like in a space; writes nothing where it is gone.

        Raises:
            LeaseLost: it is another's turn by now; nothing is deleted.
            SpaceMismatch: there is no such space.
        """
        with self._database.reading() as connection:
            key = _known(connection, space).key
            held = exists().where(*sighting_duties.in_space(key, after, upto))
            there = connection.execute(select(held)).scalar_one()
        if there:
            self._database.write(lambda connection: sighting_duties.purge(connection, step, key, after, upto))

    def forget(self, step: Step, older_than: timedelta, most: int) -> int:
        """
        Deletes the oldest of those that were received so long ago, and all that hangs on them; how many.

        Raises:
            LeaseLost: it is another's turn by now; nothing is deleted.
        """
        before = self._clock() - older_than
        return self._database.write(lambda connection: sighting_duties.forget(connection, step, before, most))


def _known(connection: Connection, space: SpaceId) -> KnownSpace:
    known = space_rows.known(connection).get(space)
    if known is None:
        raise SpaceMismatch("There is no such space.")
    return known
