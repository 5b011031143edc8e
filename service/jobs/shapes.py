"""A job as it is answered."""

from datetime import datetime
from typing import Any

from pydantic import Field

from index.records.jobs import Job, JobState
from service.schemas import Shape


class JobProgress(Shape):
    parts: int = Field(description="0 until it is planned.")
    parts_done: int
    done: int = Field(description="Rows, items or whatever its kind counts.")
    total: int | None = Field(description="What `done` comes to in the end; null where nobody can tell yet.")
    counts: dict[str, int] = Field(description="What became of them, in the words of its kind.")


class JobResource(Shape):
    job_id: str
    kind: str
    state: JobState
    options: dict[str, Any]
    progress: JobProgress
    result: dict[str, Any] | None = Field(description="What it came to; null until it has succeeded.")
    error: str | None = Field(description="Why it failed.")
    attempts: int = Field(description="1, and one more for each retry.")
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def job_resource(job: Job) -> JobResource:
    counts = dict(job.progress.counts)
    return JobResource(
        job_id=job.job_id,
        kind=job.kind,
        state=job.state,
        options=job.options,
        progress=JobProgress(
            parts=job.progress.parts,
            parts_done=job.progress.parts_done,
            done=counts.pop("done", 0),
            total=job.progress.total,
            counts=counts,
        ),
        result=job.result,
        error=job.error,
        attempts=job.attempts,
        cancel_requested=job.cancel_requested,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )
