"""Whose turn it is to do what one process does for all, and what is left when that process is killed."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.errors import LeaseLost
from index.records.changes import Version
from index.records.sightings import EdgeRows, NewSighting

KEEP = timedelta(days=7)
LINKS = """
import sys
import numpy as np
from index.catalog import Catalog
from index.catalog.duties import Step
from index.records.sightings import EdgeRows
catalog = Catalog.open(sys.argv[1])
turn = catalog.duties.take_turn("the one that dies", 3600)
while True:
    key = catalog.duties.cursor("link") + 1
    edges = EdgeRows(np.array([key]), np.array([key - 1]), np.array([0.9]), np.array([3]))
    catalog.sightings.link(Step(turn, "link", key), edges)
    print(key, flush=True)
"""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def two(url: str, clock: Clock) -> Iterator[tuple[Catalog, Catalog]]:
    """The same catalog, open in two places."""
    opened = Catalog.open(url, clock), Catalog.open(url, clock)
    yield opened
    for one in opened:
        one.close()


def sighting(**changes: object) -> NewSighting:
    values: dict[str, object] = {
        "platform": "alpha",
        "upload_id": None,
        "observed_at": None,
        "publisher": None,
        "context": None,
        "kind": "image",
        "band": "none",
        "action": "none",
        "reasons": (),
        "index_version": Version(0),
        "frames": (),
    }
    return NewSighting(**(values | changes))  # type: ignore[arg-type]


def edge(key: int, earlier: int) -> EdgeRows:
    return EdgeRows(np.array([key]), np.array([earlier]), np.array([0.9]), np.array([3]))


def test_one_has_the_turn_and_the_next_has_it_when_that_one_is_not_heard_of(
    two: tuple[Catalog, Catalog], clock: Clock
) -> None:
    here, there = two[0].duties, two[1].duties
    assert here.take_turn("here", 10) == Turn("here")
    assert there.take_turn("there", 10) is None
    clock.now += timedelta(seconds=9)
    assert here.take_turn("here", 10) == Turn("here"), "it is kept for longer"
    clock.now += timedelta(seconds=9)
    assert there.take_turn("there", 10) is None
    clock.now += timedelta(seconds=1)
    assert there.take_turn("there", 10) == Turn("there")
    assert here.take_turn("here", 10) is None
    assert here.holder() == "there"


def test_a_turn_is_kept_only_by_who_still_has_it(two: tuple[Catalog, Catalog], clock: Clock) -> None:
    here, there = two[0].duties, two[1].duties
    mine = here.take_turn("here", 10)
    assert mine is not None
    clock.now += timedelta(seconds=60)
    assert here.keep_turn(mine, 10), "it has run out, and nobody took it"
    assert there.take_turn("there", 10) is None
    clock.now += timedelta(seconds=10)
    assert there.take_turn("there", 10) == Turn("there")
    assert not here.keep_turn(mine, 10)
    there.end_turn(["there"])
    assert not here.keep_turn(mine, 10), "what it knew may be old by now"
    assert here.holder() is None


def test_who_gives_the_turn_back_is_followed_at_once(two: tuple[Catalog, Catalog]) -> None:
    two[0].duties.take_turn("here", 3600)
    two[0].duties.end_turn(["somebody else"])
    assert two[1].duties.take_turn("there", 10) is None
    two[0].duties.end_turn(["here"])
    assert two[1].duties.take_turn("there", 10) is not None


def test_what_a_process_writes_after_its_turn_is_not_there(two: tuple[Catalog, Catalog], clock: Clock) -> None:
    """It was held up, say, and does not know yet that another has taken over."""
    old, new = two
    for _ in range(2):
        old.sightings.record(sighting(), KEEP)
    stale = old.duties.take_turn("old", 10)
    assert stale is not None
    clock.now += timedelta(seconds=10)
    assert new.duties.take_turn("new", 10) is not None
    for late in (
        lambda: old.sightings.link(Step(stale, "link", 2), edge(2, 1)),
        lambda: old.duties.advance(Step(stale, "link", 2)),
        lambda: old.sightings.forget(Step(stale, "forget", 0), timedelta(0), 10),
        lambda: old.sightings.note_found(Step(stale, "look_back", 1), []),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert new.duties.cursor("link") == 0
    assert len(new.sightings.edges_between(0, 10).keys) == 0
    assert new.sightings.oldest() == 1


def test_killing_who_links_leaves_every_sighting_linked_once(url: str) -> None:
    catalog = Catalog.open(url)
    for _ in range(40):
        catalog.sightings.record(sighting(), KEEP)
    worker = subprocess.Popen([sys.executable, "-c", LINKS, url], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    lines = [worker.stdout.readline() for _ in range(8)]
    worker.kill()
    lines += [line for line in worker.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    worker.stdout.close()
    worker.wait()
    cursor = catalog.duties.cursor("link")
    assert cursor - int(lines[-1]) in {0, 1}, "at most the one between the commit and saying so"
    written = catalog.sightings.edges_between(0, 1000)
    assert written.keys.tolist() == list(range(2, min(cursor, 40) + 1)), "the first has none before it"
    catalog.duties.end_turn(["the one that dies"])
    turn = catalog.duties.take_turn("the next", 15)
    assert turn is not None
    for key in range(cursor + 1, 41):
        catalog.sightings.link(Step(turn, "link", key), edge(key, key - 1))
    assert catalog.sightings.edges_between(0, 1000).keys.tolist() == list(range(2, 41))
    catalog.close()
