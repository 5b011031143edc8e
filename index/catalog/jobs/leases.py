"""
Who has which part of which job, until when, and how far it is.

A part is held by a lease that ends by itself. Everything its holder writes is fenced: it is written only while the
part is still its own, so of two workers that believe to have the same part, one writes.
"""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, insert, literal, or_, select, update

from index.catalog.jobs import rows as job_rows
from index.catalog.tables import UtcTime, job_parts, jobs
from index.errors import LeaseLost
from index.records.jobs import FINISH, PLAN, Claim, JobId, JobJson, JobState, Lease, PartState, Plan, Progress, Standing

_ERROR_LENGTH = 1024


def claimable(connection: Connection, at: datetime, job_id: str | None = None) -> bool:
    """Whether `claim` would find something, or `settle` something to do: a look that writes nothing."""
    stale = exists(select(jobs.c.job_id).where(jobs.c.state.in_(job_rows.OPEN), jobs.c.cancel_requested))
    found = exists(_candidates(at, job_id))
    return bool(connection.execute(select(or_(stale, found))).scalar_one())


def claim(connection: Connection, owner: str, at: datetime, until: datetime, job_id: str | None = None) -> Claim | None:
    """The next part that nobody has, of the oldest job first; None when there is none now."""
    job_rows.settle(connection, at)
    found = connection.execute(_candidates(at, job_id).with_for_update(skip_locked=True, of=job_parts)).first()
    if found is None:
        return None
    lease = Lease(JobId(found.job_id), found.part_no, owner)
    connection.execute(
        update(job_parts)
        .where(*_part(lease))
        .values(state=PartState.RUNNING.value, owner=owner, lease_until=until, attempts=found.attempts + 1)
    )
    started = func.coalesce(jobs.c.started_at, literal(at, UtcTime()))
    connection.execute(
        update(jobs).where(jobs.c.job_id == found.job_id).values(state=JobState.RUNNING.value, started_at=started)
    )
    return Claim(
        lease=lease,
        kind=found.kind,
        options=found.options,
        span=found.span,
        cursor=found.cursor,
        counts=found.counts,
        attempts=found.attempts + 1,
    )


def standing(connection: Connection, lease: Lease, until: datetime) -> Standing:
    """Keeps a lease for longer, where it still holds."""
    held = connection.execute(update(job_parts).where(*_held(lease)).values(lease_until=until)).rowcount == 1
    row = job_rows.row_of(connection, lease.job_id)
    if not held or JobState(row.state).ended:
        return Standing.LOST
    return Standing.CANCELLED if row.cancel_requested else Standing.HELD


def advance(connection: Connection, progress: Progress) -> None:
    """
    Writes how far a part is.

    Raises:
        LeaseLost: it is somebody else's by now, or its job has ended; nothing of the transaction must stay.
    """
    counts = Counter(_counts_of(connection, progress.lease))
    counts.update(progress.counts)
    values = {"cursor": progress.cursor, "counts": dict(counts), "lease_until": progress.until, "attempts": 1}
    connection.execute(update(job_parts).where(*_part(progress.lease)).values(**values))


def planned(connection: Connection, lease: Lease, plan: Plan) -> None:
    """
    Raises:
        LeaseLost: as in `advance`.
    """
    _counts_of(connection, lease)
    parts = [job_rows.new_part(lease.job_id, number, span) for number, span in enumerate(plan.spans, start=PLAN + 1)]
    connection.execute(insert(job_parts), [*parts, job_rows.new_part(lease.job_id, FINISH, {})])
    connection.execute(update(jobs).where(jobs.c.job_id == lease.job_id).values(progress={"total": plan.total}))
    _end_part(connection, lease, PartState.DONE)


def done(connection: Connection, lease: Lease) -> None:
    """
    Raises:
        LeaseLost: as in `advance`.
    """
    _counts_of(connection, lease)
    _end_part(connection, lease, PartState.DONE)


def finished(connection: Connection, lease: Lease, result: JobJson, at: datetime) -> None:
    """
    Raises:
        LeaseLost: as in `advance`.
    """
    _counts_of(connection, lease)
    _end_part(connection, lease, PartState.DONE)
    job_rows.end(connection, lease.job_id, JobState.SUCCEEDED, at, result=result)


def give_back(connection: Connection, lease: Lease, not_before: datetime | None, *, tried: bool) -> None:
    """Somebody else may go on with it; harmless when somebody does already."""
    attempts = job_parts.c.attempts if tried else job_parts.c.attempts - 1
    connection.execute(
        update(job_parts)
        .where(*_held(lease))
        .values(state=PartState.PENDING.value, owner=None, lease_until=not_before, attempts=attempts)
    )


def fail(connection: Connection, lease: Lease, error: str, at: datetime) -> None:
    """It cannot be done, and so its job cannot; harmless when it is somebody else's by now."""
    if connection.execute(select(job_parts.c.owner).where(*_held(lease))).first() is None:
        return
    _end_part(connection, lease, PartState.FAILED)
    job_rows.end(connection, lease.job_id, JobState.FAILED, at, error=error[:_ERROR_LENGTH])


def owners(connection: Connection) -> set[str]:
    """Who holds a part now, or did when it was last heard of."""
    query = select(job_parts.c.owner).distinct().where(job_parts.c.state == PartState.RUNNING.value)
    return {owner for owner in connection.execute(query).scalars() if owner is not None}


def take_from(connection: Connection, gone: Collection[str]) -> None:
    """Ends the leases of workers that are known to be dead, instead of waiting for their end."""
    held = job_parts.c.state == PartState.RUNNING.value, job_parts.c.owner.in_(list(gone))
    connection.execute(
        update(job_parts).where(*held).values(state=PartState.PENDING.value, owner=None, lease_until=None)
    )


def _candidates(at: datetime, job_id: str | None) -> Select[Any]:
    """The next part that may be taken."""
    other = job_parts.alias("other")
    unfinished_part = exists().where(
        other.c.job_id == job_parts.c.job_id, other.c.part_no != FINISH, other.c.state != PartState.DONE.value
    )
    now = at
    free = or_(
        and_(
            job_parts.c.state == PartState.PENDING.value,
            or_(job_parts.c.lease_until.is_(None), job_parts.c.lease_until <= now),
        ),
        and_(job_parts.c.state == PartState.RUNNING.value, job_parts.c.lease_until <= now),
    )
    query = (
        select(job_parts, jobs.c.kind, jobs.c.options)
        .join(jobs, jobs.c.job_id == job_parts.c.job_id)
        .where(
            jobs.c.state.in_(job_rows.OPEN),
            ~jobs.c.cancel_requested,
            free,
            or_(job_parts.c.part_no != FINISH, ~unfinished_part),
        )
        .order_by(jobs.c.created_at, jobs.c.job_id, job_parts.c.part_no)
        .limit(1)
    )
    return query if job_id is None else query.where(jobs.c.job_id == job_id)


def _counts_of(connection: Connection, lease: Lease) -> dict[str, int]:
    """What a part has counted so far; it is locked now, and still its holder's."""
    query = (
        select(job_parts.c.counts, jobs.c.state)
        .join(jobs, jobs.c.job_id == job_parts.c.job_id)
        .where(*_held(lease))
        .with_for_update(of=job_parts)
    )
    row = connection.execute(query).one_or_none()
    if row is None or JobState(row.state).ended:
        raise LeaseLost("Another worker has taken this part of the job, or the job has ended.")
    return dict(row.counts)


def _end_part(connection: Connection, lease: Lease, state: PartState) -> None:
    values = {"state": state.value, "owner": None, "lease_until": None}
    connection.execute(update(job_parts).where(*_part(lease)).values(**values))


def _part(lease: Lease) -> tuple[Any, ...]:
    return job_parts.c.job_id == lease.job_id, job_parts.c.part_no == lease.part_no


def _held(lease: Lease) -> tuple[Any, ...]:
    return *_part(lease), job_parts.c.owner == lease.owner, job_parts.c.state == PartState.RUNNING.value
