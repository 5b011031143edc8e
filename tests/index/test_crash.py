"""A process that writes is killed; what it had acknowledged is there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index.catalog import Catalog
from index.records import ItemId, Purpose, SpaceId
from index.views import Views

WRITE = """
import sys
import numpy as np
from index.catalog import Catalog
from index.records import ItemKind, NewFrame, NewItem, SpaceId
catalog = Catalog.open(sys.argv[1])
source = np.random.default_rng(1)
while True:
    row = source.standard_normal((1, 16)).astype(np.float32)
    frame = NewFrame(0, source.bytes(32), 90, {SpaceId("s"): row / np.linalg.norm(row)})
    added = catalog.add_item("known", NewItem(ItemKind.IMAGE, [frame]))
    print(added.item.item_id, added.index_version, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 30])
def test_killing_a_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    space = SpaceId("s")
    catalog = Catalog.open(url)
    catalog.put_bank("known", Purpose.HARMFUL)
    catalog.register_space(space, 16)
    views = Views(catalog, {space: 16})
    writer = subprocess.Popen([sys.executable, "-c", WRITE, url], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    lines = [writer.stdout.readline() for _ in range(acknowledged)]
    writer.kill()
    lines += [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writer.stdout.close()
    writer.wait()
    ids = {ItemId(line.split()[0]) for line in lines}
    newest = max(int(line.split()[1]) for line in lines)
    assert ids <= set(catalog.items_by_id(ids))
    assert catalog.version() >= newest
    asked = np.eye(1, 16, dtype=np.float32)
    assert ids <= set(views.scores_of(space, asked, ids))
    rebuilt = Views(catalog, {space: 16})
    assert ids <= set(rebuilt.scores_of(space, asked, ids))
    catalog.check_writable()  # the lock of the dead is free
    catalog.close()
