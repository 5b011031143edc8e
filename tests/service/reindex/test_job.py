"""The jobs that fill a space and empty it again."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from index.records.jobs import JobState
from index.records.spaces import SpaceId, SpaceStage
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner, RunnerRules
from service.settings import Settings

OLD, NEW = SpaceId("old-000000000000"), SpaceId("new-111111111111")
Jpeg = Callable[[int], bytes]
Worker = Any  # of conftest.py
Clock = Any
StartWorker = Callable[..., Worker]
Rebuilt = Callable[..., dict[str, Any]]
InShadow = Callable[..., None]


def test_items_without_an_original_are_counted_and_hold_a_promotion_up(
    worker: Worker, clock: Clock, jpeg: Jpeg, rebuilt: Rebuilt
) -> None:
    worker.bank(jpeg(1))
    signature = {"embedder_id": OLD, "embeddings": [[1.0] + [0.0] * 47], "pdq": []}
    left = worker.client.post("/v1/banks/known/items", json=signature).get_json()["item_id"]
    told = rebuilt(worker)
    assert told["result"]["items"] == {"filled": 1, "failed": 0, "without_original": 1}
    assert told["result"]["not_filled"] == [{"bank": "known", "item_id": left}]
    clock.pass_by(5)
    worker.tend()
    assert worker.post(f"{NEW}/promote", 409)["type"] == "/problems/items-left-behind"
    worker.post(f"{NEW}/promote?keep_old=true")
    answer = worker.match(jpeg(1))
    assert answer["embedder_id"] == NEW
    asked = {"embedder_id": OLD, "embeddings": signature["embeddings"], "pdq": []}
    found = worker.client.post("/v1/match/embeddings?min_band=none", json=asked).get_json()
    assert found["matches"][0]["item_id"] == left


def test_an_original_that_is_gone_or_broken_is_listed_and_the_others_go_on(
    worker: Worker, jpeg: Jpeg, settings: Settings, rebuilt: Rebuilt
) -> None:
    ids = [worker.bank(jpeg(seed)) for seed in range(4)]
    kept = {item.item_id: str(item.sha256) for item in worker.runtime.catalog.items("known", 10).items}
    worker.runtime.originals.delete(kept[ids[1]])
    (broken,) = settings.originals_dir.rglob(f"*{kept[ids[2]][4:]}*")
    broken.write_bytes(b"no picture")
    told = rebuilt(worker)
    assert told["state"] == "succeeded"
    assert told["result"]["items"] == {"filled": 2, "failed": 2, "without_original": 0}
    assert told["progress"]["done"] == told["progress"]["total"] == 4, "what failed is done once"
    assert told["progress"]["counts"] == {"embedded": 2, "failed": 2}
    assert {each["item_id"] for each in told["result"]["not_filled"]} == {ids[1], ids[2]}


def test_the_tiles_that_a_bank_wants_are_made_in_the_new_space_too(
    worker: Worker, jpeg: Jpeg, rebuilt: Rebuilt
) -> None:
    worker.bank(jpeg(1))  # before it wants any: the old space has none of it
    worker.client.put("/v1/banks/known", json={"purpose": "harmful", "settings": {"tiles": 4}})
    worker.bank(jpeg(2))
    rebuilt(worker)
    worker.runtime.views.follow()
    reading = worker.runtime.views.reading()
    assert (reading.embeddings_in(OLD), reading.embeddings_in(NEW)) == (1 + 5, 5 + 5)
    assert worker.runtime.catalog.tiles.coverage("known", NEW).filled == 2


def test_tiles_are_made_in_every_space_that_is_kept_and_not_in_one_that_is_given_up_meanwhile(
    worker: Worker, jpeg: Jpeg, in_shadow: InShadow
) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    worker.client.put("/v1/banks/known", json={"purpose": "harmful", "settings": {"tiles": 4}})
    runtime = worker.runtime
    kinds, jobs = job_kinds(runtime, None), runtime.catalog.jobs
    job_id = jobs.create("tiles", kinds["tiles"].checked({"bank": "known"})).job_id
    rules = RunnerRules(attempts=1)
    Runner(jobs, kinds, runtime.settings.jobs_dir, runtime.log, rules).run_one(job_id)  # its plan
    assert jobs.get(job_id).progress.total == 2
    worker.client.delete(f"/v1/spaces/{NEW}")
    told = worker.work_through(job_id)
    assert (told["state"], told["result"]["spaces"].keys()) == ("succeeded", {OLD})
    runtime.views.follow()
    assert runtime.views.reading().embeddings_in(OLD) == 5


def test_a_job_that_is_interrupted_goes_on_where_it_stopped(
    worker: Worker, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.reindex._PAGE", 3)
    for seed in range(8):
        worker.bank(jpeg(seed))
    catalog, kinds = worker.runtime.catalog, job_kinds(worker.runtime, None)
    job_id = catalog.jobs.create("reindex", kinds["reindex"].checked({"model": "new"})).job_id
    runner = Runner(catalog.jobs, kinds, worker.runtime.settings.jobs_dir, worker.runtime.log)
    runner.run_one(job_id)
    worker.tend()
    grid = worker.opener.opened["new"][-1]
    grid.before = runner.stop  # stops at the first page's end
    runner.run_one(job_id)
    assert 0 < catalog.moves.coverage(NEW).filled < 8
    grid.before = lambda: None
    other = Runner(catalog.jobs, kinds, worker.runtime.settings.jobs_dir, worker.runtime.log)
    while not catalog.jobs.get(job_id).state.ended:
        assert other.run_one(job_id)
        worker.tend()
    assert catalog.jobs.get(job_id).state is JobState.SUCCEEDED
    assert catalog.moves.coverage(NEW).filled == grid.embedded == 8


def test_several_workers_share_one_job_and_embed_nothing_twice(
    start: StartWorker, worker: Worker, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.reindex._LEAST_PART", 2)
    for seed in range(8):
        worker.bank(jpeg(seed))
    workers = [worker, start()]
    catalog, kinds = worker.runtime.catalog, job_kinds(worker.runtime, None)
    job_id = catalog.jobs.create("reindex", kinds["reindex"].checked({"model": "new"})).job_id
    runners = [
        Runner(
            each.runtime.catalog.jobs, job_kinds(each.runtime, None), each.runtime.settings.jobs_dir, each.runtime.log
        )
        for each in workers
    ]
    runners[0].run_one(job_id)
    for each in workers:
        each.tend()
    both = threading.Barrier(2, timeout=60)  # each takes its first part before either goes on
    for each in workers:
        each.opener.opened["new"][-1].before = _once(both.wait)
    threads = [threading.Thread(target=runner.work_through, args=(job_id,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert catalog.jobs.get(job_id).state is JobState.SUCCEEDED
    embedded = [each.opener.opened["new"][-1].embedded for each in workers]
    assert sum(embedded) == catalog.moves.coverage(NEW).filled == 8
    assert min(embedded) > 0


def _once(call: Callable[[], object]) -> Callable[[], None]:
    calls = [call]

    def called() -> None:
        if calls:
            calls.pop()()

    return called


def test_what_is_dropped_ends_its_job_and_is_deleted(worker: Worker, jpeg: Jpeg, in_shadow: InShadow) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    dropped = worker.client.delete(f"/v1/spaces/{NEW}")
    assert dropped.status_code == 202
    worker.tend()
    assert [served.id for served in worker.runtime.live_spaces.opened] == [OLD]
    runner = Runner(worker.runtime.catalog.jobs, job_kinds(worker.runtime, None), Path(), worker.runtime.log)
    job_id = dropped.get_json()["job_id"]
    assert dropped.headers["Location"] == f"/v1/jobs/{job_id}"
    while not worker.runtime.catalog.jobs.get(job_id).state.ended:
        runner.run_one(job_id)
    assert worker.runtime.catalog.spaces()[0].space == OLD
    assert worker.stages() == {OLD: "served", NEW: "dropped"}
    assert worker.client.delete(f"/v1/spaces/{OLD}").status_code == 409


def test_a_job_whose_space_is_dropped_beneath_it_is_cancelled(worker: Worker, jpeg: Jpeg) -> None:
    for seed in range(3):
        worker.bank(jpeg(seed))
    catalog, kinds = worker.runtime.catalog, job_kinds(worker.runtime, None)
    job_id = catalog.jobs.create("reindex", kinds["reindex"].checked({"model": "new"})).job_id
    runner = Runner(catalog.jobs, kinds, worker.runtime.settings.jobs_dir, worker.runtime.log)
    runner.run_one(job_id)
    worker.tend()
    catalog.moves.drop(NEW)
    while not catalog.jobs.get(job_id).state.ended:
        runner.run_one(job_id)
    assert catalog.jobs.get(job_id).state is JobState.CANCELLED


@pytest.mark.parametrize(
    "options", [{}, {"model": 3}, {"model": "new", "replace": "x"}, {"model": "new", "calibrate_on": 1}]
)
def test_options_that_make_no_sense_are_refused_with_pointers(worker: Worker, options: dict[str, Any]) -> None:
    answer = worker.client.post("/v1/jobs", json={"kind": "reindex", "options": options})
    assert answer.status_code == 422
    assert all(fault["pointer"].startswith("/options/") for fault in answer.get_json()["errors"])


def test_over_http_only_models_that_the_operator_opened_to_jobs_are_read_from_files(worker: Worker) -> None:
    answer = worker.client.post("/v1/jobs", json={"kind": "reindex", "options": {"model": "local-dir:/etc"}})
    assert answer.status_code == 403
    assert answer.get_json()["errors"][0]["pointer"] == "/options/model"


def test_a_model_that_cannot_be_opened_fails_the_job_at_once_and_begins_nothing(
    worker: Worker, rebuilt: Rebuilt
) -> None:
    worker.opener.broken.add("new")
    told = rebuilt(worker)
    assert (told["state"], told["error"]) == ("failed", "There is no model new.")
    assert worker.stages() == {OLD: "served"}


def test_a_space_that_is_served_and_lacks_items_is_filled_where_it_is(
    start: StartWorker, worker: Worker, jpeg: Jpeg, rebuilt: Rebuilt
) -> None:
    worker.bank(jpeg(1))
    both = start(("old", "new"))
    told = rebuilt(both, options={"replaces": OLD})
    assert told["state"] == "succeeded"
    assert told["result"]["stage"] == SpaceStage.SERVED
    assert both.runtime.catalog.moves.coverage(NEW).filled == 1


def test_a_calibration_of_a_space_that_cannot_be_opened_here_keeps_nobody_from_saying_so(
    worker: Worker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = worker.runtime.catalog.moves
    moves.begin(NEW, 48, model="new", replaces=OLD)
    worker.opener.broken.add("new")
    settings.calibration_dir.mkdir(parents=True, exist_ok=True)
    (settings.calibration_dir / f"{NEW}.json").write_text("{}")
    loaded = SimpleNamespace(embedder_id=NEW)
    monkeypatch.setattr("service.spaces.keeper.CalibrationRecord", SimpleNamespace(load=lambda _: loaded))
    worker.tend()
    assert [said.is_open for said in moves.holdings(NEW).values()] == [False]
    assert "could not be looked after" not in worker.log.getvalue()
