"""An archive, and whoever banks it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from index.records.jobs import Job
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner, RunnerRules
from service.runtime import Runtime

Ingested = Callable[..., Job]


def _runner_of(service: Runtime, **rules: Any) -> Runner:
    kinds = job_kinds(service, None)
    return Runner(service.catalog.jobs, kinds, service.settings.jobs_dir, service.log, RunnerRules(**rules))


def _skipped(service: Runtime, job: Job) -> dict[str, str]:
    lines = (service.settings.jobs_dir / job.job_id / "skipped.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({row["row"] for row in found}) == len(found), "each row is listed once"
    return {Path(row["row"]).name: row["reason"] for row in found}


@pytest.fixture
def ingested(service: Runtime) -> Ingested:
    """Does an ingest to its end."""

    def run(*sources: Path, **options: Any) -> Job:
        wanted = {"bank": "known", "sources": [str(source) for source in sources], **options}
        kept = job_kinds(service, None)["ingest"].checked(wanted)
        job = service.catalog.jobs.create("ingest", kept)
        _runner_of(service, attempts=1).work_through(job.job_id)
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


@pytest.fixture
def runner_of() -> Callable[..., Runner]:
    return _runner_of


@pytest.fixture
def skipped() -> Callable[[Runtime, Job], dict[str, str]]:
    return _skipped
