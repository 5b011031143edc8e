"""A process is killed in the middle of promoting and rolling back: one space answers, the one that was acknowledged."""

import subprocess
import sys

from index.catalog import Catalog
from index.records.spaces import SpaceId, SpaceStage
from index.views.views import Views

OLD, NEW = SpaceId("old"), SpaceId("new")
FLIP = """
import itertools
import sys
from datetime import UTC, datetime, timedelta
from index.catalog import Catalog
ahead = itertools.count(1)
catalog = Catalog.open(sys.argv[1], lambda: datetime.now(UTC) + timedelta(minutes=next(ahead)))
while True:
    print("served", catalog.moves.promote("new"), flush=True)
    print("shadow", catalog.moves.rollback("new"), flush=True)
"""
AFTER = {SpaceStage.SERVED: SpaceStage.RETIRED, SpaceStage.SHADOW: SpaceStage.SERVED}


def test_killing_who_promotes_leaves_one_space_answering(url: str) -> None:
    catalog = Catalog.open(url)
    catalog.register_space(OLD, 16)
    catalog.moves.begin(NEW, 24, model="new", replaces=OLD)
    catalog.moves.to_shadow(NEW)
    views = Views(catalog, {OLD: 16, NEW: 24})
    flipper = subprocess.Popen([sys.executable, "-c", FLIP, url], stdout=subprocess.PIPE, text=True)
    assert flipper.stdout
    lines = [flipper.stdout.readline() for _ in range(12)]
    flipper.kill()
    lines += [line for line in flipper.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    flipper.stdout.close()
    flipper.wait()
    acknowledged, version = SpaceStage(lines[-1].split()[0]), int(lines[-1].split()[1])
    stages = {record.space: record.stage for record in catalog.moves.records()}
    assert stages[OLD] is AFTER[stages[NEW]]
    if catalog.version() == version:
        assert stages[NEW] is acknowledged
    else:  # killed between the commit and saying so
        assert catalog.version() == version + 2
        assert stages[NEW] is not acknowledged
    assert {record.space: record.stage for record in views.reading().spaces} == stages
    moved = Catalog.open(url)
    assert {record.space: record.stage for record in moved.moves.records()} == stages
    moved.close()
    views.close()
    catalog.close()
