"""A job that is interrupted, cancelled, killed or handed over goes on with everything once."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from index.catalog import Catalog
from index.errors import CatalogUnavailable
from index.records.jobs import Job, JobState
from service.jobs import ingest, sizes
from service.jobs.ingest import Ingest
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner
from service.jobs.task import Task
from service.owners import new_owner
from service.runtime import Runtime

TO_KILL = Path(__file__).parent / "jobs_to_kill.py"
Ingested = Callable[..., Job]
RunnerOf = Callable[..., Runner]
Skipped = Callable[[Runtime, Job], dict[str, str]]


def test_a_part_that_fails_is_tried_again_and_goes_on_where_it_was(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf, skipped: Skipped
) -> None:
    monkeypatch.setattr(ingest, "_BATCH_ROWS", 2)
    add, calls = service.catalog.add_items, []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("/a/secret/path")
        return add(*arguments)

    monkeypatch.setattr(service.catalog, "add_items", failing)
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    job = service.catalog.jobs.create("ingest", kept)
    runner_of(service, back_off_s=0.0).work_through(job.job_id)
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.result or {})["added"] == 6
    assert ended.progress.counts["done"] == 9
    assert len(skipped(service, ended)) == 2


def test_a_job_that_cannot_be_done_fails_without_foreign_words_and_is_tried_again_when_told(
    service: Runtime, ingested: Ingested, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(service.catalog, "add_items", lambda *_: (_ for _ in ()).throw(RuntimeError("/a/secret/path")))
        job = ingested(archive)
    assert (job.state, "secret" in (job.error or ""), "RuntimeError" in (job.error or "")) == (
        JobState.FAILED, False, True,
    )  # fmt: skip
    service.catalog.jobs.retry(job.job_id)
    runner_of(service).work_through(job.job_id)
    assert service.catalog.jobs.get(job.job_id).state is JobState.SUCCEEDED


def test_a_worker_that_stops_hands_over_and_another_goes_on(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    monkeypatch.setattr(ingest, "_BATCH_ROWS", 1)
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    job = service.catalog.jobs.create("ingest", kept)
    first = runner_of(service)
    add = service.catalog.add_items

    def stopping(*arguments: Any) -> Any:
        first.stop()
        return add(*arguments)

    with monkeypatch.context() as stopped:
        stopped.setattr(service.catalog, "add_items", stopping)
        first.work_through(job.job_id)
    between = service.catalog.jobs.get(job.job_id)
    assert (between.state, between.progress.counts.get("added")) == (JobState.RUNNING, 1)
    runner_of(service).work_through(job.job_id)
    assert (service.catalog.jobs.get(job.job_id).result or {})["added"] == 6


def test_a_cancelled_job_ends_at_its_next_row_and_keeps_what_it_did(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    monkeypatch.setattr(ingest, "_BATCH_ROWS", 1)
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    job = service.catalog.jobs.create("ingest", kept)
    add, heard = service.catalog.add_items, threading.Event()

    def cancelled(*arguments: Any) -> Any:
        added = add(*arguments)
        service.catalog.jobs.cancel(job.job_id)
        assert heard.wait(30)
        return added

    standing = service.catalog.jobs.standing

    def listening(*arguments: Any) -> Any:
        said = standing(*arguments)
        if said != "held":
            heard.set()
        return said

    monkeypatch.setattr(service.catalog, "add_items", cancelled)
    monkeypatch.setattr(service.catalog.jobs, "standing", listening)
    runner_of(service, lease_s=0.3).work_through(job.job_id)
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.state, service.catalog.bank("known").items) == (JobState.CANCELLED, 1)


def test_two_workers_share_one_job(
    service: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    monkeypatch.setattr(sizes, "_FIRST", 25)
    path = tmp_path / "list.txt"
    path.write_text("".join(f"pdq {number:064x}\n" for number in range(300)))
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(path)]})
    job = service.catalog.jobs.create("ingest", kept)
    runner_of(service).run_one(job.job_id)  # plans
    meet, run, met = threading.Barrier(2, timeout=30), Ingest.run, threading.local()

    def meeting(kind: Ingest, task: Task) -> None:
        if not hasattr(met, "once"):
            met.once = True
            meet.wait()
        run(kind, task)

    monkeypatch.setattr(Ingest, "run", meeting)
    workers = [threading.Thread(target=runner_of(service).work_through, args=(job.job_id,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.state, ended.progress.parts, ended.progress.counts) == (
        JobState.SUCCEEDED, 12, {"added": 300, "done": 300},
    )  # fmt: skip
    assert service.catalog.bank("known").items == 300


def test_a_job_killed_at_its_beginning_middle_and_end_ends_with_everything_once(
    tmp_path: Path,
) -> None:
    """1 %, 50 % and 99 % of the way, with everything that was under way at that instant lost."""
    media = tmp_path / "media"
    media.mkdir()
    for number in range(200):
        (media / f"{number}.jpg").write_bytes(b"bad %d" % number if number % 10 == 3 else b"media %d" % number)
    rows = [{"path": f"{number}.jpg"} for number in range(200)] + [{"path": "0.jpg"}, {"path": "gone.jpg"}]
    manifest = media / "all.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows))
    # Each death comes after so many more than the one before left undone: near 1 %, 50 % and 99 % of all.
    told = subprocess.run(
        [sys.executable, TO_KILL, tmp_path, manifest, "2", "98", "99"],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert told.stdout.split() == ["9", "9", "9", "ended"], told.stderr
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    (job,) = catalog.jobs.page(10).items
    assert (job.state, dict(job.progress.counts)) == (
        JobState.SUCCEEDED, {"added": 180, "known": 1, "skipped": 21, "done": 202},
    )  # fmt: skip
    items = catalog.items("known", 1000).items
    catalog.close()
    wanted = {hashlib.sha256(b"media %d" % number).hexdigest() for number in range(200) if number % 10 != 3}
    assert (len(items), {item.sha256 for item in items}) == (180, wanted)
    originals = {path.name for path in (tmp_path / "originals").glob("??/*")}
    assert originals == wanted
    listed = (tmp_path / "jobs" / job.job_id / "skipped.jsonl").read_text().splitlines()
    assert len(listed) == len(set(listed)) == 21


def test_a_part_begun_on_another_machine_is_gone_on_with(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf, skipped: Skipped
) -> None:
    monkeypatch.setattr(ingest, "_BATCH_ROWS", 1)
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    job = service.catalog.jobs.create("ingest", kept)
    first, checkpoint = runner_of(service), Task.checkpoint

    def stopping(task: Task, cursor: dict[str, Any], **counts: int) -> None:
        if counts["skipped"]:
            first.stop()
        checkpoint(task, cursor, **counts)

    with monkeypatch.context() as stopped:
        stopped.setattr(Task, "checkpoint", stopping)
        first.work_through(job.job_id)
    for part in (service.settings.jobs_dir / job.job_id / "parts").iterdir():
        part.unlink()
    runner_of(service).work_through(job.job_id)
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.state, ended.progress.counts["done"]) == (JobState.SUCCEEDED, 9)
    assert len(skipped(service, ended)) == ended.progress.counts["skipped"] - 1, "one line is on the other machine"


def test_a_catalog_that_is_away_for_a_moment_ends_no_worker(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    job = service.catalog.jobs.create("ingest", kept)
    claim, away = service.catalog.jobs.claim, iter([True, True])

    def claiming(*arguments: Any) -> Any:
        if next(away, False):
            raise CatalogUnavailable("It is away.")
        return claim(*arguments)

    monkeypatch.setattr(service.catalog.jobs, "claim", claiming)
    runner_of(service).work_through(job.job_id)
    assert service.catalog.jobs.get(job.job_id).state is JobState.SUCCEEDED


def test_a_cancel_is_heard_within_seconds_however_long_the_lease(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    waited: list[float] = []

    def heartbeat(task: Task, every_s: float) -> AbstractContextManager[None]:
        del task
        waited.append(every_s)
        return nullcontext()

    monkeypatch.setattr("service.jobs.runner._Heartbeat", heartbeat)
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    runner_of(service, lease_s=3600.0).work_through(service.catalog.jobs.create("ingest", kept).job_id)
    assert max(waited) <= 5.0


def test_processes_of_another_container_are_not_taken_for_dead(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, runner_of: RunnerOf
) -> None:
    """Containers on one machine may share its name; the numbers of their processes mean nothing to each other."""
    kept = job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)]})
    job = service.catalog.jobs.create("ingest", kept)
    readlink, owner = Path.readlink, new_owner()
    assert len(owner) <= 64, "what the catalog has room for"
    machine, _, rest = owner.partition("/")
    service.catalog.jobs.claim(f"{machine}/{2**22 + 1}/{rest.rpartition('/')[2]}", 3600.0)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(Path, "readlink", lambda at: Path("pid:[1]") if at.name == "pid" else readlink(at))
        assert not runner_of(service).run_one(job.job_id)
    assert runner_of(service).run_one(job.job_id), "here, that process is gone"
