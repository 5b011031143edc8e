"""Growth of a view: what happens between two states of it."""

from collections.abc import Callable

import numpy as np
import pytest

from index.engines.scan import ScanIndex
from index.records.changes import Origins
from index.records.rows import Embeddings
from index.views.layers import Kind, Layers

UnitRows = Callable[[int], Embeddings]
NOBODY = np.empty(0, np.int64)


@pytest.fixture
def layers() -> Layers[ScanIndex]:
    kind = Kind((np.empty((0, 16), np.float32),), ScanIndex, ScanIndex, lambda index, rows: (index.vectors(rows),))
    return Layers(kind, fold_rows=10)


def origins_of(*items: int) -> Origins:
    keys = np.array(items, np.int64)
    return Origins(keys, keys.astype(np.uint64), keys % 2, keys * 10)


def alive_items(layers: Layers[ScanIndex]) -> list[list[int]]:
    return [layer.origins.items[layer.alive].tolist() for layer in layers.published]


def test_what_goes_and_comes_while_a_fold_is_prepared_is_gone_and_there_afterwards(
    layers: Layers[ScanIndex], unit_rows: UnitRows
) -> None:
    rows = unit_rows(30)
    layers.add(origins_of(*range(1, 13)), (rows[1:13],))
    layers.add(origins_of(13, 14, 15), (rows[13:16],))
    layers.forget(np.array([2]), ())
    fold = layers.prepare_fold()
    layers.forget(np.array([3, 14]), ())
    layers.add(origins_of(16), (rows[16:17],))
    layers.forget(np.array([15]), ())
    layers.add(origins_of(3), (rows[3:4],))
    layers.adopt(fold)
    assert alive_items(layers) == [[1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [16, 3]]
    layers.adopt(layers.prepare_fold())
    assert alive_items(layers) == [[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16], []]
    large, _ = layers.published
    np.testing.assert_array_equal(large.index.vectors(np.arange(13)), rows[large.origins.items])
    assert large.origins.positions.tolist() == (large.origins.items * 10).tolist()


def test_rows_come_after_what_was_published_and_never_into_it(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    rows = unit_rows(40)
    layers.add(origins_of(1), (rows[1:2],))
    _, before = layers.published
    for item in range(2, 40):
        layers.add(origins_of(item), (rows[item : item + 1],))
    assert before.origins.items.tolist() == [1]
    assert len(before.index) == 1
    assert before.index.search(rows[39:], 1).scores[0, 0] < 0.99
    _, after = layers.published
    assert after.index.search(rows[39:], 1).rows.tolist() == [[38]]


def test_a_first_load_goes_into_the_large_part_at_once(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    layers.add(origins_of(*range(10)), (unit_rows(10),))
    assert [len(layer.index) for layer in layers.published] == [10, 0]
    assert not layers.fold_is_due()


def test_a_first_load_that_comes_while_nothing_is_folded_stays(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    fold = layers.prepare_fold()
    layers.add(origins_of(*range(10)), (unit_rows(10),))
    layers.adopt(fold)
    assert alive_items(layers) == [list(range(10)), []]


def test_folding_is_due_when_many_rows_are_live_or_dead(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    layers.add(origins_of(*range(20)), (unit_rows(20),))
    layers.forget(np.arange(10), ())
    assert layers.fold_is_due()
    layers.adopt(layers.prepare_fold())
    assert not layers.fold_is_due()
    for item in range(20, 30):
        assert not layers.fold_is_due()
        layers.add(origins_of(item), (unit_rows(1),))
    assert layers.fold_is_due()


def test_rows_of_an_item_are_found_in_any_order_of_rows(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    layers.add(origins_of(5, 5, 7), (unit_rows(3),))
    layers.add(origins_of(2, 9), (unit_rows(2),))
    _, live = layers.published
    assert not live.by_age
    assert live.rows_of(np.array([2, 5])).tolist() == [0, 1, 3]
    layers.forget(np.array([5]), ())
    _, live = layers.published
    assert live.rows_of(np.array([2, 5])).tolist() == [3]
    assert live.rows_of(NOBODY).tolist() == []


def test_rows_of_very_many_items_are_found_too(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    layers.add(origins_of(*range(0, 6000, 2)), (unit_rows(3000),))
    large, _ = layers.published
    assert large.rows_of(np.arange(3000)).tolist() == list(range(1500))


def test_a_bank_is_forgotten_in_both_layers(layers: Layers[ScanIndex], unit_rows: UnitRows) -> None:
    layers.add(origins_of(*range(1, 13)), (unit_rows(12),))
    layers.add(origins_of(13, 14), (unit_rows(2),))
    layers.forget(NOBODY, {1})
    assert alive_items(layers) == [[2, 4, 6, 8, 10, 12], [14]]
