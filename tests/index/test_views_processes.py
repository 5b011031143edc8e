"""Several processes on one catalog and one folder of snapshots."""

import subprocess
import sys
from pathlib import Path

import pytest

from index.catalog import Catalog
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore

PROGRAM = Path(__file__).with_name("one_of_several.py")


@pytest.fixture
def database() -> str:
    return "sqlite"


def test_no_process_finds_what_another_removed_or_misses_what_another_added(
    catalog: Catalog, tmp_path: Path, space: SpaceId
) -> None:
    """More rounds, by hand: `python tests/index/one_of_several.py FOLDER NUMBER ROUNDS`, several at a time."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path), str(number), "30"], stderr=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    said = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert SnapshotStore(tmp_path / "snapshots").newest(space) > 1
    assert catalog.bank("known").items > 30
