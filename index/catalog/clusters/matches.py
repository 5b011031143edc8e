"""Which sightings match something that can still be found, and what their clusters learn when they begin to."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, exists, func, or_, select, update

from index.catalog.banks import rows as bank_rows
from index.catalog.incident_tables import clusters, incidents, sighting_matches, sightings
from index.catalog.storage.parts import in_parts
from index.catalog.tables import items
from index.records.incidents import IncidentState
from index.records.items import ItemState


def matches_something(*which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is a match with an item that can still be found: what was removed or disabled is not known."""
    held = sighting_matches.c
    return exists().where(
        *which,
        items.c.item_key == held.item_key,
        items.c.state == ItemState.ACTIVE.value,
        ~bank_rows.of_removed_bank(),
    )


def matching(connection: Connection, keys: Collection[int]) -> set[int]:
    """Which of these sightings match something that can still be found."""
    held = sighting_matches.c
    found: set[int] = set()
    for some in in_parts(keys):
        query = select(held.sighting_key).where(held.sighting_key.in_(some), matches_something())
        found |= set(connection.execute(query.distinct()).scalars())
    return found


def still_known() -> ColumnElement[bool]:
    """Of clusters: that a member matches something."""
    mine = sightings.c
    of_member = mine.cluster_key == clusters.c.cluster_key, sighting_matches.c.sighting_key == mine.sighting_key
    return (clusters.c.matched > 0) & matches_something(*of_member)


def note_matched(connection: Connection, keys: Collection[int]) -> None:
    """
    These sightings match something, and did not before: their clusters are not unknown any more.

    One that matched something once that is gone since may be counted again; no cluster has more than its members.
    """
    found = (
        select(
            sightings.c.cluster_key, func.count().label("count"), func.min(sightings.c.incident_key).label("incident")
        )
        .where(sightings.c.sighting_key.in_(list(keys)), sightings.c.cluster_key.is_not(None))
        .group_by(sightings.c.cluster_key)
    )
    over = ended_incidents(connection)
    mine = clusters.c
    free = or_(mine.incident_key.is_(None), mine.incident_key.in_(over))
    for row in connection.execute(found).all():
        counted = mine.matched + row.count
        # Once it is unknown again, it is told of anew.
        matched = case((counted < mine.members, counted), else_=mine.members)
        values: dict[str, Any] = {"matched": matched, "announced": 0}
        if row.incident is not None and row.incident not in over:
            values["incident_key"] = case((free, row.incident), else_=mine.incident_key)
        connection.execute(update(clusters).where(mine.cluster_key == row.cluster_key).values(values))


def ended_incidents(connection: Connection) -> set[int]:
    """Incidents that nobody waits for news of any more."""
    ended = [state.value for state in IncidentState if not state.open]
    return set(connection.execute(select(incidents.c.incident_key).where(incidents.c.state.in_(ended))).scalars())
