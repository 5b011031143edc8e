"""Who was caught by which means, judged on logs made by hand."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from service.rehearsal.agenda import Agenda
from service.rehearsal.analyst import Analyst
from service.rehearsal.causes import Causes, found_looking_back
from service.rehearsal.clock import EventClock
from service.rehearsal.desk import Cluster, Desk
from service.rehearsal.hearing import Heard
from service.rehearsal.records import Means
from service.rehearsal.scoring import quantile, score
from service.rehearsal.script import Kind

Stories = Callable[[], Any]
ORIGINAL = bytes(32)
NEAR = bytes(28) + b"\x7f\xff\xff\xff"
"""31 bits away."""
TOO_FAR = bytes(28) + b"\xff\xff\xff\xff"


def test_an_upload_counts_once_by_the_earliest_catch(story: Stories) -> None:
    told = story().upload("v", 10).caught("v", 40, Means.RETRO_SCAN).caught("v", 25, Means.EMERGING_CLUSTER)
    outcome = score(told.caught("v", 31, Means.VARIANT).log)
    assert outcome.by_means == {
        Means.MATCH: 0, Means.RETRO_SCAN: 0, Means.VARIANT: 0, Means.EMERGING_CLUSTER: 1,
    }  # fmt: skip
    assert outcome.delays == [15]


def test_at_the_same_minute_the_means_that_needs_nobody_comes_first(story: Stories) -> None:
    told = story().upload("v", 10).caught("v", 20, Means.VARIANT).caught("v", 20, Means.RETRO_SCAN)
    assert score(told.log).by_means[Means.RETRO_SCAN] == 1


def test_what_nobody_caught_is_missed_and_has_no_delay(story: Stories) -> None:
    outcome = score(story().upload("v", 10).upload("w", 12).caught("w", 12, Means.MATCH).log)
    assert [fate.upload.upload_id for fate in outcome.missed] == ["v"]
    assert outcome.to_json()["share_caught"] == 0.5
    assert outcome.delays == [0]


def test_the_troll_is_one_more_version_and_news_and_everyday_uploads_are_none(story: Stories) -> None:
    told = story().upload("v", 1).upload("t", 2, Kind.TROLL).upload("n", 3, Kind.NEWS).upload("b", 4, Kind.BENIGN)
    assert [fate.upload.upload_id for fate in score(told.log).fates] == ["v", "t"]


def test_pdq_alone_catches_only_what_is_near_to_something_banked_before(story: Stories) -> None:
    told = story().banked("first", 20, ORIGINAL)
    told.upload("before", 10, digest=ORIGINAL).upload("near", 30, digest=NEAR).upload("far", 30, digest=TOO_FAR)
    outcome = score(told.log)
    assert {fate.upload.upload_id: fate.pdq_minute for fate in outcome.fates} == {
        "before": None, "near": 30, "far": None,
    }  # fmt: skip
    assert (outcome.by_pdq, outcome.by_pdq_later) == (1, 2)


def test_pdq_alone_given_the_reports_has_not_what_only_discovery_has_banked(story: Stories) -> None:
    told = story().banked("reported", 20, ORIGINAL).upload("v", 30, digest=ORIGINAL).upload("w", 30, digest=TOO_FAR)
    told.banked("discovered", 20, TOO_FAR, why="variant")
    outcome = score(told.log)
    assert (outcome.by_pdq, outcome.by_pdq_of_reports) == (2, 1)


def test_pdq_alone_would_look_back_when_something_is_banked(story: Stories) -> None:
    (fate,) = score(story().banked("first", 20, ORIGINAL).upload("before", 10, digest=ORIGINAL).log).fates
    assert fate.pdq_later_minute == 20


@pytest.mark.parametrize(("of_upload", "of_banked"), [(49, 100), (100, 49)])
def test_a_hash_of_little_quality_is_compared_with_none(story: Stories, of_upload: int, of_banked: int) -> None:
    told = story().banked("first", 20, ORIGINAL, quality=of_banked).upload("v", 30, digest=ORIGINAL, quality=of_upload)
    assert score(told.log).by_pdq == 0


def test_news_stands_unless_it_is_blocked(story: Stories) -> None:
    held = story().upload("n", 1, Kind.NEWS, action="review", reasons=["public_interest_cap"])
    assert score(held.log).news_stands
    assert score(held.log).news.capped == 1
    assert not score(held.upload("m", 2, Kind.NEWS, action="block").log).news_stands


def test_a_troll_who_is_held_for_news_is_let_through(story: Stories) -> None:
    stopped = story().upload("t", 1, Kind.TROLL, action="block", reasons=["public_interest_cap"])
    assert score(stopped.log).troll_is_no_news
    stopped.upload("u", 2, Kind.TROLL, action="review", reasons=["public_interest_cap"])
    assert not score(stopped.log).troll_is_no_news


def test_everyday_uploads_are_false_alarms_at_upload_or_afterwards_and_count_once(story: Stories) -> None:
    told = story().upload("b", 1, Kind.BENIGN).upload("c", 2, Kind.BENIGN, action="review").upload("d", 3, Kind.BENIGN)
    told.caught("c", 5, Means.RETRO_SCAN).caught("d", 5, Means.RETRO_SCAN)
    outcome = score(told.log)
    assert (outcome.benign.stopped, outcome.benign_pulled, outcome.false_alarms) == (1, 1, 2)


def test_what_matches_only_what_others_have_banked_is_no_alarm_of_the_rehearsal(story: Stories) -> None:
    assert score(story().upload("b", 1, Kind.BENIGN, action="block", ours=False).log).false_alarms == 0


def test_nothing_uploaded_is_no_division_by_zero(story: Stories) -> None:
    answer = score(story().log).to_json()
    assert answer["share_caught"] is None
    assert answer["minutes_to_catch"]["median"] is None


def test_nine_of_ten_are_within_the_p90() -> None:
    assert quantile([float(value) for value in range(1, 11)], 0.9) == 9
    assert quantile([1.0, 2.0], 0.5) == 1.5


class _Seconds:
    """Our time, as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _told(sighting: str, item: str | None, at_s: float, band: str = "variant") -> Heard:
    data = {"sighting_id": sighting, "item_id": item, "band": band}
    return Heard({"kind": "retro_match", "data": data}, at_s, 0.0)


class _FakeDesk:
    """One unknown cluster: an upload of this rehearsal, and two of an earlier one."""

    incident_id = "one"

    def clusters(self) -> list[Cluster]:
        return [Cluster("c", 3, ())]

    def variants(self) -> list[Cluster]:
        return []

    def members(self, _: str) -> list[str]:
        return ["of yesterday", "of yesterday, too", "sighting of v"]

    def bank_sighting(self, sighting_id: str) -> str:
        return f"item of {sighting_id}"


def test_uploads_of_an_earlier_rehearsal_do_not_outvote_those_of_this_one(story: Stories) -> None:
    told, agenda = story().upload("v", 10), Agenda()
    sightings = {told.log.seen[0].sighting_id or "": told.log.seen[0]}
    causes = Causes(EventClock(360, None, now=_Seconds()))
    Analyst(cast(Desk, _FakeDesk()), agenda, told.log, causes, sightings).look(20)
    minute, judge = agenda.take()
    judge(minute)
    assert [(catch.upload_id, catch.means) for catch in told.log.catches] == [("v", Means.EMERGING_CLUSTER)]


def test_looking_back_takes_the_seconds_of_the_service_after_the_minute_of_the_person(story: Stories) -> None:
    causes = Causes(EventClock(360, None, now=_Seconds()))
    causes.banked("item", 50, 100.0)
    seen = story().upload("v", 10).log.seen[0]
    (catch,) = found_looking_back([_told(seen.sighting_id, "item", 103.0)], causes, {seen.sighting_id: seen})
    assert catch.minute == pytest.approx(50 + 3 / 60)


def test_what_was_banked_before_the_incident_was_confirmed_is_found_when_it_is(story: Stories) -> None:
    causes = Causes(EventClock(360, None, now=_Seconds()))
    causes.banked("item", 50, 100.0)
    causes.confirmed(56, 120.0)
    seen = story().upload("v", 10).log.seen[0]
    (catch,) = found_looking_back([_told(seen.sighting_id, "item", 120.6)], causes, {seen.sighting_id: seen})
    assert catch.minute == pytest.approx(56.01)


@pytest.mark.parametrize(
    "told",
    [
        _told("sighting of v", "another rehearsal's", 130.0),
        _told("somebody else's", "item", 130.0),
        _told("sighting of v", "item", 130.0, band="related"),
        Heard({"kind": "match", "data": {"sighting_id": "sighting of v", "item_id": "item"}}, 130.0, 0.0),
    ],
)
def test_other_events_catch_nothing(story: Stories, told: Heard) -> None:
    causes = Causes(EventClock(360, None, now=_Seconds()))
    causes.banked("item", 50, 100.0)
    seen = story().upload("v", 10).log.seen[0]
    assert found_looking_back([told], causes, {seen.sighting_id: seen}) == []
