"""The values that pass between jobs, who runs them and the catalog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NewType

JobId = NewType("JobId", str)
JobJson = dict[str, Any]
"""A JSON object in the words of a job's kind; kept and returned, never interpreted here."""

PLAN: Final = 0
"""The number of the part that finds out what the others are."""
FINISH: Final = 2**31 - 1
"""The number of the part that comes when all others are done."""


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in {JobState.QUEUED, JobState.RUNNING}


class PartState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Standing(StrEnum):
    """What has become of a part since it was taken."""

    HELD = "held"
    CANCELLED = "cancelled"
    """Still held, and nobody wants it any more."""
    LOST = "lost"
    """Another worker has it, or the job has ended."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job has come; `counts` are in the words of its kind."""

    parts: int
    """0 until it is planned."""
    parts_done: int
    counts: Mapping[str, int]
    total: int | None
    """What `counts` add up to in the end, as far as the plan could say."""


@dataclass(frozen=True, slots=True)
class Job:
    job_id: JobId
    kind: str
    state: JobState
    options: JobJson
    progress: JobProgress
    result: JobJson | None
    error: str | None
    attempts: int
    """How often it was begun: once, and once more for each time it was told to try again."""
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may go on with a part of a job, as long as nobody else was given it."""

    job_id: JobId
    part_no: int
    owner: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A part to do now, as its last owner left it."""

    lease: Lease
    kind: str
    options: JobJson
    span: JobJson
    """What of the work it is."""
    cursor: JobJson | None
    """Where to go on; None at its beginning."""
    counts: Mapping[str, int]
    attempts: int
    """How often it was taken since it last got any further, this time included."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A part got this much further: written in the same transaction as what it did, or by itself."""

    lease: Lease
    until: datetime
    """How long the lease holds from now on."""
    cursor: JobJson
    counts: Mapping[str, int]
    """What to add to the part's counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job consists of."""

    spans: Sequence[JobJson]
    """One for each part; they may be done in any order, and at the same time."""
    total: int | None = None
