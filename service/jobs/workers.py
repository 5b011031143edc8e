"""Doing jobs inside a service, beside its requests, in one of its processes."""

import fcntl
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import CatalogUnavailable
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner, RunnerRules

if TYPE_CHECKING:
    from service.runtime import Runtime

_TURN_S = 2.0


class JobWorkers:
    """
    Threads that do jobs. Of several processes on one data directory one has its turn; when it ends, however it ends,
    another takes over.

    Args:
        runtime: closed after this.
        roots: the folders that jobs made here may read.
    """

    def __init__(self, runtime: "Runtime", roots: tuple[Path, ...] | None) -> None:
        settings = runtime.settings
        kinds = job_kinds(runtime, roots)
        rules = RunnerRules(lease_s=settings.job_lease_s)
        self._runners = [
            Runner(runtime.catalog.jobs, kinds, settings.jobs_dir, runtime.log, rules)
            for _ in range(settings.job_workers)
        ]
        self._turn = _turn(settings.jobs_dir) if self._runners else -1
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends what is under way at its next row; another worker goes on with it."""
        self._closing.set()
        for runner in self._runners:
            runner.stop()
        self._thread.join()
        if self._turn >= 0:
            os.close(self._turn)
            self._turn = -1

    def _run(self) -> None:
        if not self._runners or not self._await_turn():
            return
        threads = [threading.Thread(target=runner.work, name="job-worker", daemon=True) for runner in self._runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _await_turn(self) -> bool:
        while True:
            try:
                fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._closing.wait(_TURN_S):
                    return False
            else:
                return True


def _turn(folder: Path) -> int:
    """
    Raises:
        CatalogUnavailable: the data directory cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / "workers.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CatalogUnavailable(f"The data directory cannot be written ({error.strerror}).") from error
