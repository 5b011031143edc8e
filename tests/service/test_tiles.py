"""Tiles of what is banked: a bank's own choice, so that small crops of its pictures are found."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from index.records.jobs import Job, JobId, JobState
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner, RunnerRules
from service.runtime import Runtime

Picture = Callable[..., Image.Image]
MakeBank = Callable[..., str]
SPACE = "toy-0123456789ab"
SIZE = (160, 120)


def saved(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def png(picture: Picture) -> Callable[[int], bytes]:
    return lambda seed: saved(picture(seed))


def corner(picture: Image.Image) -> Image.Image:
    """The lower right of a picture, three fifths of its sides: what one of four tiles shows."""
    return picture.crop((64, 48, 160, 120))


def bank(client: FlaskClient, name: str, picture: bytes) -> str:
    answer = client.post(f"/v1/banks/{name}/items", data=picture, content_type="image/png")
    assert answer.status_code == 201, answer.get_json()
    return str(answer.get_json()["item_id"])


def match(client: FlaskClient, picture: bytes, **query: Any) -> list[dict[str, Any]]:
    answer = client.post("/v1/match", data=picture, content_type="image/png", query_string=query)
    assert answer.status_code == 200, answer.get_json()
    matches: list[dict[str, Any]] = answer.get_json()["matches"]
    return matches


def rows(service: Runtime) -> int:
    return service.views.reading().embeddings_in(service.spaces[0].id)


def test_a_crop_is_found_where_the_bank_has_tiles_and_only_there(
    client: FlaskClient, make_bank: MakeBank, picture: Picture
) -> None:
    make_bank("plain")
    make_bank("tiled", tiles=4)
    whole = picture(1)
    bank(client, "plain", saved(whole))
    item_id = bank(client, "tiled", saved(whole))
    found = match(client, saved(corner(whole)))
    assert [(each["item_id"], each["band"]) for each in found] == [(item_id, "variant")]
    assert found[0]["semantic"]["score"] > 0.99


@pytest.mark.parametrize("tiles", [0, 4, 9])
def test_a_picture_has_a_row_of_its_own_and_one_for_each_tile(
    tiles: int, client: FlaskClient, service: Runtime, make_bank: MakeBank, jpeg: Callable[[int], bytes]
) -> None:
    make_bank("first", tiles=tiles)
    bank(client, "first", jpeg(1))
    assert rows(service) == 1 + tiles
    answer = client.get("/v1/banks/first").get_json()
    assert (answer["settings"]["tiles"], answer["items"]) == (tiles, 1)


def test_pictures_crowded_by_the_tiles_of_one_are_still_among_the_nearest(
    client: FlaskClient, make_bank: MakeBank, picture: Picture
) -> None:
    make_bank("first", tiles=9)
    near = picture(1).resize((8, 6), Image.Resampling.BOX).resize((32, 24), Image.Resampling.BILINEAR)
    wall = Image.new("RGB", SIZE)  # every tile of it looks like the whole, nearly
    for left in range(0, 160, 32):
        for top in range(0, 120, 24):
            wall.paste(near, (left, top))
    ids = {bank(client, "first", saved(wall))}
    ids |= {bank(client, "first", saved(picture(seed))) for seed in (2, 3)}
    found = match(client, saved(wall), k=3, min_band="none")
    assert {each["item_id"] for each in found} == ids
    assert len(found) == 3


def test_bytes_that_are_banked_already_stay_as_they_are(
    client: FlaskClient, service: Runtime, make_bank: MakeBank, jpeg: Callable[[int], bytes]
) -> None:
    make_bank("first", tiles=4)
    item_id = bank(client, "first", jpeg(1))
    again = client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg")
    assert again.get_json()["item_id"] == item_id
    assert rows(service) == 5


def test_a_blank_part_of_a_picture_is_no_tile(
    client: FlaskClient, service: Runtime, make_bank: MakeBank, picture: Picture
) -> None:
    make_bank("first", tiles=4)
    sky = Image.new("RGB", (160, 240), (120, 160, 220))
    sky.paste(picture(1), (0, 150))
    bank(client, "first", saved(sky))
    assert rows(service) == 3  # the whole, and the two tiles that show the ground
    assert match(client, saved(sky.crop((0, 0, 96, 144)))) == []


@pytest.mark.parametrize("tiles", [1, -4, 16, "4", 4.5, True, False, None])
def test_other_numbers_of_tiles_are_refused(tiles: object, client: FlaskClient) -> None:
    answer = client.put("/v1/banks/first", json={"purpose": "harmful", "settings": {"tiles": tiles}})
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == "/settings/tiles"


def test_the_rate_to_expect_counts_every_tile(
    client: FlaskClient, service: Runtime, make_bank: MakeBank, picture: Picture
) -> None:
    make_bank("first", tiles=9)
    for seed in range(8):
        bank(client, "first", saved(picture(seed)))
    found = match(client, saved(picture(99)), k=1, min_band="none")
    record = service.spaces[0].space.calibration
    assert record is not None
    assert found[0]["semantic"]["expected_fpr"] == record.expected_fpr(record.related, 80)


Done = Callable[..., Job]


@pytest.fixture
def done(service: Runtime) -> Done:
    """Does a job to its end."""

    def run(kind: str = "tiles", **options: Any) -> Job:
        kinds = job_kinds(service, None)
        job = service.catalog.jobs.create(kind, kinds[kind].checked({"bank": "first", **options}))
        runner = Runner(service.catalog.jobs, kinds, service.settings.jobs_dir, service.log, RunnerRules(attempts=1))
        runner.work_through(job.job_id)
        service.views.follow()
        return service.catalog.jobs.get(job.job_id)

    return run


def wants(client: FlaskClient, tiles: int) -> None:
    answer = client.put("/v1/banks/first", json={"purpose": "harmful", "settings": {"tiles": tiles}})
    assert answer.status_code == 200


def test_what_is_there_is_brought_to_the_setting_and_back(
    client: FlaskClient, service: Runtime, png: Callable[[int], bytes], done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.tiles._PAGE", 2)
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    ids = [bank(client, "first", png(seed)) for seed in range(5)]
    client.post("/v1/banks/first/items", json={"pdq": "0" * 64})
    for tiles in (9, 4, 0, 4):
        wants(client, tiles)
        job = done()
        assert job.state is JobState.SUCCEEDED, job.error
        assert job.result == {
            "tiles": tiles,
            "spaces": {SPACE: {"filled": 5, "failed": 0, "without_original": 0}},
        }
        assert (job.progress.counts, job.progress.total) == ({"done": 5, "tiled": 5}, 5)
        assert rows(service) == 5 * (1 + tiles)
        found = match(client, png(3), k=1)
        assert [each["item_id"] for each in found] == [ids[3]]
    crop = saved(corner(Image.open(io.BytesIO(png(2)))))
    assert [each["item_id"] for each in match(client, crop)] == [ids[2]]
    assert (done().progress.counts, rows(service)) == ({}, 25)


def test_what_has_no_original_keeps_what_it_has_and_is_counted(
    client: FlaskClient, service: Runtime, make_bank: MakeBank, jpeg: Callable[[int], bytes], done: Done
) -> None:
    make_bank()
    for seed in range(3):
        bank(client, "first", jpeg(seed))
    signature = {"embedder_id": SPACE, "embeddings": [[1.0] + [0.0] * 47], "pdq": []}
    assert client.post("/v1/banks/first/items", json=signature).status_code == 201
    service.originals.delete(hashlib.sha256(jpeg(1)).hexdigest())
    wants(client, 4)
    job = done()
    assert job.state is JobState.SUCCEEDED, job.error
    assert (job.result or {})["spaces"] == {SPACE: {"filled": 2, "failed": 1, "without_original": 1}}
    assert job.progress.counts == {"done": 3, "tiled": 2, "failed": 1}
    assert rows(service) == 5 + 5 + 1 + 1
    assert len(match(client, jpeg(1))) == 1


@pytest.fixture
def half_done(client: FlaskClient, service: Runtime, png: Callable[[int], bytes]) -> tuple[JobId, Runner]:
    """A job for four tiles of five items that was stopped after two of them, and who can go on with it."""
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    for seed in range(5):
        bank(client, "first", png(seed))
    wants(client, 4)
    catalog, kinds = service.catalog, job_kinds(service, None)
    job_id = catalog.jobs.create("tiles", kinds["tiles"].checked({"bank": "first"})).job_id
    first, second = (Runner(catalog.jobs, kinds, service.settings.jobs_dir, service.log) for _ in range(2))
    put = catalog.tiles.put

    def last(*given: Any) -> int:
        first.stop()
        return put(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("service.jobs.tiles._PAGE", 2)
        patched.setattr(catalog.tiles, "put", last)
        first.work_through(job_id)
    assert catalog.tiles.coverage("first", service.spaces[0].id).filled == 2
    return job_id, second


def test_a_job_that_is_interrupted_goes_on_where_it_stopped(service: Runtime, half_done: tuple[JobId, Runner]) -> None:
    job_id, second = half_done
    second.work_through(job_id)
    ended = service.catalog.jobs.get(job_id)
    assert (ended.state, ended.progress.counts) == (JobState.SUCCEEDED, {"done": 5, "tiled": 5})


def test_a_bank_that_is_gone_ends_its_job(client: FlaskClient, make_bank: MakeBank, done: Done) -> None:
    make_bank()
    client.delete("/v1/banks/first")
    assert done().state is JobState.FAILED


def test_a_job_that_fills_a_bank_tiles_what_it_banks(
    service: Runtime, make_bank: MakeBank, jpeg: Callable[[int], bytes], tmp_path: Path, done: Done
) -> None:
    make_bank(tiles=4)
    (tmp_path / "archive").mkdir()
    for seed in range(3):
        (tmp_path / "archive" / f"{seed}.jpg").write_bytes(jpeg(seed))
    assert done("ingest", sources=[str(tmp_path / "archive")]).state is JobState.SUCCEEDED
    assert rows(service) == 15


def test_a_setting_that_changes_while_a_job_runs_is_what_the_bank_ends_with(
    client: FlaskClient, service: Runtime, png: Callable[[int], bytes], done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.tiles._PAGE", 2)
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    for seed in range(5):
        bank(client, "first", png(seed))
    wants(client, 4)
    put, pages = service.catalog.tiles.put, []

    def changed_after_one(*given: Any) -> int:
        pages.append(put(*given))
        if len(pages) == 1:
            wants(client, 9)
        return pages[-1]

    monkeypatch.setattr(service.catalog.tiles, "put", changed_after_one)
    job = done()
    assert (job.state, (job.result or {})["spaces"][SPACE]["filled"]) == (JobState.SUCCEEDED, 5)
    assert rows(service) == 50


def test_a_job_that_is_gone_on_with_after_the_setting_changed_begins_anew(
    client: FlaskClient, service: Runtime, half_done: tuple[JobId, Runner]
) -> None:
    job_id, second = half_done
    wants(client, 0)
    second.work_through(job_id)
    assert service.catalog.tiles.coverage("first", service.spaces[0].id).filled == 5
    service.views.follow()
    assert rows(service) == 5
