"""An archive is matched against the banks: one line for each row, whatever stops it in between."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from index.records.banks import Purpose
from index.records.jobs import Job, JobState
from service.errors import InvalidField
from service.jobs import scan, sizes
from service.jobs.kinds import job_kinds
from service.jobs.ledger import Ledger
from service.jobs.runner import Runner, RunnerRules
from service.jobs.task import Task
from service.runtime import Runtime

Scanned = Callable[..., Job]


def runner_of(service: Runtime, **rules: Any) -> Runner:
    kinds = job_kinds(service, None)
    return Runner(service.catalog.jobs, kinds, service.settings.jobs_dir, service.log, RunnerRules(**rules))


def asked(service: Runtime, **options: Any) -> Job:
    kept = job_kinds(service, None)["scan"].checked(options)
    return service.catalog.jobs.create("scan", kept)


@pytest.fixture
def archive(service: Runtime, tmp_path: Path, jpeg: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight pictures of which two are banked, a manifest of them and of the hash of one, and a bad row."""
    monkeypatch.setattr(sizes, "_FIRST", 4)
    service.catalog.put_bank("known", Purpose.HARMFUL)
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    service.banker.add("known", jpeg(2))
    service.banker.add("known", jpeg(5))
    rows = [{"path": f"{number}.jpg", "id": number} for number in range(8)]
    hashed = {"pdq": service.decoder.decode(jpeg(2)).frames[0].pdq.hex(), "id": "hash"}
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, [*rows, hashed, {"path": "gone.jpg"}])))
    return folder / "all.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_row_is_answered_once_and_in_order(service: Runtime, archive: Path) -> None:
    job = asked(service, sources=[str(archive)])
    runner_of(service).work_through(job.job_id)
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.state, ended.progress.parts) == (JobState.SUCCEEDED, 3)
    results = lines(service.settings.jobs_dir / job.job_id / "results.jsonl")
    assert [row["labels"]["id"] for row in results] == [*range(8), "hash"]
    matched = {row["labels"]["id"]: row["matches"][0]["bank"] for row in results if row["matches"]}
    assert matched == {2: "known", 5: "known", "hash": "known"}
    assert (ended.result or {})["exact"] == 3
    assert (ended.result or {})["skipped"] == 1
    assert lines(service.settings.jobs_dir / job.job_id / "skipped.jsonl")[0]["reason"] == "no such file"


def test_nothing_is_recorded(service: Runtime, archive: Path) -> None:
    version = service.catalog.version()
    job = asked(service, sources=[str(archive)])
    runner_of(service).work_through(job.job_id)
    assert service.catalog.version() == version


def test_rows_that_match_nothing_may_be_left_out_and_banks_chosen(service: Runtime, archive: Path) -> None:
    service.catalog.put_bank("other", Purpose.HARMFUL)
    for banks, count in (["known"], 3), (["other"], 0):
        job = asked(service, sources=[str(archive)], matches_only=True, banks=banks)
        runner_of(service).work_through(job.job_id)
        assert len(lines(service.settings.jobs_dir / job.job_id / "results.jsonl")) == count


def test_results_in_parquet_say_the_same(service: Runtime, archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "results.parquet"
    job = asked(service, sources=[str(archive)], format="parquet", output=str(output))
    runner_of(service).work_through(job.job_id)
    table = parquet.read_table(output).to_pylist()
    results = lines(service.settings.jobs_dir / job.job_id / "results.jsonl")
    assert [(row["row"], row["band"]) for row in table] == [(row["row"], row["verdict"]["band"]) for row in results]
    assert [json.loads(row["matches"]) for row in table] == [row["matches"] for row in results]
    assert {row["bank"] for row in table} == {"known", None}


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_scan_that_dies_goes_on_without_a_line_twice_or_missing(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """It dies after lines were written, and before it is known that they were."""
    monkeypatch.setattr(scan, "_BATCH_ROWS", 1)
    job = asked(service, sources=[str(archive)])
    synced, count = Ledger.synced, []

    def dying(ledger: Ledger) -> int:
        length = synced(ledger)
        count.append(length)
        if len(count) == 2 * after:  # results and skipped rows, each time
            raise KeyboardInterrupt
        return length

    with monkeypatch.context() as dies:
        dies.setattr(Ledger, "synced", dying)
        with pytest.raises(KeyboardInterrupt):
            runner_of(service).work_through(job.job_id)
    service.catalog.jobs.take_from(service.catalog.jobs.owners())
    runner_of(service).work_through(job.job_id)
    results = lines(service.settings.jobs_dir / job.job_id / "results.jsonl")
    assert [row["labels"]["id"] for row in results] == [*range(8), "hash"]


def test_a_scan_whose_parts_are_on_another_machine_says_so(service: Runtime, archive: Path) -> None:
    job = asked(service, sources=[str(archive)])
    runner = runner_of(service)
    for _ in range(4):
        assert runner.run_one(job.job_id)
    (service.settings.jobs_dir / job.job_id / "parts" / "results-000001.jsonl").unlink()
    runner.work_through(job.job_id)
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.state, "other machines" in (ended.error or "")) == (JobState.FAILED, True)


def test_an_unknown_bank_fails_the_scan(service: Runtime, archive: Path) -> None:
    job = asked(service, sources=[str(archive)], banks=["nobody"])
    runner_of(service, attempts=1).work_through(job.job_id)
    assert service.catalog.jobs.get(job.job_id).error == "There is no bank of that name."


def test_a_part_that_was_begun_on_another_machine_is_not_filled_up_with_nothing(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_BATCH_ROWS", 1)
    job = asked(service, sources=[str(archive)])
    runner = runner_of(service)
    checkpoint = Task.checkpoint

    def stopping(task: Task, cursor: dict[str, Any], **counts: int) -> None:
        checkpoint(task, cursor, **counts)
        runner.stop()

    with monkeypatch.context() as stops:
        stops.setattr(Task, "checkpoint", stopping)
        runner.work_through(job.job_id)
    parts = service.settings.jobs_dir / job.job_id / "parts"
    for part in parts.iterdir():
        part.unlink()
    runner_of(service).work_through(job.job_id)
    ended = service.catalog.jobs.get(job.job_id)
    assert (ended.state, "another machine" in (ended.error or "")) == (JobState.FAILED, True)


def test_who_lost_a_part_without_noticing_writes_into_nobody_elses_lines(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    with Ledger(tmp_path, "results", 1, 0) as paused:
        paused.append({"row": "both"})
        length = paused.synced()
        paused.append({"row": "of the one that was paused"})
        with Ledger(tmp_path, "results", 1, length) as other:
            other.append({"row": "of the other"})
            other.synced()
    assert [line["row"] for line in lines(tmp_path / "parts" / "results-000001.jsonl")] == ["both", "of the other"]


def test_parquet_is_refused_at_once_where_it_cannot_be_written(
    service: Runtime, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "parquet_is_installed", lambda: False)
    with pytest.raises(InvalidField):
        asked(service, sources=[str(archive)], format="parquet")
