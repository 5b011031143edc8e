"""`/v1/jobs`, and the worker of a service that does them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.errors import CatalogUnavailable
from service.app import create_app
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner
from service.jobs.workers import JobWorkers
from service.runtime import Runtime
from service.settings import Settings


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, jpeg: Callable[[int], bytes]) -> Settings:
    """A service whose jobs may read one folder, with three pictures in it."""
    media = tmp_path / "media"
    media.mkdir()
    for number in range(3):
        (media / f"{number}.jpg").write_bytes(jpeg(number))
    (media / "broken.jpg").write_bytes(b"no picture")
    return settings.model_copy(update={"ingest_roots": (media,)})


@pytest.fixture
def media(settings: Settings) -> str:
    return str(settings.ingest_roots[0])


def work(service: Runtime) -> None:
    """Whatever there is to do."""
    kinds = job_kinds(service, service.settings.ingest_roots)
    runner = Runner(service.catalog.jobs, kinds, service.settings.jobs_dir, service.log)
    while runner.run_one():
        pass


def asked(client: FlaskClient, kind: str, **options: Any) -> Any:
    answer = client.post("/v1/jobs", json={"kind": kind, "options": options})
    assert answer.status_code == 202, answer.json
    return answer.json


def test_a_job_is_accepted_done_and_watched(client: FlaskClient, service: Runtime, media: str) -> None:
    answer = client.post("/v1/jobs", json={"kind": "ingest", "options": {"bank": "known", "sources": [media]}})
    job = answer.json
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/jobs/{job['job_id']}")
    assert (job["kind"], job["state"], job["result"]) == ("ingest", "queued", None)
    work(service)
    ended = client.get(f"/v1/jobs/{job['job_id']}").json
    assert (ended["state"], ended["result"]["added"], ended["error"]) == ("succeeded", 3, None)
    assert ended["progress"] == {
        "parts": 1, "parts_done": 1, "done": 4, "total": 4, "counts": {"added": 3, "skipped": 1},
    }  # fmt: skip
    assert [each["job_id"] for each in client.get("/v1/jobs?state=succeeded").json["items"]] == [job["job_id"]]
    assert client.get("/v1/jobs?state=failed").json == {"items": [], "next": None}
    assert client.get("/v1/banks/known").json["items"] == 3


def test_files_that_a_job_made_are_sent(client: FlaskClient, service: Runtime, media: str) -> None:
    scan = asked(client, "scan", sources=[media])
    assert client.get(f"/v1/jobs/{scan['job_id']}/files/results.jsonl").status_code == 404
    work(service)
    with client.get(f"/v1/jobs/{scan['job_id']}/files/results.jsonl") as results:
        assert (results.status_code, len(results.data.splitlines())) == (200, 3)
    with client.get(f"/v1/jobs/{scan['job_id']}/files/skipped.jsonl") as skipped:
        assert b"broken.jpg" in skipped.data
    for name in ("results.parquet", "workers.lock", "..%2Fcatalog.db", "parts"):
        assert client.get(f"/v1/jobs/{scan['job_id']}/files/{name}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "slug", "pointer"),
    [
        (
            {"kind": "ingest", "options": {"bank": "b", "sources": ["/etc"]}},
            403,
            "source-refused",
            "/options/sources/0",
        ),
        ({"kind": "scan", "options": {"sources": ["/etc/passwd"]}}, 403, "source-refused", "/options/sources/0"),
        ({"kind": "ingest", "options": {"bank": "b"}}, 422, "invalid-field", "/options/sources"),
        ({"kind": "scan", "options": {"sources": ["/etc"], "k": 0}}, 422, "invalid-field", "/options/k"),
        ({"kind": "scan", "options": {"sources": ["/etc"], "output": "/x"}}, 422, "invalid-field", "/options/output"),
        ({"kind": "compact", "options": {"view": "nothing"}}, 404, "unknown-space", None),
        ({"kind": "reindex", "options": {"model": "m", "calibrate_on": "~nobody/x"}}, 403, "source-refused", None),
        ({"kind": "reindex", "options": {"model": "m", "calibrate_on": "a\0b"}}, 422, "invalid-field", None),
        ({"kind": "reindex", "options": {"model": "local-dir:a\0b"}}, 422, "invalid-field", "/options/model"),
        ({"kind": "reindex", "options": {}}, 422, "invalid-field", "/options/model"),
        ({"kind": "purge", "options": {"space": 7}}, 422, "invalid-field", "/options/space"),
        ({"kind": "bake"}, 422, "invalid-field", ""),
        ({"kind": "ingest", "options": 7}, 422, "invalid-field", "/options"),
        ({}, 422, "invalid-field", "/kind"),
    ],
)
def test_a_job_that_cannot_be_is_refused(
    client: FlaskClient, body: Any, status: int, slug: str, pointer: str | None
) -> None:
    answer = client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json["type"]) == (status, f"/problems/{slug}")
    assert pointer in [fault["pointer"] for fault in answer.json.get("errors", [])] or pointer is None
    assert client.get("/v1/jobs").json["items"] == []


def test_a_job_is_cancelled_and_tried_again(client: FlaskClient, service: Runtime, media: str) -> None:
    job = asked(client, "ingest", bank="known", sources=[media])
    path = f"/v1/jobs/{job['job_id']}"
    assert client.post(f"{path}/retry").json["type"] == "/problems/job-state-conflict"
    assert client.post(f"{path}/cancel").json["state"] == "cancelled"
    work(service)
    assert client.get(path).json["state"] == "cancelled"
    assert client.post(f"{path}/retry").json["state"] == "queued"
    work(service)
    assert (client.get(path).json["state"], client.get(path).json["attempts"]) == ("succeeded", 2)


@pytest.mark.parametrize("method", ["get", "cancel", "retry", "files/skipped.jsonl"])
def test_a_job_that_does_not_exist_is_unknown(client: FlaskClient, method: str) -> None:
    path = f"/v1/jobs/{'0' * 28}"
    answer = client.get(path) if method == "get" else client.get(f"{path}/{method}")
    if method in {"cancel", "retry"}:
        answer = client.post(f"{path}/{method}")
    assert (answer.status_code, answer.json["type"]) == (404, "/problems/unknown-job")


def test_views_are_compacted(client: FlaskClient, service: Runtime, media: str) -> None:
    asked(client, "ingest", bank="known", sources=[media])
    work(service)
    job = asked(client, "compact")
    work(service)
    ended = client.get(f"/v1/jobs/{job['job_id']}").json
    assert (ended["state"], ended["progress"]["parts"]) == ("succeeded", len(service.views.large_parts()))
    assert all(part.live_rows == 0 for part in service.views.large_parts())


@pytest.fixture
def worker(service: Runtime) -> Iterator[JobWorkers]:
    worker = JobWorkers(service, service.settings.ingest_roots)
    yield worker
    worker.close()


def test_a_service_does_jobs_beside_its_requests(
    client: FlaskClient, worker: JobWorkers, media: str, service: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    finished = service.catalog.jobs.finished
    monkeypatch.setattr(service.catalog.jobs, "finished", lambda *given: (finished(*given), ended.set()))
    job = asked(client, "ingest", bank="known", sources=[media])
    assert ended.wait(30)
    assert client.get(f"/v1/jobs/{job['job_id']}").json["state"] == "succeeded"
    worker.close()


def test_a_worker_outlives_a_catalog_that_is_gone_for_a_while(
    client: FlaskClient, service: Runtime, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.runner._IDLE_S", 0.01)
    ended = threading.Event()
    finished, claim, refusals = service.catalog.jobs.finished, service.catalog.jobs.claim, iter(range(3))

    def away(*given: Any) -> Any:
        if next(refusals, None) is not None:
            raise CatalogUnavailable("The catalog is away.")
        return claim(*given)

    monkeypatch.setattr(service.catalog.jobs, "claim", away)
    monkeypatch.setattr(service.catalog.jobs, "finished", lambda *given: (finished(*given), ended.set()))
    asked(client, "ingest", bank="known", sources=[media])
    worker = JobWorkers(service, service.settings.ingest_roots)
    assert ended.wait(30)
    worker.close()


def test_of_two_processes_of_a_service_one_does_jobs_and_the_other_when_that_one_ends(
    open_service: Callable[..., Runtime], worker: JobWorkers, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.workers._TURN_S", 0.01)
    second = open_service()
    ended = threading.Event()
    finished = second.catalog.jobs.finished
    monkeypatch.setattr(second.catalog.jobs, "finished", lambda *given: (finished(*given), ended.set()))
    waiting = JobWorkers(second, second.settings.ingest_roots)
    worker.close()
    asked(create_app(second).test_client(), "ingest", bank="known", sources=[media])
    assert ended.wait(30)
    waiting.close()


def test_a_service_without_job_workers_leaves_jobs_to_others(service: Runtime, settings: Settings) -> None:
    service.settings = settings.model_copy(update={"job_workers": 0})
    JobWorkers(service, ()).close()
    assert not settings.jobs_dir.exists()
