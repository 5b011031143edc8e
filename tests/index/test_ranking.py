import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.records.changes import Origins
from index.views.ranking import Candidates, best_items

SCORES = [0.0, 0.1, 0.2, 0.5, 0.9]


def origins_of(items: list[int]) -> Origins:
    keys = np.array(items, np.int64)
    return Origins(keys, keys.astype(np.uint64), keys, keys)


@settings(max_examples=200, deadline=None)
@given(
    items=st.lists(st.integers(1, 6), min_size=1, max_size=40),
    queries=st.integers(1, 3),
    k=st.integers(1, 8),
    data=st.data(),
)
def test_items_are_ranked_by_their_best_pair_however_many_rows_they_own(
    items: list[int], queries: int, k: int, data: st.DataObject
) -> None:
    row = st.lists(st.sampled_from(SCORES), min_size=len(items), max_size=len(items))
    merits = np.array(data.draw(st.lists(row, min_size=queries, max_size=queries)), np.float32)
    depths: list[int] = []

    def find(depth: int) -> Candidates:
        depths.append(depth)
        order = np.argsort(-merits, axis=1, kind="stable")[:, :depth]
        return Candidates(order, np.take_along_axis(merits, order, 1))

    pairs = best_items(find, origins_of(items), k)
    best = {item: max(merits[:, place].max() for place, own in enumerate(items) if own == item) for item in items}
    assert list(pairs.merits) == sorted(best.values(), reverse=True)[:k]
    assert len(set(pairs.items.tolist())) == len(pairs.items)
    for item, query, place, merit in zip(pairs.items, pairs.queries, pairs.rows, pairs.merits, strict=True):
        assert items[place] == item
        assert merits[query, place] == merit == best[item]
    assert max(depths) <= len(items)


def test_one_item_with_most_of_the_rows_does_not_hide_the_others() -> None:
    items = [1] * 500 + [2, 3]
    merits = np.array([[0.9] * 500 + [0.2, 0.1]], np.float32)

    def find(depth: int) -> Candidates:
        order = np.argsort(-merits, axis=1, kind="stable")[:, :depth]
        return Candidates(order, np.take_along_axis(merits, order, 1))

    assert best_items(find, origins_of(items), 3).items.tolist() == [1, 2, 3]
