from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.engines.perceptual import PdqIndex
from index.records.rows import PdqRows


def index_of(hashes: PdqRows) -> PdqIndex:
    return PdqIndex(hashes, np.zeros(len(hashes), np.int16))


def bits_that_differ(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


@settings(max_examples=60, deadline=None)
@given(
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=30),
    asked=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3),
    k=st.integers(1, 40),
    data=st.data(),
)
def test_the_nearest_hashes_are_those_of_the_definition(
    hashes: list[bytes], asked: list[bytes], k: int, data: st.DataObject
) -> None:
    allowed = data.draw(st.lists(st.booleans(), min_size=len(hashes), max_size=len(hashes)))
    rows = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
    queries = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 32)
    found = index_of(rows).search(queries, k, np.array(allowed, np.bool_))
    for line, query in enumerate(asked):
        pairs = [(bits_that_differ(query, one), row) for row, one in enumerate(hashes) if allowed[row]]
        true = sorted(pairs)[:k]
        assert list(found.rows[line][: len(true)]) == [row for _, row in true]
        assert list(found.distances[line][: len(true)]) == [distance for distance, _ in true]
        assert np.all(found.rows[line][len(true) :] == -1)


def test_a_hash_and_its_inverse_are_256_apart() -> None:
    black = np.zeros((1, 32), np.uint8)
    found = index_of(~black).search(black, 1)
    assert found.distances[0, 0] == 256
    assert found.rows[0, 0] == 0


def test_distances_are_to_the_rows_that_were_asked_for() -> None:
    hashes = np.random.default_rng(1).integers(0, 256, (9, 32), dtype=np.uint8)
    found = index_of(hashes).distances(hashes[:2], np.array([5, 1]))
    assert found.shape == (2, 2)
    assert found[1, 1] == 0
    assert found[0, 0] == bits_that_differ(hashes[0].tobytes(), hashes[5].tobytes())


def test_hashes_come_back_as_they_went_in() -> None:
    hashes = np.random.default_rng(2).integers(0, 256, (9, 32), dtype=np.uint8)
    assert np.array_equal(index_of(hashes).hashes(np.array([8, 3])), hashes[[8, 3]])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), share=st.sampled_from([0.0, 0.05, 0.5, 0.99]), k=st.sampled_from([1, 10, 300]))
def test_what_may_be_found_is_found_however_much_of_it_there_is(seed: int, share: float, k: int) -> None:
    dice = np.random.default_rng(seed)
    near_copies = dice.integers(0, 256, (20, 32), dtype=np.uint8).repeat(150, axis=0)
    hashes = near_copies ^ (dice.random((3000, 32)) < 0.1).astype(np.uint8)
    allowed = dice.random(3000) < share
    found = index_of(hashes).search(hashes[:1], k, allowed)
    pairs = sorted(
        (bits_that_differ(hashes[0].tobytes(), hashes[row].tobytes()), row) for row in np.flatnonzero(allowed)
    )
    there = found.rows[0] >= 0
    assert list(zip(found.distances[0][there], found.rows[0][there], strict=True)) == pairs[:k]


def test_more_than_a_modest_number_are_sorted_alike() -> None:
    hashes = np.random.default_rng(5).integers(0, 4, (5000, 32), dtype=np.uint8)
    all_of_them = index_of(hashes).search(hashes[:1], 5000)
    some_of_them = index_of(hashes).search(hashes[:1], 500)
    assert np.array_equal(all_of_them.rows[:, :500], some_of_them.rows)
    assert np.array_equal(all_of_them.distances[:, :500], some_of_them.distances)


def test_hashes_may_lie_in_a_file_that_is_only_read(tmp_path: Path) -> None:
    hashes = np.random.default_rng(6).integers(0, 256, (50, 32), dtype=np.uint8)
    np.save(tmp_path / "hashes.npy", hashes)
    found = index_of(np.load(tmp_path / "hashes.npy", mmap_mode="r")).search(hashes[7:8], 1)
    assert (found.rows[0, 0], found.distances[0, 0]) == (7, 0)
