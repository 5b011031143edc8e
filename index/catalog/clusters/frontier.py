"""
What nothing caught: members of a cluster that match nothing, and what is only near one.

Asked in small steps by key: a database that has not counted its rows yet would otherwise read every match there is.
"""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Row, Select, or_, select, type_coerce

from index.catalog.clusters.matches import matching
from index.catalog.incident_tables import sightings
from index.clusters.records import Outlier

_MOST: Final = 20
"""Of one cluster that are shown."""
_NEWEST: Final = 200
"""Members whose surroundings are looked through: a cluster of very many must not cost more."""


def frontier(connection: Connection, cluster_key: int) -> list[Outlier]:
    """Members first, then what is only near one; of each the newest."""
    mine = sightings.c
    newest = _some().where(mine.cluster_key == cluster_key).order_by(mine.sighting_key.desc())
    members = connection.execute(newest).all()
    keys = [row.sighting_key for row in members]
    elsewhere = or_(mine.cluster_key.is_(None), mine.cluster_key != cluster_key)
    # Of the newest members first: in the order of the index that finds them.
    linked = _some().where(mine.link_key.in_(keys), elsewhere).order_by(mine.link_key.desc())
    around = sorted(connection.execute(linked).all(), key=lambda row: -row.sighting_key)
    caught = matching(connection, keys + [row.sighting_key for row in around])
    found = _uncaught(members, caught, inside=True) + _uncaught(around, caught, inside=False)
    return found[:_MOST]


def _uncaught(rows: Collection[Row[Any]], caught: Collection[int], *, inside: bool) -> list[Outlier]:
    return [
        Outlier(row.sighting_id, row.platform, row.observed_us, inside, row.link_score, row.link_distance)
        for row in rows
        if row.sighting_key not in caught
    ]


def _some() -> Select[Any]:
    mine = sightings.c
    return select(
        mine.sighting_key,
        mine.sighting_id,
        mine.platform,
        type_coerce(mine.observed_at, BigInteger).label("observed_us"),
        mine.link_score,
        mine.link_distance,
    ).limit(_NEWEST)
