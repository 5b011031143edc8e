import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.identifiers import item_id_of, item_key_of, new_item_id, tags_of
from index.records.items import ItemId


@given(st.lists(st.integers(1, 2**47), min_size=1, max_size=5))
def test_an_id_can_be_taken_apart_and_put_together_again(keys: list[int]) -> None:
    ids = [new_item_id(key) for key in keys]
    tags = tags_of(ids)
    assert [item_key_of(item_id) for item_id in ids] == keys
    assert [item_id_of(key, int(tag)) for key, tag in zip(keys, tags, strict=True)] == ids


def test_ids_sort_by_age() -> None:
    ids = [new_item_id(key) for key in (1, 9, 10, 255, 256, 70_000)]
    assert ids == sorted(ids)


def test_there_are_no_tags_of_no_ids() -> None:
    assert np.array_equal(tags_of([]), np.empty(0, np.uint64))


@pytest.mark.parametrize("text", ["", "x", "0" * 27, "0" * 29, "g" * 28, "A" * 28, "é" * 28, " " * 28, "-" + "1" * 27])
def test_what_is_no_id_of_ours_has_no_key(text: str) -> None:
    assert item_key_of(ItemId(text)) is None
