"""Archives into banks and through them, on a service and on a data directory."""

import json
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.catalog import Catalog
from service.jobs.options import IngestOptions
from service.jobs.sources import checked_sources

WritePng = Callable[[Path, int], Path]


@pytest.fixture
def archive(readable: Path, write_png: WritePng) -> Path:
    """Three pictures and a file that only looks like one."""
    folder = readable / uuid.uuid4().hex
    for number in range(3):
        write_png(folder / f"{number}.png", number)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def begun(data: Path, archive: Path, bank: str) -> str:
    """A job that nobody has done anything of yet."""
    data.mkdir()
    with closing(Catalog.open(f"sqlite:///{data / 'catalog.db'}")) as catalog:
        options = IngestOptions(bank=bank, sources=[str(archive)])
        kept = {**options.model_dump(mode="json"), **checked_sources(options, None)}
        return catalog.jobs.create("ingest", kept).job_id


def test_an_archive_is_banked_and_found_again(
    run: Callable[..., Any], place: tuple[str, str], archive: Path, bank: str, tmp_path: Path
) -> None:
    ingested = run("ingest", bank, archive, "--label", "from=test", "--json", *place)
    job = json.loads(ingested.out)
    assert (ingested.code, job["state"], job["result"]["added"]) == (1, "succeeded", 3), ingested.err
    again = run("ingest", bank, archive, *place)
    assert (again.code, "3 were there already, 1 could not be used" in again.out) == (1, True)

    output = tmp_path / "results.jsonl"
    scanned = run("scan", archive, "-o", output, "--bank", bank, *place)
    assert (scanned.code, "3 exact" in scanned.out) == (1, True), scanned.err
    assert [row["verdict"]["band"] for row in lines(output)] == ["exact"] * 3
    assert {row["matches"][0]["labels"]["from"] for row in lines(output)} == {"test"}

    listed = json.loads(run("jobs", "list", "--limit", "1", "--json", *place).out)
    assert [job["kind"] for job in listed] == ["scan"]
    shown = run("jobs", "show", listed[0]["job_id"], *place)
    assert ("succeeded" in shown.out, "3" in shown.out) == (True, True)


def test_what_cannot_be_used_is_listed_with_the_reason(
    run: Callable[..., Any], archive: Path, bank: str, tmp_path: Path
) -> None:
    ended = run("ingest", bank, archive, "--data-dir", tmp_path / "data")
    assert (ended.code, "broken.png: The upload is not a picture" in ended.out) == (1, True)


def test_a_service_reads_only_what_it_was_told_it_may(
    run: Callable[..., Any], service_url: str, tmp_path: Path, bank: str
) -> None:
    ended = run("ingest", bank, tmp_path, "--url", service_url)
    assert (ended.code, "may not be" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ingest", "known", "/no/such"], "cannot be, or may not be"),
        (["ingest", "no/such name", "."], "not what is described"),
        (["scan", ".", "-o", "results.txt"], "--output"),
        (["jobs", "show", "0" * 28], "There is no such job"),
        (["jobs", "retry", "0" * 28], "There is no such job"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    run: Callable[..., Any], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    if arguments[0] == "jobs":
        run("ingest", "known", "/no/such", "--data-dir", tmp_path)
    ended = run(*arguments, "--data-dir", tmp_path)
    assert (ended.code, sentence in ended.err, "Traceback" in ended.err) == (2, True, False), ended.err


def test_a_job_that_was_interrupted_is_gone_on_with_by_the_same_command(
    run: Callable[..., Any], archive: Path, bank: str, tmp_path: Path
) -> None:
    job_id = begun(tmp_path / "data", archive, bank)
    ended = run("ingest", bank, archive, "--json", "--data-dir", tmp_path / "data")
    assert (json.loads(ended.out)["job_id"], "Going on" in ended.err) == (job_id, True)


def test_jobs_are_cancelled_tried_again_and_done_without_a_service(
    run: Callable[..., Any], archive: Path, bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest keeps its own
    data = tmp_path / "data"
    job_id = begun(data, archive, bank)
    assert json.loads(run("jobs", "cancel", job_id, "--json", "--data-dir", data).out)["state"] == "cancelled"
    assert json.loads(run("jobs", "retry", job_id, "--json", "--data-dir", data).out)["state"] == "queued"
    assert run("jobs", "run", "--once", "--data-dir", data).code == 0
    ended = json.loads(run("jobs", "show", job_id, "--json", "--data-dir", data).out)
    assert (ended["state"], ended["result"]["added"]) == ("succeeded", 3)
