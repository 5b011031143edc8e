"""How two spaces judged the same uploads while one was in shadow of the other."""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, insert, select, update

from index.catalog.spaces.rows import SpaceRow
from index.catalog.tables import agreements
from index.records.spaces import Agreement


def add(connection: Connection, shadow: SpaceRow, against: SpaceRow, counted: Sequence[Agreement]) -> None:
    """Adds to what was counted before, by this process or another."""
    for each in counted:
        place = and_(
            agreements.c.space_key == shadow.key,
            agreements.c.against == against.key,
            agreements.c.band == each.band,
            agreements.c.shadow_band == each.shadow_band,
        )
        changed = connection.execute(
            update(agreements)
            .where(place)
            .values(
                uploads=agreements.c.uploads + each.uploads,
                same_item=agreements.c.same_item + each.same_item,
            )
        )
        if changed.rowcount == 0:
            connection.execute(
                insert(agreements).values(
                    space_key=shadow.key,
                    against=against.key,
                    band=each.band,
                    shadow_band=each.shadow_band,
                    uploads=each.uploads,
                    same_item=each.same_item,
                )
            )


def of_space(connection: Connection, shadow: SpaceRow) -> list[Agreement]:
    """By band, of whatever it was compared with."""
    rows = connection.execute(
        select(agreements)
        .where(agreements.c.space_key == shadow.key)
        .order_by(agreements.c.band, agreements.c.shadow_band)
    )
    return [Agreement(row.band, row.shadow_band, row.uploads, row.same_item) for row in rows]


def forget(connection: Connection, shadow: SpaceRow) -> None:
    connection.execute(delete(agreements).where(agreements.c.space_key == shadow.key))
