"""Snapshots that earlier releases have written are read by this one."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from index.engines.description import Engine
from index.engines.flat import FlatIndex
from index.records.spaces import SpaceId
from index.views.kinds import PDQ_VIEW, perceptual_kind, semantic_kind
from index.views.snapshots import FORMAT, SnapshotStore, StoredSnapshot

GOLDEN = Path(__file__).parent / "golden"
ENGINES = [f"golden-{engine.value}" for engine in Engine]
FORMATS = range(1, FORMAT + 1)

_spec = importlib.util.spec_from_file_location("make_snapshots", GOLDEN / "make_snapshots.py")
assert _spec is not None
assert _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


def stored(version: int, view: str) -> StoredSnapshot:
    store = SnapshotStore(GOLDEN / f"snapshots-{version}")
    ((number, folder),) = store.of_view(view)
    snapshot = store.read(view, number, folder)
    snapshot.verify()
    return snapshot


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("view", ENGINES)
def test_a_golden_snapshot_of_a_space_is_searched_as_it_was(version: int, view: str) -> None:
    snapshot = stored(version, view)
    kind = semantic_kind(SpaceId(view), made.DIM, FlatIndex)
    opened = kind.open_large(snapshot.folder, snapshot.manifest)
    assert snapshot.manifest.engine["asked"] == view.removeprefix("golden-")
    assert snapshot.manifest.engine["engine"] == snapshot.manifest.engine["asked"]
    rows = made.rows_of(snapshot.manifest.rows)
    asked = np.arange(0, len(rows), 13)
    found = opened.search(rows[asked], 1)
    assert found.rows[:, 0].tolist() == asked.tolist()
    assert found.scores.min() > 0.998
    origins = kind.origins_in(snapshot.folder, snapshot.manifest.rows)
    assert (origins.items[7], origins.tags[7], origins.banks[7], origins.positions[7]) == (8, 24, 1, 40)


@pytest.mark.parametrize("version", FORMATS)
def test_a_golden_snapshot_of_hashes_is_searched_as_it_was(version: int) -> None:
    snapshot = stored(version, PDQ_VIEW)
    opened = perceptual_kind().open_large(snapshot.folder, snapshot.manifest)
    hashes = made.hashes_of(snapshot.manifest.rows)
    found = opened.search(hashes[[3, 31]], 1)
    assert found.rows[:, 0].tolist() == [3, 31]
    assert found.distances[:, 0].tolist() == [0, 0]
    assert opened.qualities[3] == 80
