"""Which spaces play which part, and how long one stays open."""

import threading
from datetime import UTC, datetime

import pytest

from index.records.spaces import SpaceId, SpaceRecord, SpaceStage
from models.batching import Batcher
from models.embedder import EmbedderId, Space
from service.errors import NotReady
from service.spaces.space_set import LiveSpaces, Opened, ServedSpace, parts_of

A, B, C, X = (SpaceId(f"{name}-000000000000") for name in ("a", "b", "c", "x"))
BUILDING, SHADOW, SERVED = SpaceStage.BUILDING, SpaceStage.SHADOW, SpaceStage.SERVED
RETIRED, DROPPED = SpaceStage.RETIRED, SpaceStage.DROPPED
At = tuple[SpaceId, SpaceStage, SpaceId | None]


def record(space: SpaceId, stage: SpaceStage, replaces: SpaceId | None) -> SpaceRecord:
    return SpaceRecord(space, 4, str(space), stage, replaces, datetime(2026, 11, 22, tzinfo=UTC))


def opened(space: SpaceId, closed: list[SpaceId]) -> Opened:
    class Embedder:
        space = Space(EmbedderId("x"), "x", 4, 32, None)

    served = ServedSpace(Space(EmbedderId(space), space, 4, 32, None), Batcher(Embedder()))  # type: ignore[arg-type]
    return Opened(served, lambda: closed.append(space))


@pytest.mark.parametrize(
    ("configured", "records", "asked", "written", "shadows"),
    [
        ([A], [], [A], [A], {}),
        ([A], [(A, SERVED, None)], [A], [A], {}),
        ([A], [(A, SERVED, None), (X, SERVED, None)], [A], [A], {}),
        ([A, X], [(A, SERVED, None), (X, SERVED, None)], [A, X], [A, X], {}),
        ([A], [(A, SERVED, None), (B, BUILDING, A)], [A], [A, B], {}),
        ([A], [(A, SERVED, None), (B, SHADOW, A)], [A], [A, B], {B: A}),
        ([A], [(A, RETIRED, None), (B, SERVED, A)], [B], [B, A], {}),
        ([B], [(A, RETIRED, None), (B, SERVED, A)], [B], [B, A], {}),
        ([A, X], [(A, RETIRED, None), (B, SERVED, A), (X, SERVED, None)], [B, X], [B, X, A], {}),
        ([A], [(A, SERVED, None), (B, SERVED, A)], [B, A], [B, A], {}),
        ([B], [(A, SERVED, None), (B, SHADOW, A)], [A], [A, B], {B: A}),
        ([A], [(A, DROPPED, None), (B, SERVED, A)], [B], [B], {}),
        ([A], [(A, DROPPED, None), (B, RETIRED, A), (C, SERVED, B)], [C], [C, B], {}),
        ([A], [(A, SERVED, B), (B, RETIRED, None)], [A], [A, B], {}),
        ([A], [(A, SERVED, B), (B, RETIRED, A)], [A], [A, B], {}),
        ([A, X], [(A, SERVED, None), (X, SERVED, None), (B, SHADOW, X)], [A, X], [A, X, B], {B: X}),
    ],
)
def test_the_catalog_decides_who_answers_for_a_configured_model(
    configured: list[SpaceId],
    records: list[At],
    asked: list[SpaceId],
    written: list[SpaceId],
    shadows: dict[SpaceId, SpaceId],
) -> None:
    parts = parts_of(configured, [record(*each) for each in records])
    assert list(parts.asked) == asked
    assert list(parts.written[: len(asked)]) == asked
    assert set(parts.written) == set(written)
    assert parts.shadows == shadows


def test_a_space_that_answers_and_is_not_open_here_is_said_to_be_missing() -> None:
    live = LiveSpaces([opened(A, [])])
    flipped = (record(A, RETIRED, None), record(B, SERVED, A))
    with pytest.raises(NotReady):
        live.at(flipped)
    live.add(opened(B, []))
    assert live.at(flipped).ids == (B,)
    assert [served.id for served in live.at(flipped).written] == [B, A]


def test_a_space_is_closed_only_when_no_request_uses_it() -> None:
    closed: list[SpaceId] = []
    live = LiveSpaces([opened(A, closed), opened(B, closed)], [A])
    both = (record(A, SERVED, None), record(B, RETIRED, A))
    taking = threading.Thread(target=lambda: live.take_out(B, 60).close())
    with live.using(both) as spaces:
        assert {served.id for served in spaces.written} == {A, B}
        taking.start()
        while B in {served.id for served in live.opened}:
            pass
        assert closed == []
    taking.join()
    assert closed == [B]


def test_nobody_waits_for_ever_for_a_request_that_hangs() -> None:
    live = LiveSpaces([opened(A, []), opened(B, [])], [A])
    with live.using((record(A, SERVED, None), record(B, RETIRED, A))):
        assert live.take_out(B, 0.0).served.id == B
