"""Doing or watching one job, with a bar, until it has ended."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from service.cli.output import Exit, answers, complain, print_json, progress, remarks
from service.cli.target import Place, opened_runtime, service_client

if TYPE_CHECKING:
    from service.runtime import Runtime

Json = dict[str, Any]

_LOOK_S = 0.2
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_SHOWN = 20


def do_here(place: Place, kind: str, options: Json, *, quiet: bool) -> tuple[Json, Path]:
    """
    Does a job on a data directory, or goes on with the same one that was interrupted.

    Returns:
        the job as it ended, or as it is when the user interrupts; and the folder of its files.
    """
    from service.cli.job_places import CatalogJobs
    from service.jobs.kinds import job_kinds

    with opened_runtime(place) as runtime:
        kinds = job_kinds(runtime, None)
        kept = kinds[kind].checked(options)
        table = runtime.catalog.jobs
        job_id = table.unfinished(kind, kept)
        if job_id is not None:
            remarks().print("Going on where the same command stopped.", style="dim")
        else:
            job_id = table.create(kind, kept).job_id
        with _running(runtime, job_id):
            job = watch(CatalogJobs(table).get, job_id, quiet=quiet)
        return job, runtime.settings.jobs_dir / job_id


def ask_service(place: Place, kind: str, options: Json, *, wait: bool, quiet: bool) -> Json:
    """Asks a service for a job, and watches it to its end unless told otherwise."""
    client = service_client(place.url or "")
    job = client.create_job(kind, options)
    return watch(client.job, job["job_id"], quiet=quiet) if wait else job


def watch(get: Callable[[str], Json], job_id: str, *, quiet: bool) -> Json:
    """Shows how far a job is until it has ended, or the user has seen enough."""
    with progress(quiet=quiet) as bar:
        task = bar.add_task("Planning", total=None)
        job = get(job_id)
        try:
            while job["state"] not in _ENDED:
                planned = job["progress"]["parts"] > 0
                total = job["progress"]["total"]
                description = str(job["kind"]).capitalize() if planned else "Planning"
                bar.update(task, completed=job["progress"]["done"], total=total, description=description)
                time.sleep(_LOOK_S)
                job = get(job_id)
        except KeyboardInterrupt:
            return get(job_id)
    return job


def begun(job: Json, *, as_json: bool) -> None:
    """Says that a job will be done, to who does not wait for it."""
    if as_json:
        print_json(job)
    else:
        remarks().print(f"Job {job['job_id']} is {job['state']}; `afterimage jobs show {job['job_id']}` tells more.")


def end(job: Json, lines: list[str], skipped: Path | None, *, as_json: bool) -> None:
    """
    Says what a job came to, and ends the program accordingly.

    Args:
        job: as it is now.
        lines: what to tell of a job that is done.
        skipped: the rows that could not be used, where that file is here.
        as_json: print the job instead.
    """
    if as_json:
        print_json(job)
    elif job["state"] == "succeeded":
        for line in lines:
            answers().print(line, soft_wrap=True, markup=False)
        _list(skipped, job["progress"]["counts"].get("skipped", 0))
    if job["state"] == "failed":
        complain(f"{job['error']} (job {job['job_id']}; `afterimage jobs retry` goes on where it stopped)")
        raise typer.Exit(Exit.NOT_DONE)
    if job["state"] == "cancelled":
        complain(f"Job {job['job_id']} was cancelled. What it did stays.")
        raise typer.Exit(Exit.NOT_DONE)
    if job["state"] != "succeeded":
        remarks().print(f"Job {job['job_id']} is {job['state']}; `afterimage jobs show {job['job_id']}` tells more.")
        raise typer.Exit(Exit.INTERRUPTED)
    if job["progress"]["counts"].get("skipped", 0):
        raise typer.Exit(Exit.NOT_ALL_WELL)


def _list(skipped: Path | None, count: int) -> None:
    if skipped is None or not count or not skipped.is_file():
        return
    import json

    with skipped.open() as file:
        for _, line in zip(range(_SHOWN), file, strict=False):
            row = json.loads(line)
            answers().print(f"  {row['row']}: {row['reason']}", markup=False, soft_wrap=True)
    if count > _SHOWN:
        answers().print(f"  … all {count:,} are listed in {skipped}", markup=False, soft_wrap=True)


@contextmanager
def _running(runtime: "Runtime", job_id: str) -> Iterator[None]:
    """A worker for this job alone; stopped at the end, however that comes."""
    from index.records.jobs import JobId
    from service.jobs.kinds import job_kinds
    from service.jobs.runner import Runner, RunnerRules

    rules = RunnerRules(lease_s=runtime.settings.job_lease_s)
    runner = Runner(runtime.catalog.jobs, job_kinds(runtime, None), runtime.settings.jobs_dir, runtime.log, rules)
    thread = threading.Thread(target=runner.work_through, args=(JobId(job_id),), name="job-worker")
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        thread.join()
