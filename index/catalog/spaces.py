"""The spaces whose embeddings are kept here."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from index.catalog.tables import embeddings, spaces
from index.errors import SpaceMismatch
from index.records import SpaceId, SpaceStage, SpaceState


@dataclass(frozen=True, slots=True)
class KnownSpace:
    key: int
    dim: int


def register(connection: Connection, space: SpaceId, dim: int) -> None:
    """Names a space; naming it again changes nothing."""
    held = known(connection).get(space)
    if held is None:
        connection.execute(insert(spaces).values(space=space, dim=dim, state=SpaceStage.SERVED.value))
    elif held.dim != dim:
        raise SpaceMismatch(f"The space has embeddings of length {held.dim} here, not {dim}.")


def known(connection: Connection) -> dict[SpaceId, KnownSpace]:
    rows = connection.execute(select(spaces))
    return {SpaceId(row.space): KnownSpace(row.space_key, row.dim) for row in rows}


def states(connection: Connection) -> list[SpaceState]:
    counts = select(embeddings.c.space_key, func.count().label("frames")).group_by(embeddings.c.space_key).subquery()
    query = (
        select(spaces.c.space, spaces.c.dim, func.coalesce(counts.c.frames, 0).label("frames"))
        .outerjoin(counts, counts.c.space_key == spaces.c.space_key)
        .order_by(spaces.c.space)
    )
    return [SpaceState(SpaceId(row.space), row.dim, row.frames) for row in connection.execute(query)]
