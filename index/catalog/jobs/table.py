"""Jobs as everyone else sees them."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from index.catalog.jobs import leases
from index.catalog.jobs import rows as job_rows
from index.catalog.storage.database import Database
from index.records.jobs import Claim, Job, JobId, JobJson, JobState, Lease, Plan, Progress, Standing
from index.records.pages import Page


class JobTable:
    """
    The jobs of a catalog, for those who ask for them and those who do them.

    Safe from any thread and any number of processes and machines; their clocks should agree within a few seconds.
    Every method raises CatalogUnavailable when the database fails, StorageFull when it has no room.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def create(self, kind: str, options: JobJson) -> Job:
        return self._database.write(lambda connection: job_rows.create(connection, kind, options, self._clock()))

    def get(self, job_id: str) -> Job:
        """
        Raises:
            UnknownJob: there is none of that id.
        """
        with self._database.reading() as connection:
            return job_rows.get(connection, job_id)

    def page(self, limit: int, cursor: str | None = None, states: Collection[JobState] = ()) -> Page[Job]:
        """
        Newest first; of these states, or of all.

        Raises:
            BadCursor: the cursor is not one of this list.
        """
        with self._database.reading() as connection:
            return job_rows.page(connection, limit, cursor, states)

    def unfinished(self, kind: str, options: JobJson) -> JobId | None:
        """The newest job of this kind with exactly these options that has not ended."""
        with self._database.reading() as connection:
            return job_rows.unfinished(connection, kind, options)

    def cancel(self, job_id: str) -> Job:
        """
        Asks for its end; one that has ended stays as it is.

        Raises:
            UnknownJob: there is none of that id.
        """
        return self._database.write(lambda connection: job_rows.cancel(connection, job_id, self._clock()))

    def retry(self, job_id: str) -> Job:
        """
        Goes on with a job that failed or was cancelled, where it stopped.

        Raises:
            UnknownJob, JobStateConflict
        """
        return self._database.write(lambda connection: job_rows.retry(connection, job_id, self._clock()))

    def claim(self, owner: str, lease_s: float, job_id: str | None = None) -> Claim | None:
        """The next part to do, of this job or of any; None when there is none now."""
        now = self._clock()
        with self._database.reading() as connection:
            if not leases.claimable(connection, now, job_id):
                return None
        until = now + timedelta(seconds=lease_s)
        return self._database.write(lambda connection: leases.claim(connection, owner, now, until, job_id))

    def standing(self, lease: Lease, lease_s: float) -> Standing:
        """Keeps a part for longer, where it is still held and wanted."""
        return self._database.write(lambda connection: leases.standing(connection, lease, self.until(lease_s)))

    def until(self, lease_s: float) -> datetime:
        """When a lease that begins now ends."""
        return self._clock() + timedelta(seconds=lease_s)

    def advance(self, progress: Progress) -> None:
        """
        Writes how far a part is; what is in the catalog already is better written together with it.

        Raises:
            LeaseLost: somebody else has it by now, or its job has ended.
        """
        self._database.write(lambda connection: leases.advance(connection, progress))

    def planned(self, lease: Lease, plan: Plan) -> None:
        """
        Raises:
            LeaseLost: somebody else has it by now, or its job has ended.
        """
        self._database.write(lambda connection: leases.planned(connection, lease, plan))

    def done(self, lease: Lease) -> None:
        """
        Raises:
            LeaseLost: somebody else has it by now, or its job has ended.
        """
        self._database.write(lambda connection: leases.done(connection, lease))

    def finished(self, lease: Lease, result: JobJson) -> None:
        """
        Of the last part: ends the job.

        Raises:
            LeaseLost: somebody else has it by now, or its job has ended.
        """
        self._database.write(lambda connection: leases.finished(connection, lease, result, self._clock()))

    def give_back(self, lease: Lease) -> None:
        """Somebody else may go on with it at once; this was no try."""
        self._database.write(lambda connection: leases.give_back(connection, lease, None, tried=False))

    def try_again(self, lease: Lease, after_s: float) -> None:
        """It failed, and may be tried again after this."""
        not_before = self.until(after_s)
        self._database.write(lambda connection: leases.give_back(connection, lease, not_before, tried=True))

    def fail(self, lease: Lease, error: str) -> None:
        """It cannot be done, and so its job cannot."""
        self._database.write(lambda connection: leases.fail(connection, lease, error, self._clock()))

    def settle(self) -> None:
        """Ends the cancelled jobs that nobody works on any more."""
        self._database.write(lambda connection: job_rows.settle(connection, self._clock()))

    def owners(self) -> set[str]:
        """Who holds a part, or did when it was last heard of."""
        with self._database.reading() as connection:
            return leases.owners(connection)

    def take_from(self, gone: Collection[str]) -> None:
        """Frees at once what is held by workers that are known to be dead."""
        self._database.write(lambda connection: leases.take_from(connection, gone))
