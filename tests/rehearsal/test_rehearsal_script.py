"""The event as it is written: the same for the same seed, and with everything in it that a rehearsal is about."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.rehearsal.agenda import Agenda
from service.rehearsal.clock import EventClock
from service.rehearsal.errors import BadKeyFile
from service.rehearsal.parties import read_keys
from service.rehearsal.pictures import Cast, TooFewPictures, Wanted, photographs
from service.rehearsal.plot import write_plot
from service.rehearsal.records import Catch, Hash, Log, Means, Milestone, Seen
from service.rehearsal.scoring import score
from service.rehearsal.script import PLATFORMS, Kind, Plan, Script, write
from service.rehearsal.versions import Grade, Version

PLAN = Plan(seed=3, minutes=120, versions=24, benign=20)


def _picture(seed: int) -> Image.Image:
    """Fields of colour with something happening everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    return Image.fromarray(coarse).resize((240, 180), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def cast() -> Cast:
    made = [_picture(seed) for seed in range(PLAN.footage + PLAN.benign_pictures + 4)]
    lent, rest = made[:4], made[4:]
    return Cast(tuple(rest[: PLAN.footage]), tuple(rest[PLAN.footage :]), tuple(lent))


@pytest.fixture(scope="module")
def script(cast: Cast) -> Script:
    return write(PLAN, cast)


def test_the_same_seed_writes_the_same_event(cast: Cast, script: Script) -> None:
    assert write(PLAN, cast) == script


def test_another_seed_writes_another_event(cast: Cast, script: Script) -> None:
    other = write(Plan(seed=4, minutes=120, versions=24, benign=20), cast)
    assert [upload.minute for upload in other.uploads] != [upload.minute for upload in script.uploads]


def test_everything_that_a_rehearsal_is_about_is_in_it(script: Script) -> None:
    count = {kind: sum(upload.kind is kind for upload in script.uploads) for kind in Kind}
    assert (count[Kind.VERSION], count[Kind.BENIGN]) == (24, 20)
    assert count[Kind.NEWS] >= 2
    assert count[Kind.TROLL] >= 1
    assert {upload.platform for upload in script.uploads} == set(PLATFORMS)
    assert {upload.source for upload in script.uploads if upload.of_footage} == set(range(PLAN.footage))


def test_uploads_come_in_order_within_the_event_and_no_two_are_the_same_bytes(script: Script) -> None:
    minutes = [upload.minute for upload in script.uploads]
    assert minutes == sorted(minutes)
    assert 0 <= minutes[0] <= minutes[-1] <= 120
    assert len({upload.data for upload in script.uploads}) == len(script.uploads)
    assert len({upload.upload_id for upload in script.uploads}) == len(script.uploads)


def test_every_picture_of_the_footage_surfaces_as_it_is_and_is_edited_from_then_on(script: Script) -> None:
    for source in range(PLAN.footage):
        own = [upload for upload in script.uploads if upload.source == source and upload.kind is Kind.VERSION]
        assert own[0].edits == ()
        assert all(upload.edits for upload in own[1:])


def test_some_footage_is_reported_after_it_surfaced_and_some_never(script: Script) -> None:
    by_id = {upload.upload_id: upload for upload in script.uploads}
    reported = {by_id[report.upload_id].source for report in script.reports}
    assert 0 < len(reported) < PLAN.footage
    assert all(report.minute > by_id[report.upload_id].minute for report in script.reports)


def test_one_broadcaster_declares_itself_and_the_other_does_not(script: Script) -> None:
    news = [upload for upload in script.uploads if upload.kind is Kind.NEWS]
    assert {upload.publisher for upload in news} == {PLAN.publisher, None}
    assert all(upload.minute > script.broadcast.minute for upload in news if upload.publisher is None)


def test_the_troll_claims_to_be_news_under_a_name_that_is_not_trusted(script: Script) -> None:
    trolls = [upload for upload in script.uploads if upload.kind is Kind.TROLL]
    assert all(upload.context == "news" and upload.publisher != PLAN.publisher for upload in trolls)


def test_uploads_are_pictures_of_the_size_that_platforms_make_of_them(script: Script) -> None:
    for upload in script.uploads[:10]:
        with Image.open(io.BytesIO(upload.data)) as opened:
            assert max(opened.size) <= 1280


@pytest.mark.parametrize(
    ("edits", "grade"),
    [
        ((), Grade.SENT_ON),
        (("jpeg", "resize"), Grade.SENT_ON),
        (("jpeg", "mirror"), Grade.LIGHT),
        (("grey", "caption"), Grade.FRAMED),
        (("mirror", "refilmed"), Grade.HARD),
        (("screenshot", "refilmed"), Grade.COMPOSED),
    ],
)
def test_a_version_is_as_hard_as_what_was_done_to_it(edits: tuple[str, ...], grade: Grade) -> None:
    assert Version(_picture(0), edits).grade is grade


def test_photographs_that_are_copies_flat_or_broken_are_left_out(tmp_path: Path) -> None:
    for place in range(4):
        _picture(place).save(tmp_path / f"{place}.png")
    _picture(0).save(tmp_path / "again.jpg", quality=60)
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "flat.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    cast = photographs(tmp_path, Wanted(footage=2, benign=1, lent=1), seed=1)
    assert (len(cast.footage), len(cast.benign), len(cast.lent)) == (2, 1, 1)
    with pytest.raises(TooFewPictures, match="5 different pictures are needed, and 4"):
        photographs(tmp_path, Wanted(footage=2, benign=2, lent=1), seed=1)


def test_deeds_are_done_in_the_order_of_their_minutes_and_of_the_same_minute_as_noted() -> None:
    agenda, done = Agenda(), []
    for minute, name in ((5.0, "b"), (3.0, "a"), (5.0, "c")):
        agenda.note(minute, lambda _, name=name: done.append(name))
    while agenda.next_minute() is not None:
        minute, deed = agenda.take()
        deed(minute)
    assert done == ["a", "b", "c"]


def test_a_paced_clock_waits_for_a_minute_and_a_free_one_does_not() -> None:
    slept: list[float] = []
    EventClock(60, 1, now=lambda: 0.0, sleep=slept.append).reach(30)
    EventClock(60, None, now=lambda: 0.0, sleep=slept.append).reach(30)
    assert slept == [30]


def test_a_key_file_names_four_platforms_and_two_centers(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    platforms = {name: f"key of {name}" for name in ("a", "b", "c", "d")}
    path.write_text(json.dumps({"platforms": platforms, "centers": {"x": "1", "y": "2"}}))
    assert list(read_keys(path)) == ["a", "b", "c", "d", "x", "y"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"platforms": {}}',
        '{"platforms": {"a": "1", "b": "2", "c": "3"}, "centers": {"x": "5", "y": "6"}}',
        '{"platforms": {"a": "1", "b": "2", "c": "3", "d": "4"}, "centers": {"a": "5", "y": "6"}}',
        '{"platforms": {"a": "1", "b": "2", "c": "3", "d": 4}, "centers": {"x": "5", "y": "6"}}',
    ],
)
def test_another_key_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(BadKeyFile):
        read_keys(path)


def test_the_plot_shows_in_colour_what_was_caught_and_in_red_what_was_not(script: Script, tmp_path: Path) -> None:
    log = Log(script.minutes, PLATFORMS, milestones=[Milestone(30, "confirmed")])
    for upload in script.uploads:
        log.seen.append(Seen(upload, "none", "none", (), Hash(bytes(32), 0), 0.01, None))
    missed, everything = tmp_path / "missed.png", tmp_path / "caught.png"
    write_plot(score(log), "Nothing was caught", missed)
    log.catches.extend(Catch(upload.upload_id, upload.minute + 5, Means.RETRO_SCAN) for upload in script.uploads)
    write_plot(score(log), "Everything was caught", everything)
    red, blue = (204, 48, 48), (45, 108, 214)
    assert _share_of(missed, red) > 5 * _share_of(missed, blue)
    assert _share_of(everything, blue) > 5 * _share_of(missed, blue)


def _share_of(path: Path, colour: tuple[int, int, int]) -> float:
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.int16)
    return float((np.abs(pixels - colour).max(axis=-1) < 12).mean())
