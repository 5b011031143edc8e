"""Several things under way at once, few of them in memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def concurrently(
    work: Callable[[Item], Outcome], items: Iterable[Item], jobs: int, ahead: int = 4
) -> Generator[tuple[Item, "Future[Outcome]"]]:
    """
    Each item with its ended future, in the order of the items, however many there are.

    At most `ahead` times as many are begun and not yet taken as are under way.

    Closing it lets those under way end and begins no other.
    """
    with ThreadPoolExecutor(jobs) as pool:
        under_way: deque[tuple[Item, Future[Outcome]]] = deque()
        try:
            for item in items:
                under_way.append((item, pool.submit(work, item)))
                if len(under_way) >= ahead * jobs:
                    yield _ended(under_way)
            while under_way:
                yield _ended(under_way)
        finally:
            for _, future in under_way:
                future.cancel()


def _ended(under_way: "deque[tuple[Item, Future[Outcome]]]") -> tuple[Item, "Future[Outcome]"]:
    item, future = under_way[0]
    future.exception()  # waits for it; whoever takes it looks at what came of it
    under_way.popleft()
    return item, future
