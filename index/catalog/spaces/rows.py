"""
The spaces whose embeddings are kept here, and the parts they play.

```
            begin             fill             promote
 (unknown) ------> building ------> shadow <------------> served
     ^                |               |     rollback         |
     | begin          | drop          | drop                 | promote of another, rollback to another
     |                v               v                      v
     +------------ dropped <------------------------------ retired
                                  drop
```
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from index.audit import AuditAction
from index.catalog import audit, log
from index.catalog.tables import ChangeKind, embeddings, spaces
from index.errors import SpaceMismatch, UnknownSpace, WrongStage
from index.records.changes import Version
from index.records.spaces import SpaceId, SpaceRecord, SpaceStage, SpaceState


@dataclass(frozen=True, slots=True)
class KnownSpace:
    key: int
    dim: int
    stage: SpaceStage = SpaceStage.SERVED


@dataclass(frozen=True, slots=True)
class SpaceRow:
    """A space with its key."""

    key: int
    record: SpaceRecord
    replaces: int | None

    @property
    def stage(self) -> SpaceStage:
        return self.record.stage


def register(connection: Connection, space: SpaceId, dim: int, model: str | None = None) -> None:
    """Names a space, to be served; naming it again changes nothing, but that its model may become known."""
    held = known(connection).get(space)
    if held is None:
        connection.execute(insert(spaces).values(space=space, dim=dim, model=model, state=SpaceStage.SERVED.value))
        return
    _refuse_another_length(held.dim, dim)
    if model is not None:
        connection.execute(
            update(spaces).where(spaces.c.space_key == held.key, spaces.c.model.is_(None)).values(model=model)
        )


def known(connection: Connection) -> dict[SpaceId, KnownSpace]:
    rows = connection.execute(select(spaces))
    return {SpaceId(row.space): KnownSpace(row.space_key, row.dim, SpaceStage(row.state)) for row in rows}


def records(connection: Connection) -> tuple[SpaceRecord, ...]:
    """Every space there is or was, the oldest first."""
    return tuple(row.record for row in all_rows(connection).values())


def all_rows(connection: Connection) -> dict[SpaceId, SpaceRow]:
    found = connection.execute(select(spaces).order_by(spaces.c.space_key)).all()
    names = {row.space_key: SpaceId(row.space) for row in found}
    return {
        SpaceId(row.space): SpaceRow(
            row.space_key,
            SpaceRecord(
                space=SpaceId(row.space),
                dim=row.dim,
                model=row.model,
                stage=SpaceStage(row.state),
                replaces=names.get(row.replaces),
                changed_at=row.changed_at,
            ),
            row.replaces,
        )
        for row in found
    }


def row_of(connection: Connection, space: SpaceId) -> SpaceRow:
    """
    Raises:
        UnknownSpace: there is none of that name.
    """
    row = all_rows(connection).get(space)
    if row is None:
        raise UnknownSpace("There is no such space.")
    return row


def states(connection: Connection) -> list[SpaceState]:
    counts = select(embeddings.c.space_key, func.count().label("frames")).group_by(embeddings.c.space_key).subquery()
    query = (
        select(spaces.c.space, spaces.c.dim, func.coalesce(counts.c.frames, 0).label("frames"))
        .outerjoin(counts, counts.c.space_key == spaces.c.space_key)
        .where(spaces.c.state != SpaceStage.DROPPED.value)
        .order_by(spaces.c.space)
    )
    return [SpaceState(SpaceId(row.space), row.dim, row.frames) for row in connection.execute(query)]


def begin(
    connection: Connection, space: SpaceId, dim: int, *, model: str, replaces: SpaceId | None, at: datetime
) -> SpaceRecord:
    """
    A space to be filled. One that is being filled already, waits in shadow or is served goes on, with what it is to
    take over from as it is said now.

    Raises:
        UnknownSpace, WrongStage: the one to take over from is not there or not served.
        SpaceMismatch: the space is known with another length of embeddings.
    """
    rows = all_rows(connection)
    row = rows.get(space)
    if row is not None:
        _refuse_another_length(row.record.dim, dim)
        as_it_is = row.record.replaces == replaces and row.stage in (SpaceStage.BUILDING, SpaceStage.SHADOW)
        if as_it_is or row.stage is SpaceStage.SERVED:
            return row.record
    old = None if replaces is None else _served(rows, replaces, space)
    values = {"model": model, "state": SpaceStage.BUILDING.value, "changed_at": at}
    values["replaces"] = None if old is None else old.key
    if row is None:
        connection.execute(insert(spaces).values(space=space, dim=dim, **values))
    else:
        connection.execute(update(spaces).where(spaces.c.space_key == row.key).values(**values))
    made = row_of(connection, space)
    _tell(connection, made, None if row is None else row.stage, at)
    return made.record


def to_shadow(connection: Connection, space: SpaceId, at: datetime) -> SpaceRecord:
    """
    It is filled: from now on it is asked beside the one it may take over from. Again is harmless.

    Raises:
        UnknownSpace, WrongStage
    """
    row = row_of(connection, space)
    if row.stage is SpaceStage.BUILDING:
        _set(connection, {row: SpaceStage.SHADOW}, at)
    elif row.stage in (SpaceStage.DROPPED, SpaceStage.RETIRED):
        raise WrongStage(f"The space is {row.stage.value}: it is not being filled.")
    return row_of(connection, space).record


def promote(connection: Connection, row: SpaceRow, *, keep_old: bool, at: datetime) -> Version:
    """
    The new space answers from this change on, instead of the one it replaces, or beside it.

    One that answers beside the other already may be left alone by this.

    Raises:
        WrongStage: it does not wait in shadow, or the one to take over from is not served.
    """
    old = None if row.replaces is None else _by_key(connection, row.replaces)
    beside = row.stage is SpaceStage.SERVED and old is not None and old.stage is SpaceStage.SERVED
    if row.stage is not SpaceStage.SHADOW and (keep_old or not beside):
        raise WrongStage(f"The space is {row.stage.value}: only one that waits in shadow can take over.")
    changed = {} if beside else {row: SpaceStage.SERVED}
    if old is not None:
        if old.stage is not SpaceStage.SERVED:
            raise WrongStage(f"The space to take over from is {old.stage.value}, not served.")
        if not keep_old:
            changed[old] = SpaceStage.RETIRED
        # Of two spaces that once took over from each other, the later decision is the one to follow.
        connection.execute(
            update(spaces).where(spaces.c.space_key == old.key, spaces.c.replaces == row.key).values(replaces=None)
        )
    return _set(connection, changed, at)


def rollback(connection: Connection, row: SpaceRow, at: datetime) -> Version:
    """
    The one it took over from answers again; it waits in shadow itself.

    Raises:
        WrongStage: it is not served, or there is nothing to go back to.
    """
    if row.stage is not SpaceStage.SERVED or row.replaces is None:
        raise WrongStage("The space has not taken over from another: there is nothing to go back to.")
    old = _by_key(connection, row.replaces)
    if old.stage not in (SpaceStage.RETIRED, SpaceStage.SERVED):
        raise WrongStage(f"The space it took over from is {old.stage.value}: there is nothing to go back to.")
    return _set(connection, {row: SpaceStage.SHADOW, old: SpaceStage.SERVED}, at)


def drop(connection: Connection, space: SpaceId, at: datetime) -> Version:
    """
    Gives a space up: nobody opens it from this change on, and its embeddings may be deleted. Again is harmless.

    Raises:
        UnknownSpace
        WrongStage: it is served.
    """
    row = row_of(connection, space)
    if row.stage is SpaceStage.DROPPED:
        return log.head(connection)
    if row.stage is SpaceStage.SERVED:
        raise WrongStage("The space is served: promote another, or roll it back, before it is dropped.")
    return _set(connection, {row: SpaceStage.DROPPED}, at)


def _served(rows: dict[SpaceId, SpaceRow], replaces: SpaceId, by: SpaceId) -> SpaceRow:
    old = rows.get(replaces)
    if old is None:
        raise UnknownSpace("There is no such space to take over from.")
    if old.stage is not SpaceStage.SERVED or replaces == by:
        raise WrongStage(f"The space to take over from is {old.stage.value}, not another one that is served.")
    return old


def _by_key(connection: Connection, key: int) -> SpaceRow:
    return next(row for row in all_rows(connection).values() if row.key == key)


def _set(connection: Connection, stages: dict[SpaceRow, SpaceStage], at: datetime) -> Version:
    for row, stage in stages.items():
        connection.execute(update(spaces).where(spaces.c.space_key == row.key).values(state=stage.value, changed_at=at))
        _note(connection, row, row.stage, stage, at)
    return _log(connection, list(stages), at)


def _tell(connection: Connection, made: SpaceRow, was: SpaceStage | None, at: datetime) -> Version:
    _note(connection, made, was, made.stage, at)
    return _log(connection, [made], at)


def _note(connection: Connection, row: SpaceRow, was: SpaceStage | None, stage: SpaceStage, at: datetime) -> None:
    """For the audit."""
    details = {"model": row.record.model, "stage": stage.value, "was": None if was is None else was.value}
    action = AuditAction.SPACE_REGISTERED if was is None else AuditAction.SPACE_CHANGED
    audit.append(connection, at, action, f"spaces/{row.record.space}", details)


def _log(connection: Connection, changed: list[SpaceRow], at: datetime) -> Version:
    """One entry for each; the version after them."""
    numbers = log.reserve(connection, len(changed))
    entries = [
        log.entry(seq, ChangeKind.SPACE_STATE, 0, None, at, space_key=row.key)
        for seq, row in zip(numbers, changed, strict=True)
    ]
    log.append(connection, entries)
    return Version(numbers[-1])


def _refuse_another_length(held: int, dim: int) -> None:
    if held != dim:
        raise SpaceMismatch(f"The space has embeddings of length {held} here, not {dim}.")
