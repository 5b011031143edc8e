"""Several things under way at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from service.concurrently import concurrently


def results(ended: "list[tuple[int, Future[int]]]") -> list[int]:
    return [future.result() for _, future in ended]


@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_outcomes_come_in_the_order_of_the_items(count: int) -> None:
    assert results(list(concurrently(lambda number: number * number, range(count), 3))) == [n * n for n in range(count)]


def test_a_failure_is_its_own_items() -> None:
    ended = dict(concurrently(lambda number: 1 // number, [1, 0, 2], 2))
    assert isinstance(ended[0].exception(), ZeroDivisionError)
    assert ended[1].result() == 1


def test_they_do_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=20)
    assert len(list(concurrently(lambda _: meeting.wait(), range(2), 2))) == 2


def test_an_endless_list_is_taken_as_far_as_it_is_asked_for() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    ended = concurrently(lambda number: number, numbers(), 2)
    assert next(ended)[0] == 0
    ended.close()
    assert len(taken) < 20
