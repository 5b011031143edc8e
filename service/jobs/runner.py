"""Does jobs, part by part, for as long as it is told to; whatever happens to it, another goes on."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from index.audit import Actor, acting
from index.catalog.jobs.table import JobTable
from index.errors import CatalogUnavailable, IndexingError, LeaseLost, NotFound
from index.records.jobs import FINISH, PLAN, Claim, JobId
from models.errors import ModelsError
from service.errors import ServiceError
from service.jobs.errors import Hopeless, Interrupted, ShuttingDown
from service.jobs.kind import JobKind
from service.jobs.task import Task
from service.logs import where
from service.owners import is_gone, new_owner

_IDLE_S = 1.0
_BEATS = 3
"""Signs of life within the time of a lease."""
_HEARS_WITHIN_S = 5.0
"""Each sign of life also hears whether the job was cancelled."""


@dataclass(frozen=True, slots=True)
class RunnerRules:
    lease_s: float = 60.0
    attempts: int = 5
    """How often a part is tried without getting any further before its job has failed."""
    back_off_s: float = 1.0
    """Before the second attempt; twice as long before each one after that."""
    longest_back_off_s: float = 60.0


class Runner:
    """
    One worker: does one part after another.

    Args:
        table: where jobs are taken from; any number of runners may share it.
        kinds: what it can do, by name.
        folder: where jobs put their files, a folder each.
        log: where to tell.
        rules: how patient it is.
    """

    def __init__(
        self,
        table: JobTable,
        kinds: Mapping[str, JobKind],
        folder: Path,
        log: FilteringBoundLogger,
        rules: RunnerRules | None = None,
    ) -> None:
        self.owner = new_owner()
        self._table = table
        self._kinds = kinds
        self._folder = folder
        self._log = log
        self._rules = rules or RunnerRules()
        self._stop = threading.Event()

    def work(self) -> None:
        """Does whatever there is to do until `stop`; looks once a second when there is nothing."""
        while not self._stop.is_set():
            try:
                worked = self.run_one()
            except Exception as error:  # noqa: BLE001 - a worker goes on; the catalog may be back in a moment
                self._log.warning("jobs cannot be looked for", **where(error))
                worked = False
            if not worked:
                self._stop.wait(_IDLE_S)

    def work_through(self, job_id: JobId) -> None:
        """Does this job until it has ended or `stop`; its parts may be done by others at the same time."""
        while not self._stop.is_set():
            try:
                if self._table.get(job_id).state.ended:
                    return
                worked = self.run_one(job_id)
            except IndexingError as error:
                if isinstance(error, NotFound):
                    raise
                self._log.warning("a job cannot be gone on with at this moment", job=job_id, **where(error))
                worked = False
            if not worked:
                self._stop.wait(_IDLE_S / 10)

    def run_one(self, job_id: JobId | None = None) -> bool:
        """
        Takes a part and does it; False when there was none.

        Raises:
            CatalogUnavailable: nothing could be taken.
        """
        self._take_over_from_the_dead()
        claim = self._table.claim(self.owner, self._rules.lease_s, job_id)
        if claim is None:
            return False
        kind = self._kinds.get(claim.kind)
        if kind is None:
            self._table.fail(claim.lease, f"This release has no jobs of the kind {claim.kind}.")
        else:
            self._run(kind, claim)
        return True

    def stop(self) -> None:
        """Ends `work` at the next checkpoint of what is under way; safe from any thread and from a signal handler."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def _run(self, kind: JobKind, claim: Claim) -> None:
        task = Task(claim, self._table, self._folder / claim.lease.job_id, self._rules.lease_s, self._stop.is_set)
        log = self._log.bind(job=claim.lease.job_id, kind=claim.kind, part=claim.lease.part_no)
        try:
            if claim.attempts > self._rules.attempts:
                self._table.fail(claim.lease, "Those who worked on it died again and again.")
                return
            by = Actor(via="job", request=claim.lease.job_id)
            with acting(by), _Heartbeat(task, min(self._rules.lease_s / _BEATS, _HEARS_WITHIN_S)):
                self._do(kind, task)
        except ShuttingDown:
            self._table.give_back(claim.lease)
        except (Interrupted, LeaseLost) as end:
            self._table.give_back(claim.lease)
            self._table.settle()
            log.info("a part of a job is not gone on with", reason=type(end).__name__)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again, and told when that is no use
            self._failed(claim, error, log)

    def _do(self, kind: JobKind, task: Task) -> None:
        task.stop_if_asked()
        if task.part_no == PLAN:
            self._table.planned(task.lease, kind.plan(task))
        elif task.part_no == FINISH:
            self._table.finished(task.lease, kind.finish(task))
            self._log.info("a job is done", job=task.job_id)
        else:
            kind.run(task)
            self._table.done(task.lease)

    def _failed(self, claim: Claim, error: Exception, log: FilteringBoundLogger) -> None:
        log.warning("a part of a job failed", attempt=claim.attempts, **where(error))
        rules = self._rules
        try:
            if claim.attempts >= rules.attempts or isinstance(error, Hopeless):
                self._table.fail(claim.lease, _sentence(error))
            else:
                after_s = min(rules.back_off_s * 2 ** (claim.attempts - 1), rules.longest_back_off_s)
                self._table.try_again(claim.lease, after_s)
        except CatalogUnavailable as second:
            log.warning("a failure could not be noted; its lease will end", **where(second))

    def _take_over_from_the_dead(self) -> None:
        """Workers of this machine whose process is gone will not come back for their parts."""
        gone = [owner for owner in self._table.owners() if is_gone(owner)]
        if gone:
            self._table.take_from(gone)


class _Heartbeat:
    """Keeps a task's lease while its kind is busy."""

    def __init__(self, task: Task, every_s: float) -> None:
        self._task = task
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="job-heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._task.beat()
            except CatalogUnavailable:
                continue  # if it stays away, the lease ends, and whoever writes next hears of it


def _sentence(error: Exception) -> str:
    """What was raised on purpose speaks for itself; of anything else, nothing is known about what is in it."""
    if isinstance(error, (IndexingError, ModelsError, ServiceError)):
        return str(error)
    return f"Something unforeseen went wrong ({type(error).__name__}); the log has the place."
