"""
One new item against many recorded uploads: from its acknowledgement to the events of the copies that came before it.

The catalog holds `--recorded` real sightings, of which `--copies` look like each item; what else is searched are random
rows, so many for each upload as the bundled model makes of a picture (the whole and five more).
"""

import argparse
import os
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when FAISS is imported: one search, one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from report import print_heading, print_table, quantile

from index.catalog import Catalog
from index.catalog.duties import Step
from index.records.banks import Purpose
from index.records.changes import Version
from index.records.items import ItemKind, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.sightings import NewSighting, SightedFrame, SightedHashes, SightedRows
from index.records.spaces import SpaceId
from index.views.views import Views
from service.logs import open_log
from service.metrics import Metrics
from service.sightings.memory import LINK, SightingMemory
from service.sightings.retro_scan import LookBack

SPACE, DIM = SpaceId("benchmark-1"), 256
VARIANT, RELATED = 0.66, 0.53
BLOCK = 20_000
WANTED_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sightings", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rows", type=int, default=6, help="of each sighting: the whole picture, and parts and turns")
    parser.add_argument("--items", type=int, default=10)
    parser.add_argument("--recorded", type=int, default=2_000)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Looking back for one new item", options)
    rows = [_measured(count, options) for count in options.sightings]
    print(f"Wanted: at most {WANTED_S} s among a million.\n")
    print_table(
        ("sightings", "rows searched", "on disk MB", "copies found", "p50 s", "longest s", "read again s"), rows
    )


def _measured(count: int, options: argparse.Namespace) -> tuple[str, ...]:
    dice = np.random.default_rng(options.seed)
    folder = Path(tempfile.mkdtemp())
    catalog = Catalog.open(f"sqlite:///{folder / 'catalog.db'}")
    catalog.register_space(SPACE, DIM)
    catalog.put_bank("known", Purpose.HARMFUL)
    originals = _unit(dice, options.items)
    _record(catalog, originals, options, dice)
    turn = catalog.duties.take_turn("benchmark", 3600)
    assert turn is not None
    catalog.duties.advance(Step(turn, LINK, catalog.sightings.head()))
    views = Views(catalog, {SPACE: DIM})
    memory = SightingMemory(catalog, folder / "sightings", open_log("error"))
    look_back = LookBack(catalog=catalog, memory=memory, views=views, bounds=_bounds, metrics=Metrics())
    while look_back.step(turn):
        pass
    began = time.perf_counter()
    memory.let_go()
    memory.be_of(turn)
    again_s = time.perf_counter() - began
    _fill(memory, count, options, dice)
    took: list[float] = []
    for original in originals:
        before = catalog.events.head()
        frame = NewFrame(0, dice.bytes(32), 90, {SPACE: original[None]})
        catalog.add_item("known", NewItem(ItemKind.IMAGE, [frame], sha256=dice.bytes(32).hex()))
        began = time.perf_counter()
        while look_back.step(turn):
            pass
        took.append(time.perf_counter() - began)
        assert catalog.events.head() - before == options.copies
    stores = memory.view.spaces[SPACE]
    held = len(stores.wholes) + len(stores.parts)
    on_disk = sum(file.stat().st_size for file in folder.glob("sightings/*/*")) / 1e6
    found = f"{options.copies} of {options.copies}"
    memory.let_go()
    views.close()
    catalog.close()
    shutil.rmtree(folder)
    times = f"{quantile(took, 0.5):.2f}", f"{max(took):.2f}", f"{again_s:.1f} for {options.recorded:,}"
    return f"{count:,}", f"{held:,}", f"{on_disk:,.0f}", found, *times


def _record(catalog: Catalog, originals: Embeddings, options: argparse.Namespace, dice: np.random.Generator) -> None:
    """Copies of each item among others, by a score of about 0.8."""
    for number in range(options.recorded):
        rows = _unit(dice, options.rows)
        if number < options.copies * len(originals):
            noise = rows[0] - (rows[0] @ originals[number % len(originals)]) * originals[number % len(originals)]
            copy = 0.8 * originals[number % len(originals)] + 0.6 * noise / np.linalg.norm(noise)
            rows[number % options.rows] = copy / np.linalg.norm(copy)
        frame = SightedFrame(0, dice.bytes(32), 90, {SPACE: rows})
        new = NewSighting(
            platform="alpha", upload_id=str(number), observed_at=None, publisher=None, context=None, kind="image",
            band="none", action="none", reasons=(), index_version=Version(catalog.version()), frames=(frame,),
        )  # fmt: skip
        catalog.sightings.record(new, timedelta(days=7))


def _fill(memory: SightingMemory, count: int, options: argparse.Namespace, dice: np.random.Generator) -> None:
    first = memory.linked + 1
    for start in range(first, first + count - options.recorded, BLOCK):
        keys = np.arange(start, min(start + BLOCK, first + count - options.recorded))
        several = np.repeat(keys, options.rows)
        whole = np.arange(len(several)) % options.rows == 0
        memory.view.add(SPACE, SightedRows(several, several * 0, whole, _unit(dice, len(several))))
        hashes = dice.integers(0, 256, (len(keys), 32), np.uint8)
        memory.view.hashes.add(SightedHashes(keys, keys * 0, hashes, np.full(len(keys), 90, np.int16)))
    memory.linked = first + count


def _bounds(space: SpaceId, rows: Embeddings) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    del space
    return np.repeat(np.array([[VARIANT, RELATED]], np.float32), len(rows), axis=0)


def _unit(dice: np.random.Generator, count: int) -> Embeddings:
    rows = dice.standard_normal((count, DIM), np.float32)
    normal: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normal


if __name__ == "__main__":
    main()
