"""Jobs: parts are held by one worker at a time, and written by nobody else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from index.catalog import Catalog
from index.errors import BadCursor, JobStateConflict, LeaseLost, UnknownJob
from index.records.items import Added, NewItem
from index.records.jobs import FINISH, PLAN, Claim, Job, JobState, Plan, Progress, Standing

LEASE_S = 60.0


class Clock:
    """The time, told by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(catalog: Catalog, url: str, clock: Clock) -> Iterator[Catalog]:
    """The same, living by that clock."""
    catalog.close()
    with closing(Catalog.open(url, clock)) as ours:
        yield ours


def claimed(catalog: Catalog, owner: str = "first") -> Claim:
    claim = catalog.jobs.claim(owner, LEASE_S)
    assert claim is not None
    return claim


def planned(catalog: Catalog, parts: int) -> Job:
    job = catalog.jobs.create("count", {"to": parts})
    catalog.jobs.planned(claimed(catalog).lease, Plan([{"number": number} for number in range(parts)], parts))
    return job


def further(catalog: Catalog, claim: Claim, at: int, **counts: int) -> Progress:
    return Progress(claim.lease, catalog.jobs.until(LEASE_S), {"at": at}, counts)


def test_a_job_is_planned_then_done_in_parts_then_finished(catalog: Catalog) -> None:
    job = catalog.jobs.create("count", {"to": 2})
    plan = claimed(catalog)
    assert (plan.lease.part_no, plan.kind, plan.options) == (PLAN, "count", {"to": 2})
    assert catalog.jobs.claim("second", LEASE_S) is None
    catalog.jobs.planned(plan.lease, Plan([{"number": 0}, {"number": 1}], 2))

    one, two = claimed(catalog, "first"), claimed(catalog, "second")
    assert [one.span, two.span] == [{"number": 0}, {"number": 1}]
    catalog.jobs.advance(further(catalog, one, 5, added=5))
    catalog.jobs.done(one.lease)
    assert catalog.jobs.claim("first", LEASE_S) is None, "the end comes when all parts are done"
    catalog.jobs.advance(further(catalog, two, 3, added=2, skipped=1))
    catalog.jobs.done(two.lease)

    last = claimed(catalog)
    assert last.lease.part_no == FINISH
    catalog.jobs.finished(last.lease, {"came": "to this"})
    ended = catalog.jobs.get(job.job_id)
    assert (ended.state, ended.result, ended.error) == (JobState.SUCCEEDED, {"came": "to this"}, None)
    assert (ended.progress.parts, ended.progress.parts_done) == (2, 2)
    assert (dict(ended.progress.counts), ended.progress.total) == ({"added": 7, "skipped": 1}, 2)


def test_a_part_goes_to_another_worker_when_its_lease_has_ended_and_goes_on_from_its_cursor(
    catalog: Catalog, clock: Clock
) -> None:
    planned(catalog, 1)
    dead = claimed(catalog, "dead")
    catalog.jobs.advance(further(catalog, dead, 40, added=40))
    assert catalog.jobs.claim("living", LEASE_S) is None
    clock.pass_by(LEASE_S + 1)
    again = claimed(catalog, "living")
    assert (again.cursor, dict(again.counts), again.span) == ({"at": 40}, {"added": 40}, {"number": 0})


def test_a_worker_that_lost_its_part_can_write_nothing_of_it(
    catalog: Catalog, clock: Clock, picture: Callable[..., NewItem]
) -> None:
    job = planned(catalog, 1)
    slow = claimed(catalog, "slow")
    clock.pass_by(LEASE_S + 1)
    quick = claimed(catalog, "quick")

    def progress(added: "list[Added] | tuple[Added, ...]") -> Progress:
        return further(catalog, slow, 1, added=len(added))

    with pytest.raises(LeaseLost):
        catalog.add_items("known", [picture()], progress)
    with pytest.raises(LeaseLost):
        catalog.jobs.advance(further(catalog, slow, 1))
    with pytest.raises(LeaseLost):
        catalog.jobs.done(slow.lease)
    assert catalog.bank("known").items == 0
    catalog.jobs.give_back(slow.lease)
    catalog.jobs.fail(slow.lease, "no")
    assert catalog.jobs.standing(slow.lease, LEASE_S) is Standing.LOST
    assert catalog.jobs.standing(quick.lease, LEASE_S) is Standing.HELD
    assert catalog.jobs.get(job.job_id).state is JobState.RUNNING


def test_what_a_part_did_and_how_far_it_is_are_written_together(
    catalog: Catalog, picture: Callable[..., NewItem]
) -> None:
    job = planned(catalog, 1)
    claim = claimed(catalog)
    known = picture(sha256="0" * 64)
    first = catalog.add_items(
        "known", [known], lambda added: further(catalog, claim, 1, added=sum(each.created for each in added))
    )
    again = catalog.add_items(
        "known", [known], lambda added: further(catalog, claim, 2, added=sum(each.created for each in added))
    )
    assert [first[0].created, again[0].created] == [True, False]
    assert dict(catalog.jobs.get(job.job_id).progress.counts) == {"added": 1}


def test_a_part_counts_its_tries_since_it_last_got_any_further(catalog: Catalog, clock: Clock) -> None:
    planned(catalog, 1)
    for tries in (1, 2, 3):
        claim = claimed(catalog)
        assert claim.attempts == tries
        catalog.jobs.try_again(claim.lease, 10)
        assert catalog.jobs.claim("first", LEASE_S) is None, "not before its time"
        clock.pass_by(11)
    claim = claimed(catalog)
    catalog.jobs.advance(further(catalog, claim, 1))
    catalog.jobs.try_again(claim.lease, 0)
    assert claimed(catalog).attempts == 2


def test_a_part_that_is_given_back_was_not_tried(catalog: Catalog) -> None:
    planned(catalog, 1)
    catalog.jobs.give_back(claimed(catalog, "stops").lease)
    assert claimed(catalog, "goes on").attempts == 1


def test_a_part_that_cannot_be_done_fails_its_job_and_ends_the_others(catalog: Catalog) -> None:
    job = planned(catalog, 2)
    bad, other = claimed(catalog), claimed(catalog, "second")
    catalog.jobs.fail(bad.lease, "there is no such bank")
    ended = catalog.jobs.get(job.job_id)
    assert (ended.state, ended.error) == (JobState.FAILED, "there is no such bank")
    assert catalog.jobs.standing(other.lease, LEASE_S) is Standing.LOST
    with pytest.raises(LeaseLost):
        catalog.jobs.advance(further(catalog, other, 1))
    assert catalog.jobs.claim("third", LEASE_S) is None


def test_a_job_that_failed_goes_on_where_it_stopped(catalog: Catalog) -> None:
    job = planned(catalog, 2)
    done, bad = claimed(catalog), claimed(catalog)
    catalog.jobs.done(done.lease)
    catalog.jobs.advance(further(catalog, bad, 7, added=7))
    catalog.jobs.fail(bad.lease, "no")
    again = catalog.jobs.retry(job.job_id)
    assert (again.state, again.error, again.attempts) == (JobState.QUEUED, None, 2)
    claim = claimed(catalog)
    assert (claim.lease.part_no, claim.cursor, claim.attempts) == (bad.lease.part_no, {"at": 7}, 1)


def test_only_a_job_that_failed_or_was_cancelled_is_tried_again(catalog: Catalog) -> None:
    job = planned(catalog, 1)
    with pytest.raises(JobStateConflict):
        catalog.jobs.retry(job.job_id)
    with pytest.raises(UnknownJob):
        catalog.jobs.retry("0" * 28)


def test_a_job_nobody_works_on_is_cancelled_at_once(catalog: Catalog) -> None:
    job = catalog.jobs.create("count", {})
    assert catalog.jobs.cancel(job.job_id).state is JobState.CANCELLED
    assert catalog.jobs.claim("first", LEASE_S) is None
    assert catalog.jobs.cancel(job.job_id).state is JobState.CANCELLED
    assert catalog.jobs.retry(job.job_id).state is JobState.QUEUED
    assert claimed(catalog).lease.part_no == PLAN


def test_a_job_under_way_is_cancelled_when_its_workers_let_go(catalog: Catalog, clock: Clock) -> None:
    job = planned(catalog, 2)
    polite, dead = claimed(catalog, "polite"), claimed(catalog, "dead")
    asked = catalog.jobs.cancel(job.job_id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert catalog.jobs.standing(polite.lease, LEASE_S) is Standing.CANCELLED
    catalog.jobs.advance(further(catalog, polite, 1, added=1))  # what is under way may be written
    catalog.jobs.give_back(polite.lease)
    catalog.jobs.settle()
    assert catalog.jobs.get(job.job_id).state is JobState.RUNNING
    clock.pass_by(LEASE_S + 1)
    assert catalog.jobs.claim("third", LEASE_S) is None
    ended = catalog.jobs.get(job.job_id)
    assert (ended.state, dict(ended.progress.counts)) == (JobState.CANCELLED, {"added": 1})
    assert catalog.jobs.standing(dead.lease, LEASE_S) is Standing.LOST


def test_each_part_goes_to_one_of_many_workers_that_ask_at_once(catalog: Catalog) -> None:
    planned(catalog, 24)
    taken: list[int] = []

    def work(owner: str) -> None:
        while (claim := catalog.jobs.claim(owner, LEASE_S)) is not None and claim.lease.part_no != FINISH:
            taken.append(claim.lease.part_no)
            catalog.jobs.done(claim.lease)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 25))


def test_what_dead_workers_hold_is_free_once_they_are_known_to_be_dead(catalog: Catalog) -> None:
    planned(catalog, 1)
    dead = claimed(catalog, "dead")
    assert catalog.jobs.owners() == {"dead"}
    catalog.jobs.take_from({"dead"})
    assert claimed(catalog, "living").lease.part_no == dead.lease.part_no


def test_jobs_are_listed_newest_first_by_state_and_page_by_page(catalog: Catalog, clock: Clock) -> None:
    made = []
    for number in range(5):
        made.append(catalog.jobs.create("count", {"number": number}).job_id)
        clock.pass_by(1)
    catalog.jobs.cancel(made[2])
    first = catalog.jobs.page(2)
    second = catalog.jobs.page(2, first.next)
    third = catalog.jobs.page(2, second.next)
    assert [job.job_id for page in (first, second, third) for job in page.items] == made[::-1]
    assert third.next is None
    assert [job.job_id for job in catalog.jobs.page(9, states=[JobState.CANCELLED]).items] == [made[2]]
    with pytest.raises(BadCursor):
        catalog.jobs.page(2, catalog.banks(1).next)


def test_an_unfinished_job_is_known_by_its_options(catalog: Catalog) -> None:
    job = catalog.jobs.create("count", {"to": 3})
    assert catalog.jobs.unfinished("count", {"to": 3}) == job.job_id
    assert catalog.jobs.unfinished("count", {"to": 4}) is None
    assert catalog.jobs.unfinished("other", {"to": 3}) is None
    claimed(catalog)  # by somebody who may have died since: it is not ended yet, and nobody goes on with it
    assert catalog.jobs.cancel(job.job_id).state is JobState.RUNNING
    assert catalog.jobs.unfinished("count", {"to": 3}) is None
