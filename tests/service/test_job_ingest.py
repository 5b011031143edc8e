"""Banks are filled from archives: each content once, whatever goes wrong with a row, a worker or a machine."""

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
from PIL import Image

from index.catalog import Catalog
from index.errors import BankPurposeConflict, CatalogUnavailable, OriginalBeingRemoved
from index.job_records import Job, JobState
from index.records import ItemKind, Purpose
from service.errors import InvalidField
from service.jobs import ingest, sizes
from service.jobs.ingest import Ingest
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner, RunnerRules
from service.jobs.task import Task
from service.matching.matcher import MatchOptions
from service.owners import new_owner
from service.runtime import Runtime

HASH = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
TO_KILL = Path(__file__).parent / "jobs_to_kill.py"
Ingested = Callable[..., Job]


def runner_of(service: Runtime, **rules: Any) -> Runner:
    kinds = job_kinds(service, None)
    return Runner(service.catalog.jobs, kinds, service.settings.jobs_dir, service.log, RunnerRules(**rules))


@pytest.fixture
def ingested(service: Runtime) -> Ingested:
    """Does an ingest to its end."""

    def run(*sources: Path, **options: Any) -> Job:
        wanted = {"bank": "known", "sources": [str(source) for source in sources], **options}
        kept = job_kinds(service, None)["ingest"].checked(wanted)
        job = service.catalog.jobs.create("ingest", kept)
        runner_of(service, attempts=1).work_through(job.job_id)
        return service.catalog.jobs.get(job.job_id)

    return run


@pytest.fixture
def archive(tmp_path: Path, jpeg: Callable[[int], bytes]) -> Path:
    """Six pictures, one of them twice, one blank and one broken."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    (folder / "again.jpg").write_bytes(jpeg(3))
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    Image.new("RGB", (64, 64), "grey").save(folder / "blank.png")
    return folder


def skipped(service: Runtime, job: Job) -> dict[str, str]:
    lines = (service.settings.jobs_dir / job.job_id / "skipped.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({row["row"] for row in found}) == len(found), "each row is listed once"
    return {Path(row["row"]).name: row["reason"] for row in found}


def test_a_folder_is_banked_and_what_cannot_be_is_listed(service: Runtime, ingested: Ingested, archive: Path) -> None:
    job = ingested(archive, labels={"from": "the archive"})
    assert (job.state, job.result) == (
        JobState.SUCCEEDED, {"added": 6, "known": 1, "skipped": 2, "skipped_file": "skipped.jsonl"},
    )  # fmt: skip
    assert job.progress.total == 9
    assert set(skipped(service, job)) == {"broken.jpg", "blank.png"}
    items = service.catalog.items("known", 100).items
    assert {item.sha256 for item in items} == {
        hashlib.sha256((archive / f"{number}.jpg").read_bytes()).hexdigest() for number in range(6)
    }
    assert {item.labels["from"] for item in items} == {"the archive"}
    assert all(service.originals.exists(item.sha256 or "") for item in items)


def test_what_was_ingested_is_found(service: Runtime, ingested: Ingested, archive: Path) -> None:
    ingested(archive)
    answer = service.matcher.match((archive / "0.jpg").read_bytes(), MatchOptions())
    assert (answer.verdict.band, answer.matches[0].bank) == ("exact", "known")


def test_the_same_again_adds_nothing_and_decodes_nothing(
    service: Runtime, ingested: Ingested, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingested(archive)
    decode, decoded = service.decoder.decode, []
    monkeypatch.setattr(service.decoder, "decode", lambda data, _: (decoded.append(data), decode(data))[1])
    job = ingested(archive)
    assert (job.result or {})["added"] == 0
    assert (job.result or {})["known"] == 7
    assert len(decoded) == 2, "the broken and the blank one"


def test_blank_pictures_are_banked_when_that_is_wanted(ingested: Ingested, archive: Path) -> None:
    assert (ingested(archive, force=True).result or {})["added"] == 7


def test_lists_of_hashes_are_banked_once_however_often_they_say_it(
    service: Runtime, ingested: Ingested, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"signal_type,signal_str,tags\npdq,{HASH},a b\npdq,{HASH.upper()},c\npdq,nothing,\nmd5,00,\n")
    job = ingested(path)
    assert job.error is None
    assert (job.result or {}) == {"added": 1, "known": 1, "skipped": 2, "skipped_file": "skipped.jsonl"}
    assert (ingested(path).result or {})["added"] == 0
    (item,) = service.catalog.items("known", 10).items
    assert (item.kind, item.labels, item.original_bytes) == (ItemKind.SIGNATURE, {"tags": "a b"}, None)


def test_an_existing_bank_keeps_its_purpose(service: Runtime, ingested: Ingested, archive: Path) -> None:
    service.catalog.put_bank("known", Purpose.PUBLIC_INTEREST)
    assert ingested(archive).state is JobState.SUCCEEDED
    assert service.catalog.bank("known").purpose is Purpose.PUBLIC_INTEREST
    job = ingested(archive, purpose="harmful")
    assert (job.state, "purpose" in (job.error or "")) == (JobState.FAILED, True)
    assert BankPurposeConflict.__name__ not in (job.error or "")


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"bank": "no such/name"}, "/options/bank"),
        ({"purpose": "fun"}, "/options/purpose"),
        ({"force": "yes"}, "/options/force"),
        ({"labels": 7}, "/options/labels"),
        ({"sources": []}, "/options/sources"),
        ({"sources": ["a\0b"]}, "/options/sources/0"),
        ({"colour": "red"}, "/options/colour"),
        ({"labels_from": "id"}, "/options/labels_from"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_a_pointer(
    service: Runtime, archive: Path, options: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        job_kinds(service, None)["ingest"].checked({"bank": "known", "sources": [str(archive)], **options})
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_a_part_that_fails_is_tried_again_and_goes_on_where_it_was(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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
    service: Runtime, ingested: Ingested, archive: Path, monkeypatch: pytest.MonkeyPatch
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
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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


def test_two_workers_share_one_job(service: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_original_that_is_being_removed_is_waited_for(
    service: Runtime, ingested: Ingested, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner of this test tries once; who began a removal may have died over it, minutes ago."""
    monkeypatch.setattr(ingest, "_LOOK_EVERY_S", 0.0)
    add, refused = service.catalog.add_items, list[Any]()

    def removing(*arguments: Any) -> Any:
        if len(refused) < 7:
            refused.append(arguments)
            raise OriginalBeingRemoved("It is being deleted.")
        return add(*arguments)

    monkeypatch.setattr(service.catalog, "add_items", removing)
    job = ingested(archive)
    assert (job.state, (job.result or {})["added"]) == (JobState.SUCCEEDED, 6)


def test_a_part_begun_on_another_machine_is_gone_on_with(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
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
