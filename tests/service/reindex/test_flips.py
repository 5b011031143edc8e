"""Which space answers: from one version to the next, for every worker, after a restart too."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from index.records.spaces import SpaceId
from service.matching.matcher import MatchOptions
from service.settings import Settings

OLD, NEW = SpaceId("old-000000000000"), SpaceId("new-111111111111")
Jpeg = Callable[[int], bytes]
Worker = Any  # of conftest.py
Clock = Any
StartWorker = Callable[..., Worker]
Rebuilt = Callable[..., dict[str, Any]]
InShadow = Callable[..., None]


def test_answers_flip_for_all_workers_at_one_version_and_back(
    start: StartWorker, clock: Clock, jpeg: Jpeg, rebuilt: Rebuilt
) -> None:
    one, two = start(), start()
    one.client.put("/v1/banks/known", json={"purpose": "harmful"})
    ids = [one.bank(jpeg(seed)) for seed in range(5)]
    told = rebuilt(one, two)
    assert told["state"] == "succeeded", told
    assert told["result"]["items"] == {"filled": 5, "failed": 0, "without_original": 0}
    assert told["result"]["calibration"]["calibrated"] is False
    clock.pass_by(5)
    assert [each.match(jpeg(3))["embedder_id"] for each in (one, two)] == [OLD, OLD]
    moved = one.post(f"{NEW}/promote")
    for each in (two, one):
        answer = each.match(jpeg(3))
        assert answer["embedder_id"] == NEW
        assert answer["index_version"] >= moved["index_version"]
        assert answer["matches"][0]["item_id"] == ids[3]
        assert answer["matches"][0]["semantic"]["embedder_id"] == NEW
    assert one.post(f"{NEW}/rollback")["stage"] == "shadow"
    assert [each.match(jpeg(3))["embedder_id"] for each in (one, two)] == [OLD, OLD]


def test_what_is_banked_meanwhile_is_in_both_spaces(
    worker: Worker, clock: Clock, jpeg: Jpeg, in_shadow: InShadow
) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    during = worker.bank(jpeg(2))
    worker.post(f"{NEW}/promote")
    after = worker.bank(jpeg(3))
    assert {match["item_id"] for match in worker.match(jpeg(2))["matches"][:1]} == {during}
    worker.tend()
    clock.pass_by(5)
    worker.post(f"{NEW}/rollback")
    answer = worker.match(jpeg(3))
    assert (answer["embedder_id"], answer["matches"][0]["item_id"]) == (OLD, after)


def test_an_upload_that_a_promotion_overtakes_is_answered_from_the_new_space(
    worker: Worker, jpeg: Jpeg, in_shadow: InShadow
) -> None:
    item_id = worker.bank(jpeg(1))
    in_shadow(worker)
    grid = worker.opener.opened["old"][0]
    moved: list[dict[str, Any]] = []

    def promote() -> None:
        grid.before = lambda: None
        moved.append(worker.post(f"{NEW}/promote"))

    grid.before = promote
    answer = worker.match(jpeg(1))
    assert moved
    assert answer["index_version"] >= moved[0]["index_version"]
    assert (answer["embedder_id"], answer["matches"][0]["item_id"]) == (NEW, item_id)


def test_embeddings_are_taken_in_the_space_that_answers_alone(worker: Worker, jpeg: Jpeg, in_shadow: InShadow) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    row = [1.0] + [0.0] * 107

    def ask() -> int:
        body = {"embedder_id": NEW, "embeddings": [row], "pdq": []}
        return int(worker.client.post("/v1/match/embeddings", json=body).status_code)

    assert ask() == 409
    worker.post(f"{NEW}/promote")
    assert ask() == 200


def test_a_worker_that_cannot_open_the_model_holds_the_promotion_up_and_answers_on(
    start: StartWorker, clock: Clock, jpeg: Jpeg
) -> None:
    one, two = start(), start()
    one.client.put("/v1/banks/known", json={"purpose": "harmful"})
    one.bank(jpeg(1))
    two.opener.broken.add("new")
    for each in (one, two):
        each.tend()
    one.runtime.catalog.moves.begin(NEW, 108, model="new", replaces=OLD)
    for each in (one, two):
        each.tend()
    report = one.client.get(f"/v1/spaces/{NEW}").get_json()
    assert sorted(said["open"] for said in report["open_in"]) == [False, True]
    assert any("There is no model new" in (said["reason"] or "") for said in report["open_in"])
    one.runtime.catalog.moves.to_shadow(NEW)
    clock.pass_by(5)
    refused = one.post(f"{NEW}/promote?leave_behind=true", 409)
    assert refused["type"] == "/problems/space-not-open"
    assert two.match(jpeg(1))["embedder_id"] == OLD


@pytest.mark.parametrize("dropped", [False, True])
def test_a_restart_follows_the_catalog_and_not_the_configuration(
    start: StartWorker,
    worker: Worker,
    jpeg: Jpeg,
    in_shadow: InShadow,
    dropped: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    item_id = worker.bank(jpeg(1))
    in_shadow(worker)
    worker.post(f"{NEW}/promote")
    if dropped:
        worker.client.delete(f"/v1/spaces/{OLD}")
    again = start(("old",), broken=["old"] if dropped else [])
    answer = again.match(jpeg(1))
    assert (answer["embedder_id"], answer["matches"][0]["item_id"]) == (NEW, item_id)
    assert {served.id for served in again.runtime.live_spaces.opened} == ({NEW} if dropped else {NEW, OLD})
    assert "another space took over" in again.log.getvalue()


def test_the_model_that_is_lost_after_a_move_does_not_keep_the_service_from_starting(
    start: StartWorker, worker: Worker, jpeg: Jpeg, in_shadow: InShadow
) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    worker.post(f"{NEW}/promote")
    again = start(("new",), broken=["old"])
    assert again.match(jpeg(1))["embedder_id"] == NEW
    assert "cannot be opened" in again.log.getvalue()


def test_uploads_are_compared_in_shadow_and_counted(worker: Worker, jpeg: Jpeg, in_shadow: InShadow) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    for seed in (1, 2, 1):
        worker.match(jpeg(seed))
    worker.runtime.shadows.close()
    report = worker.client.get(f"/v1/spaces/{NEW}").get_json()
    counted = {(each["band"], each["shadow_band"]): each["uploads"] for each in report["agreement"]}
    assert sum(counted.values()) == 3
    assert counted["exact", "exact"] == 2


def test_a_picture_is_asked_about_in_both_ways(worker: Worker, jpeg: Jpeg, in_shadow: InShadow) -> None:
    item_id = worker.bank(jpeg(1))

    def compare(status: int) -> dict[str, Any]:
        answer = worker.client.post(f"/v1/spaces/{NEW}/compare", data=jpeg(1), content_type="image/jpeg")
        assert answer.status_code == status, answer.text
        told: dict[str, Any] = answer.get_json()
        return told

    assert compare(404)["type"] == "/problems/unknown-space"
    in_shadow(worker)
    told = compare(200)
    assert (told["against"], told["changes_the_verdict"]) == (OLD, False)
    assert told["answered"] == told["in_shadow"] == {"band": "exact", "suggested_action": "block", "item_id": item_id}
    worker.post(f"{NEW}/promote")
    assert compare(409)["type"] == "/problems/wrong-stage"


def test_a_calibration_that_comes_while_it_waits_is_taken_up(
    worker: Worker, jpeg: Jpeg, settings: Settings, in_shadow: InShadow
) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    threshold = {"score": 0.5, "fpr": 1e-4, "fpr_upper95": 1e-3}
    settings.calibration_dir.mkdir(parents=True)
    (settings.calibration_dir / f"{NEW}.json").write_text(
        json.dumps(
            {
                "format": 1,
                "embedder_id": NEW,
                "created": "2026-11-22",
                "sample": {"pictures": 40, "queries": 100, "bank_frames": 20},
                "thresholds": {"variant": threshold, "related": threshold},
                "normalisation": None,
            }
        )
    )
    worker.tend()
    worker.post(f"{NEW}/promote")
    assert worker.match(jpeg(1))["calibrated"] is True


def test_no_spaces_are_missing_between_the_flip_and_the_next_look(
    worker: Worker, jpeg: Jpeg, in_shadow: InShadow
) -> None:
    worker.bank(jpeg(1))
    in_shadow(worker)
    worker.runtime.catalog.moves.promote(NEW)  # as another process would
    assert worker.runtime.matcher.match(jpeg(1), MatchOptions()).embedder_id == NEW
