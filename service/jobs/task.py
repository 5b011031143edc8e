"""One part of a job under way, as its kind sees it."""

import threading
from collections.abc import Callable
from pathlib import Path

from index.catalog.jobs.table import JobTable
from index.errors import LeaseLost
from index.records.jobs import Claim, JobId, JobJson, Lease, Progress, Standing
from service.jobs.errors import Cancelled, HandedOver, Interrupted, ShuttingDown

_ENDS: dict[Standing, type[Interrupted]] = {Standing.CANCELLED: Cancelled, Standing.LOST: HandedOver}


class Task:
    """
    A part of a job that this worker holds.

    The lease is kept by a heartbeat of the runner; what a kind does is to say how far it has come, as often as it can
    go on from there. Safe from any thread, but for `checkpoint` and `advanced`, which one at a time may call.

    Args:
        claim: what was taken.
        table: where it was taken from.
        folder: where the job puts its files; made when first asked for.
        lease_s: how long the lease holds after each sign of life.
        stopping: whether this worker is about to stop.
    """

    def __init__(
        self, claim: Claim, table: JobTable, folder: Path, lease_s: float, stopping: Callable[[], bool]
    ) -> None:
        self._claim = claim
        self._table = table
        self._folder = folder
        self._lease_s = lease_s
        self._stopping = stopping
        self._cursor = claim.cursor
        self._standing = Standing.HELD
        self._changed = threading.Lock()

    @property
    def lease(self) -> Lease:
        return self._claim.lease

    @property
    def job_id(self) -> JobId:
        return self._claim.lease.job_id

    @property
    def part_no(self) -> int:
        return self._claim.lease.part_no

    @property
    def options(self) -> JobJson:
        return self._claim.options

    @property
    def span(self) -> JobJson:
        """What of the work it is, as the plan said."""
        return self._claim.span

    @property
    def cursor(self) -> JobJson | None:
        """Where to go on; None at the beginning of the part."""
        return self._cursor

    @property
    def folder(self) -> Path:
        """For files of this job; on each machine its own, unless they share the data directory's `jobs`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def checkpoint(self, cursor: JobJson, **counts: int) -> None:
        """
        It is this far, durably; what it counts is added to what was counted before.

        Raises:
            Interrupted: and the part must not go on.
        """
        progress = self.progress(cursor, **counts)
        try:
            self._table.advance(progress)
        except LeaseLost as error:
            raise HandedOver(str(error)) from error
        self.advanced(progress)

    def progress(self, cursor: JobJson, **counts: int) -> Progress:
        """The same as a value, to be written by `leases.advance` in the transaction of what was done."""
        given = {name: count for name, count in counts.items() if count}
        return Progress(self.lease, self._table.until(self._lease_s), cursor, given)

    def advanced(self, progress: Progress) -> None:
        """
        That value is written.

        Raises:
            Interrupted: and the part must not go on.
        """
        self._cursor = progress.cursor
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """
        Raises:
            Interrupted: nobody wants it any more, somebody else does it, or this worker stops.
        """
        end = _ENDS.get(self._standing)
        if end is not None:
            raise end("This part of the job is not to be gone on with here.")
        if self._stopping():
            raise ShuttingDown("This worker stops; another goes on with the job.")

    def beat(self) -> None:
        """The heartbeat: keeps the lease, and hears whether it is still wanted."""
        standing = self._table.standing(self.lease, self._lease_s)
        with self._changed:
            if self._standing is not Standing.LOST:
                self._standing = standing

    def count(self, name: str) -> int:
        """What earlier attempts at this part counted."""
        return int(self._claim.counts.get(name, 0))
