"""Sightings in the catalog, on every database: what is written is what is read."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.errors import UnknownSighting
from index.records.banks import Purpose
from index.records.changes import Version
from index.records.items import NewItem
from index.records.rows import Embeddings
from index.records.sightings import EdgeRows, Found, NewMatch, NewSighting, SightedFrame, SightingId, SightingQuery
from index.records.spaces import SpaceId

KEEP = timedelta(days=7)
UnitRows = Callable[[int], Embeddings]


@pytest.fixture
def turn(catalog: Catalog) -> Turn:
    taken = catalog.duties.take_turn("test", 3600)
    assert taken is not None
    return taken


@pytest.fixture
def upload(unit_rows: UnitRows, space: SpaceId) -> Callable[..., NewSighting]:
    """Of one frame, seen in three ways."""

    def make(**changes: object) -> NewSighting:
        frame = SightedFrame(0, b"\x0f" * 32, 80, {space: unit_rows(3)})
        values: dict[str, Any] = {
            "platform": "alpha",
            "upload_id": None,
            "observed_at": None,
            "publisher": None,
            "context": None,
            "kind": "image",
            "band": "none",
            "action": "none",
            "reasons": ("semantic_variant",),
            "index_version": Version(3),
            "frames": (frame,),
        }
        return NewSighting(**(values | changes))

    return make


def key_of(sighting_id: SightingId) -> int:
    return int(sighting_id[:12], 16)


def test_a_sighting_is_read_as_it_was_written(
    catalog: Catalog, upload: Callable[..., NewSighting], space: SpaceId, picture: Callable[..., NewItem]
) -> None:
    item = catalog.add_item("known", picture()).item
    odd = "<script>é\u202e&'\"--%"
    observed = datetime.now(UTC) - timedelta(hours=3)
    new = upload(
        upload_id=odd,
        publisher=odd,
        context="news",
        observed_at=observed,
        matches=(NewMatch(item.item_id, "variant", 0.75, 40, None),),
    )
    sighting_id = catalog.sightings.record(new, KEEP)
    found = catalog.sightings.get(sighting_id)
    assert (found.sighting.upload_id, found.sighting.publisher) == (odd, odd)
    assert found.sighting.observed_at == observed
    assert found.sighting.reasons == ("semantic_variant",)
    assert (found.frames, found.spaces) == (1, (space,))
    assert [(match.item_id, match.score, match.distance) for match in found.matches] == [(item.item_id, 0.75, 40)]
    rows = catalog.sightings.rows_of(space, np.array([key_of(sighting_id)]))
    assert rows.whole.tolist() == [True, False, False]
    assert np.allclose(rows.embeddings, new.frames[0].embeddings[space], atol=1e-3)
    with catalog.sightings.after(0) as held:
        assert held.index_versions(10)[1].tolist() == [3]
        (hashes,) = held.hashes()
    assert hashes.hashes.tobytes() == b"\x0f" * 32


def test_many_recorded_at_once_have_numbers_without_a_gap(catalog: Catalog, upload: Callable[..., NewSighting]) -> None:
    ids = [catalog.sightings.record(upload(), KEEP) for _ in range(5)]
    assert [key_of(each) for each in ids] == [1, 2, 3, 4, 5]
    assert catalog.sightings.head() == 5
    assert catalog.sightings.facts(np.array([2, 4, 99])).keys.tolist() == [2, 4]


def test_a_platform_sees_its_own(catalog: Catalog, upload: Callable[..., NewSighting], turn: Turn) -> None:
    mine, theirs = (catalog.sightings.record(upload(platform=name), KEEP) for name in ("alpha", "beta"))
    catalog.sightings.link(
        Step(turn, "link", 2), EdgeRows(np.array([2]), np.array([1]), np.array([np.nan]), np.array([7]))
    )
    assert [edge.other for edge in catalog.sightings.get(mine).edges] == [theirs]
    assert catalog.sightings.get(mine, "alpha").edges == ()
    with pytest.raises(UnknownSighting):
        catalog.sightings.get(theirs, "alpha")
    (edge,) = catalog.sightings.get(theirs).edges
    assert (edge.score, edge.distance, edge.earlier) == (None, 7, True)


def test_edges_to_what_is_forgotten_are_not_written(
    catalog: Catalog, upload: Callable[..., NewSighting], turn: Turn
) -> None:
    for _ in range(3):
        catalog.sightings.record(upload(), KEEP)
    assert catalog.sightings.forget(Step(turn, "forget", 0), timedelta(0), 1) == 1
    edges = EdgeRows(np.array([3, 3]), np.array([1, 2]), np.array([0.9, 0.8]), np.array([3, -1]))
    catalog.sightings.link(Step(turn, "link", 3), edges)
    written = catalog.sightings.edges_of(np.array([2, 3]))
    assert (written.keys.tolist(), written.earlier.tolist(), written.distances.tolist()) == ([3], [2], [-1])


def test_what_is_found_later_is_noted_once_and_told_to_its_platform(
    catalog: Catalog, upload: Callable[..., NewSighting], turn: Turn, picture: Callable[..., NewItem]
) -> None:
    item = catalog.add_item("known", picture()).item
    for name in ("alpha", "beta", "alpha"):
        catalog.sightings.record(upload(platform=name), KEEP)
    match = NewMatch(item.item_id, "variant", 0.8, None, None)
    found = [Found(key, match, "known", participants=frozenset({"alpha"})) for key in (1, 2, 3, 77)]
    assert catalog.sightings.note_found(Step(turn, "look_back", 5), found) == 2, "one takes no part, one is gone"
    assert catalog.sightings.note_found(Step(turn, "look_back", 6), found) == 0
    told = catalog.events.after(0, 10).events
    assert [(event.kind, event.platform) for event in told] == [("retro_match", "alpha")] * 2
    assert catalog.duties.cursor("look_back") == 6


def test_a_platform_is_told_once_of_an_upload_that_everything_in_a_bank_looks_like(
    catalog: Catalog, upload: Callable[..., NewSighting], turn: Turn, picture: Callable[..., NewItem]
) -> None:
    """Every variant that is banked in an event is a variant of all that was recorded of it."""
    catalog.put_bank("other", Purpose.HARMFUL)
    catalog.sightings.record(upload(), KEEP)
    items = [catalog.add_item("known", picture()).item.item_id for _ in range(20)]
    items.append(catalog.add_item("other", picture()).item.item_id)

    def found(number: int, band: str, bank: str = "known") -> Found:
        return Found(1, NewMatch(items[number], band, 0.8, None, None), bank)

    step = Step(turn, "look_back", 5)
    assert catalog.sightings.note_found(step, [found(0, "variant"), found(1, "variant")]) == 2
    assert catalog.sightings.note_found(step, [found(number, "variant") for number in range(18)]) == 14
    assert (
        catalog.sightings.note_found(step, [found(18, "exact"), found(19, "exact"), found(20, "variant", "other")]) == 2
    )
    told = [event.data["item_id"] for event in catalog.events.after(0, 100).events]
    assert told == [items[0], items[18], items[20]], "the first, a surer one, and one of another bank"


def test_changes_to_look_back_for_are_given_in_pieces(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    since = catalog.version()
    for _ in range(3):
        catalog.add_item("known", picture())
    items, incidents, through = catalog.sightings.changed_items(since, catalog.version(), 2)
    assert (len(items), len(incidents), through) == (2, 0, since + 2)
    items, _, through = catalog.sightings.changed_items(through, catalog.version(), 2)
    assert (len(items), through) == (1, catalog.version())


def test_lists_of_sightings_of_many_are_pages_of_the_same_order(
    catalog: Catalog, upload: Callable[..., NewSighting]
) -> None:
    for _ in range(5):
        catalog.sightings.record(upload(frames=()), KEEP)
    seen: list[int] = []
    cursor = None
    while True:
        page = catalog.sightings.page(SightingQuery(platform="alpha"), 2, cursor)
        seen += [key_of(one.sighting_id) for one in page.items]
        if page.next is None:
            break
        cursor = page.next
    assert seen == [5, 4, 3, 2, 1]


def test_what_sightings_look_like_in_a_dropped_space_is_deleted(
    catalog: Catalog, upload: Callable[..., NewSighting], turn: Turn, space: SpaceId
) -> None:
    for _ in range(3):
        catalog.sightings.record(upload(), KEEP)
    catalog.sightings.purge(Step(turn, "forget", 9), space, 0, 2)
    assert catalog.sightings.rows_of(space, np.array([1, 2, 3])).keys.tolist() == [3, 3, 3]
    catalog.sightings.purge(Step(turn, "forget", 11), space, 0, 2)
    assert catalog.duties.cursor("forget") == 9, "nothing is written where nothing is left"
