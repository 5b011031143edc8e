"""Moving from one space to another, as the catalog sees it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from index.catalog import Catalog
from index.errors import ItemsLeftBehind, SpaceMismatch, SpaceNotOpen, UnknownSpace, WrongStage
from index.records.banks import Purpose
from index.records.items import FilledFrame, ItemKind, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import Agreement, Holding, SpaceId, SpaceStage

OLD, NEW = SpaceId("test-000000000000"), SpaceId("wider-111111111111")
NEW_DIM = 24
MakePicture = Callable[..., NewItem]


class Clock:
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
def moving(catalog: Catalog, url: str, clock: Clock) -> Iterator[Catalog]:
    """The prepared catalog, with a clock of ours."""
    del catalog
    opened = Catalog.open(url, clock)
    yield opened
    opened.close()


@pytest.fixture
def wide_rows() -> Callable[[int], Embeddings]:
    source = np.random.default_rng(5)

    def rows(count: int) -> Embeddings:
        values = source.standard_normal((count, NEW_DIM)).astype(np.float32)
        return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)

    return rows


def stages(catalog: Catalog) -> dict[SpaceId, SpaceStage]:
    return {record.space: record.stage for record in catalog.moves.records()}


def begun(catalog: Catalog, clock: Clock) -> Catalog:
    catalog.moves.begin(NEW, NEW_DIM, model="wider", replaces=OLD)
    clock.pass_by(60)
    return catalog


def shadowed(catalog: Catalog, clock: Clock) -> Catalog:
    begun(catalog, clock).moves.to_shadow(NEW)
    clock.pass_by(60)
    return catalog


def test_a_space_goes_from_building_by_shadow_to_served_and_back(moving: Catalog, clock: Clock) -> None:
    begun(moving, clock)
    assert stages(moving) == {OLD: SpaceStage.SERVED, NEW: SpaceStage.BUILDING}
    moving.moves.to_shadow(NEW)
    clock.pass_by(60)
    moving.moves.promote(NEW)
    assert stages(moving) == {OLD: SpaceStage.RETIRED, NEW: SpaceStage.SERVED}
    clock.pass_by(60)
    moving.moves.rollback(NEW)
    assert stages(moving) == {OLD: SpaceStage.SERVED, NEW: SpaceStage.SHADOW}
    assert [(each.model, each.replaces) for each in moving.moves.records()] == [(None, None), ("wider", OLD)]


def test_both_sides_of_a_promotion_are_one_step_of_the_log(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock)
    before = moving.version()
    after = moving.moves.promote(NEW)
    step = moving.changes(before, [OLD])
    assert (step.version, after) == (after, before + 2)
    assert step.spaces is not None
    assert {each.space: each.stage for each in step.spaces} == stages(moving)


def test_the_old_space_may_go_on_beside_the_new_one(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock).moves.promote(NEW, keep_old=True)
    assert stages(moving) == {OLD: SpaceStage.SERVED, NEW: SpaceStage.SERVED}
    moving.moves.promote(NEW)
    assert stages(moving) == {OLD: SpaceStage.RETIRED, NEW: SpaceStage.SERVED}


@pytest.mark.parametrize("stage", ["building", "served", "dropped"])
def test_only_what_waits_in_shadow_is_promoted(moving: Catalog, clock: Clock, stage: str) -> None:
    begun(moving, clock)
    if stage == "served":
        moving.moves.to_shadow(NEW)
        clock.pass_by(60)
        moving.moves.promote(NEW)
    elif stage == "dropped":
        moving.moves.drop(NEW)
    with pytest.raises(WrongStage, match=stage):
        moving.moves.promote(NEW)


def test_what_is_not_known_is_said_to_be_unknown(moving: Catalog) -> None:
    for ask in (
        moving.moves.promote,
        moving.moves.rollback,
        moving.moves.drop,
        moving.moves.to_shadow,
        moving.moves.coverage,
    ):
        with pytest.raises(UnknownSpace):
            ask(NEW)
    with pytest.raises(UnknownSpace):
        moving.moves.begin(NEW, NEW_DIM, model="wider", replaces=SpaceId("nobody-222222222222"))


def test_a_space_that_is_served_is_neither_dropped_nor_emptied(moving: Catalog) -> None:
    with pytest.raises(WrongStage, match="served"):
        moving.moves.drop(OLD)
    with pytest.raises(WrongStage, match="served"):
        moving.moves.purge(OLD, 10)


def test_beginning_again_goes_on_with_what_is_there(moving: Catalog, clock: Clock) -> None:
    begun(moving, clock)
    before = moving.version()
    again = moving.moves.begin(NEW, NEW_DIM, model="wider", replaces=OLD)
    assert (again.stage, moving.version()) == (SpaceStage.BUILDING, before)


def test_of_two_moves_under_way_the_second_takes_over_from_the_first(moving: Catalog, clock: Clock) -> None:
    third = SpaceId("third-222222222222")
    shadowed(moving, clock)
    moving.moves.begin(third, 8, model="third", replaces=OLD)
    moving.moves.to_shadow(third)
    clock.pass_by(60)
    moving.moves.promote(NEW)
    with pytest.raises(WrongStage, match="retired"):
        moving.moves.promote(third)
    assert moving.moves.begin(third, 8, model="third", replaces=NEW).replaces == NEW
    moving.moves.to_shadow(third)
    clock.pass_by(60)
    moving.moves.promote(third)
    assert stages(moving) == {OLD: SpaceStage.RETIRED, NEW: SpaceStage.RETIRED, third: SpaceStage.SERVED}


def test_items_are_filled_whole_and_once(
    moving: Catalog, clock: Clock, picture: MakePicture, wide_rows: Callable[[int], Embeddings]
) -> None:
    added = [moving.add_item("known", picture(original_bytes=10)).item for _ in range(5)]
    begun(moving, clock)
    spans = moving.moves.spans(2)
    assert len(spans) == 3
    lacking = [item for after, until in spans for item in moving.moves.lacking(NEW, after, until, 10)]
    assert [item.item_id for item in lacking] == [item.item_id for item in added]
    assert all([frame.frame_no for frame in item.frames] == [0] for item in lacking)
    filled = {item.item_id: {0: FilledFrame(wide_rows(2))} for item in lacking}
    before = moving.version()
    assert moving.moves.fill(NEW, filled) == 5
    assert moving.version() == before + 5
    assert moving.moves.fill(NEW, filled) == 0
    assert [moving.moves.lacking(NEW, *span, 10) for span in spans] == [[], [], []]
    step = moving.changes(before, [OLD, NEW])
    assert len(step.semantic[NEW].origins) == 10
    assert len(step.perceptual.origins) == 0


def test_what_was_removed_while_it_was_embedded_stays_removed(
    moving: Catalog, clock: Clock, picture: MakePicture, wide_rows: Callable[[int], Embeddings]
) -> None:
    item = moving.add_item("known", picture(original_bytes=10)).item
    begun(moving, clock)
    moving.delete_item("known", item.item_id)
    assert moving.moves.fill(NEW, {item.item_id: {0: FilledFrame(wide_rows(1))}}) == 0
    assert {state.space: state.frames for state in moving.spaces()} == {OLD: 0, NEW: 0}


def test_a_promotion_that_would_lose_items_is_refused_unless_told(
    moving: Catalog, clock: Clock, picture: MakePicture
) -> None:
    alone = moving.add_item("known", picture()).item
    other = moving.add_item("known", picture(original_bytes=10)).item
    shadowed(moving, clock)
    coverage = moving.moves.coverage(NEW)
    assert (coverage.filled, coverage.lacking, coverage.without_original) == (0, 1, 1)
    assert moving.moves.left(NEW, 10) == [("known", alone.item_id), ("known", other.item_id)]
    with pytest.raises(ItemsLeftBehind, match="2 items") as refusal:
        moving.moves.promote(NEW)
    assert refusal.value.items == 2
    moving.moves.promote(NEW, leave_behind=True)
    assert stages(moving)[NEW] is SpaceStage.SERVED


def test_going_back_would_lose_what_only_the_new_space_has(
    moving: Catalog, clock: Clock, wide_rows: Callable[[int], Embeddings]
) -> None:
    shadowed(moving, clock).moves.promote(NEW)
    clock.pass_by(60)
    moving.add_item("known", NewItem(ItemKind.SIGNATURE, [NewFrame(0, None, None, {NEW: wide_rows(1)})]))
    with pytest.raises(ItemsLeftBehind):
        moving.moves.rollback(NEW)
    moving.moves.rollback(NEW, leave_behind=True)
    assert stages(moving)[OLD] is SpaceStage.SERVED


def test_a_promotion_waits_for_every_process_that_answers(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock)
    moving.moves.say_open("one", {OLD: Holding(is_open=True), NEW: Holding(is_open=True)})
    moving.moves.say_open("two", {OLD: Holding(is_open=True), NEW: Holding(is_open=False, reason="is opening it")})
    with pytest.raises(SpaceNotOpen, match="two is opening it"):
        moving.moves.promote(NEW)
    moving.moves.say_open("three", {OLD: Holding(is_open=True)})
    assert moving.moves.holdings(NEW)["three"].reason == "has not heard of it yet"
    moving.moves.leave("three")
    moving.moves.say_open("two", {OLD: Holding(is_open=True), NEW: Holding(is_open=True)})
    moving.moves.promote(NEW)


def test_a_process_that_is_gone_holds_nobody_up(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock)
    moving.moves.say_open("gone", {NEW: Holding(is_open=False, reason="is opening it")})
    clock.pass_by(60)
    moving.moves.promote(NEW)
    assert moving.moves.holdings(NEW) == {}


def test_a_change_that_nobody_can_have_heard_of_yet_is_no_ground_to_promote(moving: Catalog, clock: Clock) -> None:
    begun(moving, clock).moves.to_shadow(NEW)
    with pytest.raises(SpaceNotOpen, match="just changed"):
        moving.moves.promote(NEW)


def test_a_dropped_space_is_emptied_in_small_steps_and_can_be_begun_anew(
    moving: Catalog, clock: Clock, picture: MakePicture, wide_rows: Callable[[int], Embeddings]
) -> None:
    items = [moving.add_item("known", picture(original_bytes=10)).item for _ in range(5)]
    begun(moving, clock)
    moving.moves.fill(NEW, {item.item_id: {0: FilledFrame(wide_rows(1))} for item in items})
    moving.moves.drop(NEW)
    late = picture()
    frame = late.frames[0]
    both = NewFrame(0, frame.pdq, 90, {**frame.embeddings, NEW: wide_rows(1)})
    assert moving.add_item("known", picture(frames=(both,))).item.spaces == (OLD,)
    with pytest.raises(SpaceMismatch):
        moving.add_item("known", NewItem(ItemKind.SIGNATURE, [NewFrame(0, None, None, {NEW: wide_rows(1)})]))
    with pytest.raises(WrongStage, match="dropped"):
        moving.moves.fill(NEW, {items[0].item_id: {0: FilledFrame(wide_rows(1))}})
    first = moving.moves.purge(NEW, 2)
    assert [len(first), len(moving.moves.purge(NEW, 2, first[-1])), len(moving.moves.purge(NEW, 2))] == [2, 2, 1]
    assert moving.moves.purge(NEW, 2) == []
    assert [state.space for state in moving.spaces()] == [OLD]
    assert moving.moves.begin(NEW, NEW_DIM, model="wider", replaces=OLD).stage is SpaceStage.BUILDING
    with pytest.raises(WrongStage, match="building"):
        moving.moves.purge(NEW, 2)


def test_agreements_add_up_and_are_forgotten_with_the_space(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock)
    moving.moves.add_agreements(NEW, OLD, [Agreement("variant", "variant", 3, 2), Agreement("none", "related", 1, 0)])
    moving.moves.add_agreements(NEW, OLD, [Agreement("variant", "variant", 2, 2)])
    assert moving.moves.agreements(NEW) == [Agreement("none", "related", 1, 0), Agreement("variant", "variant", 5, 4)]
    moving.moves.drop(NEW)
    moving.moves.add_agreements(NEW, OLD, [Agreement("variant", "variant", 2, 2)])
    assert moving.moves.agreements(NEW) == []


def test_going_there_and_back_again_by_a_second_move_leads_to_the_later_decision(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock).moves.promote(NEW)
    moving.moves.begin(OLD, 16, model="first", replaces=NEW)
    moving.moves.to_shadow(OLD)
    clock.pass_by(60)
    moving.moves.promote(OLD)
    assert stages(moving) == {OLD: SpaceStage.SERVED, NEW: SpaceStage.RETIRED}
    assert {each.space: each.replaces for each in moving.moves.records()} == {OLD: NEW, NEW: None}


def test_a_bank_made_meanwhile_does_not_matter(moving: Catalog, clock: Clock) -> None:
    shadowed(moving, clock)
    moving.put_bank("later", Purpose.HARMFUL)
    assert moving.moves.promote(NEW) == moving.version()
