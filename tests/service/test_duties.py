"""The keeper of the duties: whose turn it is, and what one duty's failure does to the others."""

import io
import json
from collections.abc import Callable

import pytest

from index.catalog.duties import Step, Turn
from index.errors import LeaseLost
from service.duties.keeper import DutyKeeper
from service.logs import open_log
from service.owners import new_owner
from service.runtime import Runtime


class Count:
    """Advances by one at each step, up to three; fails where it is told to."""

    def __init__(self, service: Runtime, name: str, failures: int = 0) -> None:
        self.name = name
        self.failures = failures
        self._table = service.catalog.duties

    def step(self, turn: Turn) -> bool:
        if self.failures:
            self.failures -= 1
            raise ValueError("a secret of somebody's upload")
        done = self._table.cursor(self.name)
        if done < 3:
            self._table.advance(Step(turn, self.name, done + 1))
        return done < 3


@pytest.fixture
def keeper_of(service: Runtime) -> Callable[..., DutyKeeper]:
    def made(*duties: Count, **options: object) -> DutyKeeper:
        log = open_log("info", options.pop("log", io.StringIO()))  # type: ignore[arg-type]
        return DutyKeeper(duties, service.catalog.duties, log, service.metrics, **options)  # type: ignore[arg-type]

    return made


def test_a_duty_that_fails_is_told_counted_and_tried_later_and_harms_no_other(
    service: Runtime, keeper_of: Callable[..., DutyKeeper]
) -> None:
    now = [0.0]
    log = io.StringIO()
    keeper = keeper_of(Count(service, "bad", failures=2), Count(service, "good"), clock=lambda: now[0], log=log)
    keeper.work_through()
    assert service.catalog.duties.cursor("good") == 3
    assert service.catalog.duties.cursor("bad") == 0
    now[0] = 1.0
    keeper.work_through()
    now[0] = 2.9
    keeper.work_through()
    assert service.catalog.duties.cursor("bad") == 0, "it has failed twice, and waits longer"
    now[0] = 3.0
    keeper.work_through()
    assert service.catalog.duties.cursor("bad") == 3
    assert 'afterimage_duty_failures_total{duty="bad"} 2.0' in service.metrics.exposition().decode()
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["failures"] for line in told if line["event"] == "a duty failed"] == [1, 2]
    assert "secret" not in log.getvalue()


def test_a_process_that_is_dead_is_not_waited_for(service: Runtime, keeper_of: Callable[..., DutyKeeper]) -> None:
    machine, _, rest = new_owner().partition("/")
    dead = f"{machine}/{2**22 + 1}/{rest.rpartition('/')[2]}"
    assert service.catalog.duties.take_turn(dead, 3600)
    keeper = keeper_of(Count(service, "count"))
    keeper.work_through()
    assert service.catalog.duties.cursor("count") == 3
    assert service.catalog.duties.holder() == keeper.owner


def test_one_that_lives_elsewhere_keeps_its_turn(service: Runtime, keeper_of: Callable[..., DutyKeeper]) -> None:
    assert service.catalog.duties.take_turn("another-machine.0badcafe/7/1234", 3600)
    keeper = keeper_of(Count(service, "count"))
    assert not keeper.round()
    assert service.catalog.duties.cursor("count") == 0


def test_who_loses_the_turn_in_a_step_lets_go_of_what_it_held(
    service: Runtime, keeper_of: Callable[..., DutyKeeper]
) -> None:
    ended: list[str] = []
    first = keeper_of(Count(service, "count"), at_end=lambda: ended.append("first"))
    second = keeper_of(Count(service, "count"))
    first.round()
    service.catalog.duties.end_turn([first.owner])  # as if it had not been heard of for too long
    second.round()
    assert not first.round()
    assert ended == ["first"]
    assert service.catalog.duties.cursor("count") == 2
    second.close()
    first.round()
    assert service.catalog.duties.cursor("count") == 3
    first.close()


def test_closing_hands_the_turn_over_and_starting_does_the_duties(
    service: Runtime, keeper_of: Callable[..., DutyKeeper]
) -> None:
    keeper = keeper_of(Count(service, "count"))
    keeper.start()
    while service.catalog.duties.cursor("count") < 3:
        pass
    keeper.close()
    assert service.catalog.duties.holder() is None


def test_nothing_is_written_while_there_is_nothing_to_do(service: Runtime) -> None:
    service.duties.work_through()
    log = service.settings.data_dir / "catalog.db-wal"
    size = log.stat().st_size
    for _ in range(20):
        service.duties.round()
    assert log.stat().st_size == size


def test_a_turn_that_is_had_again_is_a_new_one(service: Runtime, keeper_of: Callable[..., DutyKeeper]) -> None:
    """A process stood still, another did some duties and gave back: what the first remembers is of before that."""
    now = 0.0
    turns: list[Turn] = []
    ended: list[str] = []

    class Seen(Count):
        def step(self, turn: Turn) -> bool:
            turns.append(turn)
            return super().step(turn)

    first = keeper_of(Seen(service, "count"), at_end=lambda: ended.append("first"), clock=lambda: now)
    second = keeper_of(Count(service, "count"))
    first.round()
    service.catalog.duties.end_turn([first.owner])  # as if it had not been heard of for too long
    second.round()
    second.close()
    now = 3600.0
    assert not first.round(), "it hears of it before it does anything"
    assert ended == ["first"]
    first.round()
    assert len(set(turns)) == 2
    with pytest.raises(LeaseLost):
        service.catalog.duties.advance(Step(turns[0], "count", 1))
    first.close()
