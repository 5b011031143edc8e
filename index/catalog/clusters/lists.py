"""Reads clusters for those who look at them: many as far as it takes to order them, few in full."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, ColumnElement, Connection, Row, exists, func, select, type_coerce

from index.catalog.banks import rows as bank_rows
from index.catalog.clusters.frontier import frontier
from index.catalog.clusters.matches import still_known
from index.catalog.incident_tables import (
    cluster_tallies,
    clusters,
    sightings,
    variant_items,
)
from index.catalog.storage.instants import to_us
from index.catalog.storage.parts import in_parts
from index.catalog.tables import banks, items
from index.clusters.graph import Keys, Link
from index.clusters.records import BankedFrom, ClusterFacts, Group, Relative

_HOUR_US: Final = 3_600_000_000


def of_incident(connection: Connection, incident_key: int, recent_since: datetime) -> list[Group]:
    mine = sightings.c
    homes = select(mine.cluster_key).where(mine.incident_key == incident_key, mine.cluster_key.is_not(None)).distinct()
    found = groups(connection, connection.execute(homes).scalars().all(), recent_since)
    alone = select(mine.sighting_key, type_coerce(mine.observed_at, BigInteger)).where(
        mine.incident_key == incident_key, mine.cluster_key.is_(None)
    )
    banked = _banked_keys(connection)
    since = to_us(recent_since)
    found += [
        Group(key, 1, int(at >= since), at, key in banked, single=True) for key, at in connection.execute(alone).all()
    ]
    return found


def unknown(connection: Connection, recent_since: datetime, platform: str | None) -> list[Group]:
    wanted = select(clusters.c.cluster_key).where(~still_known())
    if platform is not None:
        wanted = wanted.where(_has_part(platform))
    return groups(connection, connection.execute(wanted).scalars().all(), recent_since)


def is_there(connection: Connection, key: int, cluster_id: str, platform: str | None) -> bool:
    wanted = [clusters.c.cluster_key == key, clusters.c.cluster_id == cluster_id]
    if platform is not None:
        wanted.append(_has_part(platform))
    return connection.execute(select(clusters.c.cluster_key).where(*wanted)).first() is not None


def _has_part(platform: str) -> ColumnElement[bool]:
    tally = cluster_tallies.c
    return exists().where(tally.cluster_key == clusters.c.cluster_key, tally.platform == platform)


def groups(connection: Connection, keys: Collection[int], recent_since: datetime) -> list[Group]:
    tally = cluster_tallies.c
    banked = _banked_keys(connection)
    found = []
    for some in in_parts(keys):
        recent = select(tally.cluster_key, func.sum(tally.sightings)).where(
            tally.cluster_key.in_(some), tally.hour >= recent_since
        )
        grown = {key: int(count) for key, count in connection.execute(recent.group_by(tally.cluster_key))}
        spread = select(tally.cluster_key, func.count(tally.platform.distinct())).where(tally.cluster_key.in_(some))
        platforms = {key: int(count) for key, count in connection.execute(spread.group_by(tally.cluster_key))}
        row = clusters.c
        facts = select(row.cluster_key, row.members, type_coerce(row.last_at, BigInteger)).where(
            row.cluster_key.in_(some)
        )
        found += [
            Group(key, members, grown.get(key, 0), last, key in banked, platforms.get(key, 0))
            for key, members, last in connection.execute(facts)
        ]
    return found


def facts(connection: Connection, few: Sequence[Group], incident_key: int | None) -> list[ClusterFacts]:
    keys = [group.key for group in few]
    rows = {
        row.cluster_key: row for row in connection.execute(select(clusters).where(clusters.c.cluster_key.in_(keys)))
    }
    firsts = _named(connection, keys)
    mentioned = [key for row in rows.values() for key in (row.weakest_key, row.relative_key)]
    mentioned += [firsts[key].link_key for key in keys if key not in rows and key in firsts]
    named = firsts | _named(connection, mentioned)
    page = _Page(connection, named, _counts(connection, keys), _bands(connection, keys), _banked(connection, keys))
    found = []
    for group in few:
        if group.key in rows:
            found.append(_of_cluster(page, group, rows[group.key], incident_key))
        elif group.key in named:
            found.append(_of_one(page, group, named[group.key]))
    return found


def ids(connection: Connection, keys: Collection[int]) -> dict[int, str]:
    return {key: row.sighting_id for key, row in _named(connection, keys).items()}


def as_columns(rows: Sequence[Row[Any]]) -> tuple[Keys, Keys, NDArray[np.float64], Keys]:
    """Of sightings: their numbers, what each joined by (0: nothing), how strong that is, and when they were seen."""
    links = [None if row.link_key is None else Link(row.link_key, row.link_score, row.link_distance) for row in rows]
    return (
        np.array([row.sighting_key for row in rows], np.int64),
        np.array([0 if link is None else link.earlier for link in links], np.int64),
        np.array([-1.0 if link is None else link.strength for link in links], np.float64),
        np.array([row.observed_us for row in rows], np.int64),
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """What is read for several clusters at once, by their keys."""

    connection: Connection
    named: Mapping[int, Row[Any]]
    """Sightings that are still kept."""
    counts: Mapping[int, list[tuple[int, str, int]]]
    bands: Mapping[int, dict[str, int]]
    banked: Mapping[int, list[BankedFrom]]


def _of_cluster(page: _Page, group: Group, row: Row[Any], incident_key: int | None) -> ClusterFacts:
    counts, first, weakest = page.counts.get(group.key, []), page.named.get(group.key), page.named.get(row.weakest_key)
    return ClusterFacts(
        group=group,
        cluster_id=row.cluster_id,
        first_platform=min(counts, default=(0, "", 0))[1] if first is None else first.platform,
        first_us=to_us(row.first_at),
        matched=row.matched,
        weakest_id=None if weakest is None else weakest.sighting_id,
        weakest_strength=row.weakest_strength,
        relative=_relative(page, row.relative_key, row.relative_score, row.relative_distance),
        counts=counts,
        bands=page.bands.get(group.key, {}),
        banked=page.banked.get(group.key, []),
        frontier=() if incident_key is None else frontier(page.connection, group.key),
    )


def _of_one(page: _Page, group: Group, row: Row[Any]) -> ClusterFacts:
    hour = row.observed_us // _HOUR_US * _HOUR_US
    return ClusterFacts(
        group=group,
        cluster_id=row.sighting_id,
        first_platform=row.platform,
        first_us=row.observed_us,
        matched=1,
        weakest_id=None,
        weakest_strength=None,
        relative=_relative(page, row.link_key, row.link_score, row.link_distance),
        counts=[(hour, row.platform, 1)],
        bands={row.band: 1},
        banked=page.banked.get(group.key, []),
        frontier=(),
    )


def _relative(page: _Page, key: int | None, score: float | None, distance: int | None) -> Relative | None:
    if key is None:
        return None
    row = page.named.get(key)
    return Relative(None if row is None else row.sighting_id, None if row is None else row.platform, score, distance)


def _named(connection: Connection, keys: Collection[int | None]) -> dict[int, Row[Any]]:
    mine = sightings.c
    query = select(
        mine.sighting_key,
        mine.sighting_id,
        mine.platform,
        type_coerce(mine.observed_at, BigInteger).label("observed_us"),
        mine.band,
        mine.link_key,
        mine.link_score,
        mine.link_distance,
    ).where(mine.sighting_key.in_([key for key in keys if key is not None]))
    return {row.sighting_key: row for row in connection.execute(query)}


def _counts(connection: Connection, keys: Collection[int]) -> dict[int, list[tuple[int, str, int]]]:
    """By hour and platform."""
    tally = cluster_tallies.c
    hour = type_coerce(tally.hour, BigInteger)
    query = (
        select(tally.cluster_key, hour, tally.platform, func.sum(tally.sightings))
        .where(tally.cluster_key.in_(keys))
        .group_by(tally.cluster_key, tally.hour, tally.platform)
        .order_by(tally.hour, tally.platform)
    )
    found: dict[int, list[tuple[int, str, int]]] = {}
    for key, at, platform, count in connection.execute(query):
        found.setdefault(key, []).append((at, platform, int(count)))
    return found


def _bands(connection: Connection, keys: Collection[int]) -> dict[int, dict[str, int]]:
    tally = cluster_tallies.c
    query = select(tally.cluster_key, tally.band, func.sum(tally.sightings)).where(tally.cluster_key.in_(keys))
    found: dict[int, dict[str, int]] = {}
    for key, band, count in connection.execute(query.group_by(tally.cluster_key, tally.band)):
        found.setdefault(key, {})[band] = int(count)
    return found


def _banked_keys(connection: Connection) -> set[int]:
    """Clusters, and sightings by themselves, from which something was banked that is there still."""
    query = select(variant_items.c.cluster_key).join(items, items.c.item_key == variant_items.c.item_key)
    return set(connection.execute(query.where(~bank_rows.of_removed_bank())).scalars())


def _banked(connection: Connection, keys: Collection[int]) -> dict[int, list[BankedFrom]]:
    item = variant_items.c
    query = (
        select(item.cluster_key, items.c.item_id, banks.c.name, item.sighting_key)
        .join(items, items.c.item_key == item.item_key)
        .join(banks, banks.c.bank_key == items.c.bank_key)
        .where(item.cluster_key.in_(keys), banks.c.removed_at.is_(None))
        .order_by(item.item_key)
    )
    found: dict[int, list[BankedFrom]] = {}
    for key, item_id, bank, sighting_key in connection.execute(query):
        found.setdefault(key, []).append(BankedFrom(item_id, bank, sighting_key))
    return found
