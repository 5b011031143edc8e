"""Jobs: what was asked for, and what has become of it. Their parts change hands in leases.py."""

import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, update

from index.audit import AuditAction
from index.catalog import audit
from index.catalog.storage.cursors import cursor_for, text_position
from index.catalog.tables import job_parts, jobs
from index.errors import JobStateConflict, UnknownJob
from index.records.jobs import FINISH, PLAN, Job, JobId, JobJson, JobProgress, JobState, PartState
from index.records.pages import Page

_LIST = "jobs"
OPEN = (JobState.QUEUED.value, JobState.RUNNING.value)
"""The states of jobs that have not ended."""


def create(connection: Connection, kind: str, options: JobJson, at: datetime) -> Job:
    # The time comes first, so that ids sort by age.
    job_id = JobId(f"{int(at.timestamp() * 1000):012x}{secrets.token_hex(8)}")
    connection.execute(
        insert(jobs).values(
            job_id=job_id,
            kind=kind,
            state=JobState.QUEUED.value,
            options=options,
            progress={},
            attempts=1,
            cancel_requested=False,
            created_at=at,
        )
    )
    connection.execute(insert(job_parts), [new_part(job_id, PLAN, {})])
    audit.append(connection, at, AuditAction.JOB_CREATED, f"jobs/{job_id}", {"kind": kind})
    return get(connection, job_id)


def get(connection: Connection, job_id: str) -> Job:
    return _job(connection, row_of(connection, job_id))


def page(connection: Connection, limit: int, cursor: str | None, states: Collection[JobState]) -> Page[Job]:
    """Newest first."""
    query = select(jobs).order_by(jobs.c.job_id.desc()).limit(limit + 1)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    if cursor is not None:
        query = query.where(jobs.c.job_id < text_position(cursor, _LIST))
    rows = connection.execute(query).all()
    following = cursor_for(_LIST, rows[limit - 1].job_id) if len(rows) > limit else None
    return Page(tuple(_job(connection, row) for row in rows[:limit]), following)


def unfinished(connection: Connection, kind: str, options: JobJson) -> JobId | None:
    """The newest job of this kind with exactly these options that has not ended, and is not to."""
    wanted = jobs.c.kind == kind, jobs.c.state.in_(OPEN), ~jobs.c.cancel_requested
    query = select(jobs.c.job_id, jobs.c.options).where(*wanted)
    rows = connection.execute(query.order_by(jobs.c.job_id.desc()))
    return next((JobId(row.job_id) for row in rows if row.options == options), None)


def cancel(connection: Connection, job_id: str, at: datetime) -> Job:
    """Asks for its end; one that nobody works on ends at once, one that has ended stays as it is."""
    if not get(connection, job_id).state.ended:
        _note(connection, at, job_id, "cancel")
        connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(cancel_requested=True))
        settle(connection, at)
    return get(connection, job_id)


def retry(connection: Connection, job_id: str, at: datetime) -> Job:
    """Goes on with a job that failed or was cancelled, where it stopped."""
    job = get(connection, job_id)
    if job.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise JobStateConflict(f"The job is {job.state}; only one that failed or was cancelled can be tried again.")
    connection.execute(
        update(jobs)
        .where(jobs.c.job_id == job_id)
        .values(
            state=JobState.QUEUED.value,
            cancel_requested=False,
            error=None,
            finished_at=None,
            attempts=jobs.c.attempts + 1,
        )
    )
    _note(connection, at, job_id, "retry")
    again = job_parts.c.job_id == job_id, job_parts.c.state != PartState.DONE.value
    connection.execute(
        update(job_parts).where(*again).values(state=PartState.PENDING.value, attempts=0, owner=None, lease_until=None)
    )
    return get(connection, job_id)


def settle(connection: Connection, at: datetime) -> None:
    """Ends the cancelled jobs that nobody works on any more."""
    live = exists().where(
        job_parts.c.job_id == jobs.c.job_id,
        job_parts.c.state == PartState.RUNNING.value,
        job_parts.c.lease_until > at,
    )
    query = select(jobs.c.job_id).where(jobs.c.state.in_(OPEN), jobs.c.cancel_requested, ~live)
    for job_id in connection.execute(query).scalars().all():
        end(connection, JobId(job_id), JobState.CANCELLED, at)


def end(connection: Connection, job_id: JobId, state: JobState, at: datetime, **values: Any) -> None:  # noqa: ANN401 - columns of several types
    """Parts that others still hold are lost to them; what the job came to is kept beside it."""
    progress = _progress(connection, job_id, row_of(connection, job_id).progress)
    kept = {
        "total": progress.total,
        "parts": progress.parts,
        "parts_done": progress.parts_done,
        "counts": dict(progress.counts),
    }
    connection.execute(
        update(jobs)
        .where(jobs.c.job_id == job_id)
        .values(state=state.value, finished_at=at, cancel_requested=False, progress=kept, **values)
    )
    _note(connection, at, job_id, state.value)


def _note(connection: Connection, at: datetime, job_id: str, event: str) -> None:
    audit.append(connection, at, AuditAction.JOB_CHANGED, f"jobs/{job_id}", {"event": event})


def new_part(job_id: JobId, part_no: int, span: JobJson) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "part_no": part_no,
        "state": PartState.PENDING.value,
        "span": span,
        "counts": {},
        "attempts": 0,
    }


def row_of(connection: Connection, job_id: str) -> Row[Any]:
    row = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).one_or_none()
    if row is None:
        raise UnknownJob("There is no such job.")
    return row


def _job(connection: Connection, row: Row[Any]) -> Job:
    state = JobState(row.state)
    return Job(
        job_id=JobId(row.job_id),
        kind=row.kind,
        state=state,
        options=row.options,
        progress=_kept(row.progress) if state.ended else _progress(connection, row.job_id, row.progress),
        result=row.result,
        error=row.error,
        attempts=row.attempts,
        cancel_requested=row.cancel_requested,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _kept(progress: Mapping[str, Any]) -> JobProgress:
    return JobProgress(progress["parts"], progress["parts_done"], progress["counts"], progress["total"])


def _progress(connection: Connection, job_id: str, kept: Mapping[str, Any]) -> JobProgress:
    """Added up from the parts, the first and the last of which are not the work itself."""
    query = select(job_parts.c.part_no, job_parts.c.state, job_parts.c.counts).where(job_parts.c.job_id == job_id)
    counts: Counter[str] = Counter()
    parts = ended = 0
    for row in connection.execute(query):
        counts.update(row.counts)
        if row.part_no not in (PLAN, FINISH):
            parts += 1
            ended += row.state == PartState.DONE.value
    return JobProgress(parts, ended, dict(counts), kept.get("total"))
