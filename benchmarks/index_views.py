"""
What it costs to keep views: to start them, to change them while they are searched, and to hold them in memory.

    python benchmarks/index_views.py --rows 1000000 --folder /tmp/million

One catalog of synthetic rows in clusters (a picture of one frame each), then: building the views from the catalog
against opening them from their snapshots; how soon an addition is found, in the process that made it and in another;
the memory of one and of four processes; and what a search takes before, while and after the large part is built anew,
in the process that builds and in another one that takes it over.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported: one search, one core
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
from report import print_heading, print_table, quantile

from index.catalog import Catalog
from index.engines.description import Engine
from index.records.banks import Purpose
from index.records.items import ItemKind, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId
from index.views.snapshots import SnapshotStore
from index.views.view import Event, EventKind
from index.views.views import ViewOptions, Views

SPACE = SpaceId("benchmark-000000000000")
BANK = "known"
K = 5
CHUNK = 500
CLUSTERS = 20_000
NEAR = 0.8
PARTS = ["starts", "memory", "additions", "fold"]
MIB = 1 << 20
SPAWN = multiprocessing.get_context("spawn")
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Place:
    """Where the catalog and the snapshots are, and how large parts are searched."""

    folder: Path
    dim: int
    engine: str | None
    seed: int

    def catalog(self) -> Catalog:
        return Catalog.open(f"sqlite:///{self.folder / 'catalog.db'}")

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    def views(self, catalog: Catalog) -> Views:
        options = ViewOptions(engine=None if self.engine is None else Engine(self.engine), tell=_say)
        return Views(catalog, {SPACE: self.dim}, snapshots=SnapshotStore(self.snapshots), options=options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--engine", choices=[engine.value for engine in Engine], help="instead of by size")
    parser.add_argument("--folder", type=Path, help="kept, and used again when it holds that many rows")
    parser.add_argument("--additions", type=int, default=100)
    parser.add_argument("--before-s", type=float, default=20.0, help="searching before and after the fold")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--cold", action="store_true", help="also start with the disk's cache emptied, of the machine")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Keeping views", options)
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = Place(folder, options.dim, options.engine, options.seed)
        _fill(place, options.rows)
        steps: dict[str, Callable[[], None]] = {
            "starts": lambda: _starts(place, 2 if options.cold else 0),
            "memory": lambda: _memory(place),
            "additions": lambda: _additions(place, options.additions),
            "fold": lambda: _folding(place, options.before_s),
        }
        for part in options.parts:
            print(f"- load {os.getloadavg()[0]:.1f} as `{part}` begins\n", flush=True)
            steps[part]()


def rows_of(source: np.random.Generator, centres: Embeddings, count: int) -> Embeddings:
    chosen = centres[source.integers(0, len(centres), count)]
    aside = _unit(source.standard_normal(chosen.shape).astype(np.float32))
    return _unit(NEAR * chosen + float(np.sqrt(1 - NEAR**2)) * aside)


def pictures(source: np.random.Generator, rows: Embeddings) -> list[NewItem]:
    return [
        NewItem(ItemKind.IMAGE, [NewFrame(0, source.bytes(32), 90, {SPACE: rows[no : no + 1]})])
        for no in range(len(rows))
    ]


def _fill(place: Place, rows: int) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    catalog = place.catalog()
    catalog.register_space(SPACE, place.dim)
    catalog.put_bank(BANK, Purpose.HARMFUL)
    missing = rows - catalog.bank(BANK).items
    source, centres = np.random.default_rng(place.seed), _centres(place)
    began = time.perf_counter()
    for start in range(0, missing, CHUNK):
        count = min(CHUNK, missing - start)
        catalog.add_items(BANK, pictures(source, rows_of(source, centres, count)))
    if missing > 0:
        took = time.perf_counter() - began
        print(f"- filling the catalog in transactions of {CHUNK}: {missing / took:,.0f} items/s, {took:.0f} s")
    catalog.close()


def _starts(place: Place, cold_starts: int) -> None:
    shutil.rmtree(place.snapshots, ignore_errors=True)
    rebuilt = _alone(place, _start, 1)
    built = _alone(place, _compact, 1)
    opened = _alone(place, _start, 5)
    cold = []
    for _ in range(cold_starts):
        if _forget_the_disk():
            cold += _alone(place, _start, 1)["seconds"]
    size = sum(path.stat().st_size for path in place.snapshots.rglob("*") if path.is_file())
    ready = quantile(opened["seconds"], 0.5)
    print(f"\n## Starting\n\nFrom snapshots in 1/{rebuilt['seconds'][0] / ready:.0f} of the time from the catalog.\n")
    table = [
        ("from the catalog, with no snapshot: exact search", f"{rebuilt['seconds'][0]:.2f}"),
        ("building the engine for that size, at a low priority", f"{built['seconds'][0]:.2f}"),
        ("from snapshots (median of 5), the disk's cache warm", f"{ready:.2f}"),
        ("from snapshots, the disk's cache cold", f"{max(cold):.2f}" if cold else "not measured"),
    ]
    print_table(("until the first search is answered", "s"), table)
    print(f"- snapshots on the disk: {size / MIB:,.0f} MiB (the newest two of each view)\n", flush=True)


def _memory(place: Place) -> None:
    table = []
    totals: dict[int, tuple[float, float]] = {}
    queries = _queries(place)  # made here, so that what making them leaves behind is not counted there
    for processes in (1, 4):
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(_process(place, _hold)) for _ in range(processes)]
            before = [pipe.recv() for pipe in held]
            for pipe in held:  # one after the other: each has opened, searched and waits
                pipe.send(queries)
                pipe.recv()
            for pipe in held:
                pipe.send("measure")
            after = [pipe.recv() for pipe in held]
            totals[processes] = sum(after), sum(after) - sum(before)
            for pipe in held:
                pipe.send("done")
        table.append((str(processes), f"{totals[processes][0] / MIB:,.0f}", f"{totals[processes][1] / MIB:,.0f}"))
    whole, views = (totals[4][part] / totals[1][part] for part in (0, 1))
    print(f"## Memory\n\nFour processes hold {whole:.2f} times what one holds; the views alone, {views:.2f} times.\n")
    print_table(("processes", "proportional set size, MiB", "of it since the views were opened, MiB"), table)


def _additions(place: Place, count: int) -> None:
    catalog = place.catalog()
    views = place.views(catalog)
    views.follow()
    source = np.random.default_rng([place.seed, catalog.version()])  # other rows than in an earlier run
    centres = _centres(place)
    figures: Figures = {
        "adding, durably": [],
        "found here, after the acknowledgement": [],
        "of it, time of the processor": [],
    }
    other: list[float] = []
    with _process(place, _look_out) as pipe:
        pipe.recv()
        for _ in range(count):
            rows = rows_of(source, centres, 1)
            pipe.send(rows)
            pipe.recv()
            began = time.perf_counter()
            added = catalog.add_items(BANK, pictures(source, rows))[0].item.item_id
            acknowledged, worked = time.perf_counter(), time.thread_time()
            pipe.send((added, time.monotonic()))
            assert views.search(SPACE, rows, 1)[0].item_id == added
            figures["found here, after the acknowledgement"].append(time.perf_counter() - acknowledged)
            figures["of it, time of the processor"].append(time.thread_time() - worked)
            figures["adding, durably"].append(acknowledged - began)
            other.append(pipe.recv())
        pipe.send(None)
    figures["found in another process that looks every 5 ms, after the acknowledgement"] = other
    print("## An addition\n")
    print_table(("step", "p50 ms", "p99 ms"), [(name, *_ms(values)) for name, values in figures.items()])
    views.close()
    catalog.close()


def _folding(place: Place, before_s: float) -> None:
    catalog = place.catalog()
    views = place.views(catalog)
    views.follow()
    names = ("before", "while it is built and swapped in", "the 5 s after", "later")
    with _process(place, _search_on) as pipe:
        pipe.recv()
        mine = _Searcher(place, views)
        marks = [time.monotonic()]
        mine.run_for(before_s)
        marks.append(time.monotonic())
        builder = threading.Thread(target=views.compact)
        builder.start()
        while builder.is_alive():
            mine.run_for(0.1)
        marks.append(time.monotonic())
        mine.run_for(5.0)
        marks.append(time.monotonic())
        mine.run_for(before_s)
        marks.append(time.monotonic())
        pipe.send("done")
        theirs = pipe.recv()
    table = []
    for name, times in (("that builds", mine.times), ("that takes it over", theirs)):
        phases = [[took for at, took in times if start <= at < stop] for start, stop in itertools.pairwise(marks)]
        usual = quantile(phases[0], 0.99)
        for phase, values in zip(names, phases, strict=True):
            ratio = quantile(values, 0.99) / usual
            table.append((name, phase, f"{ratio:.2f}", *_ms(values), f"{1e3 * max(values):.2f}", str(len(values))))
    print(f"## A fold\n\nThe build took {marks[2] - marks[1]:.1f} s, at a low priority.\n")
    print_table(("process", "searching", "p99 against before", "p50 ms", "p99 ms", "worst ms", "searches"), table)
    views.close()
    catalog.close()


class _Searcher:
    """One search after the other, a few milliseconds apart."""

    def __init__(self, place: Place, views: Views) -> None:
        self._views = views
        self._queries = _queries(place)
        self.times: list[tuple[float, float]] = []

    def run_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.once()

    def once(self) -> None:
        row = len(self.times) % len(self._queries)
        at, began = time.monotonic(), time.perf_counter()
        self._views.search(SPACE, self._queries[row : row + 1], K)
        self.times.append((at, time.perf_counter() - began))
        time.sleep(0.004)


def _start(place: Place, pipe: Connection) -> None:
    began = time.perf_counter()
    catalog = place.catalog()
    views = place.views(catalog)
    views.search(SPACE, rows_of(np.random.default_rng(0), _centres(place), 1), K)
    pipe.send(time.perf_counter() - began)
    views.close()
    catalog.close()


def _compact(place: Place, pipe: Connection) -> None:
    catalog = place.catalog()
    views = place.views(catalog)
    began = time.perf_counter()
    views.compact(SPACE)
    pipe.send(time.perf_counter() - began)
    views.close()
    catalog.close()


def _hold(place: Place, pipe: Connection) -> None:
    import faiss  # noqa: F401, PLC0415 - belongs to what is there before

    me = psutil.Process()
    pipe.send(me.memory_full_info().pss)
    queries = pipe.recv()
    catalog = place.catalog()
    views = place.views(catalog)
    views.follow()
    for row in range(len(queries)):
        views.search(SPACE, queries[row : row + 1], K)
    views.search_pdq(np.zeros((1, 32), np.uint8), K)
    pipe.send("opened")
    pipe.recv()
    pipe.send(me.memory_full_info().pss)
    pipe.recv()
    views.close()
    catalog.close()


def _look_out(place: Place, pipe: Connection) -> None:
    catalog = place.catalog()
    views = place.views(catalog)
    views.follow()
    pipe.send("ready")
    while (rows := pipe.recv()) is not None:
        pipe.send("looking")
        seen: dict[str, float] = {}
        while not pipe.poll(0):
            for hit in views.search(SPACE, rows, 1):
                seen.setdefault(hit.item_id, time.monotonic())
            time.sleep(0.005)
        item_id, acknowledged = pipe.recv()
        while item_id not in seen:
            for hit in views.search(SPACE, rows, 1):
                seen.setdefault(hit.item_id, time.monotonic())
            if item_id not in seen:
                time.sleep(0.005)
        pipe.send(max(0.0, seen[item_id] - acknowledged))
    views.close()
    catalog.close()


def _search_on(place: Place, pipe: Connection) -> None:
    catalog = place.catalog()
    views = place.views(catalog)
    views.follow()
    searcher = _Searcher(place, views)
    pipe.send("ready")
    tended = time.monotonic()
    while not pipe.poll(0):
        searcher.once()
        if time.monotonic() - tended > 1:  # as a service's ticker does
            views.tend()
            tended = time.monotonic()
    pipe.recv()
    pipe.send(searcher.times)
    views.close()
    catalog.close()


def _alone(place: Place, work: Callable[[Place, Connection], None], times: int) -> Figures:
    """In a new process each time."""
    seconds = []
    for _ in range(times):
        with _process(place, work) as pipe:
            seconds.append(pipe.recv())
    return {"seconds": seconds}


@contextlib.contextmanager
def _process(place: Place, work: Callable[[Place, Connection], None]) -> Iterator[Connection]:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=work, args=(place, theirs))
    process.start()
    theirs.close()
    try:
        yield ours
    except BaseException:
        process.kill()
        raise
    finally:
        process.join()
    assert process.exitcode == 0


def _forget_the_disk() -> bool:
    """Whether this machine lets us."""
    os.sync()
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    return False


def _say(event: Event) -> None:
    if event.kind is not EventKind.OPENED:
        print(f"- {event.view}: {event.says} {event.facts or ''}", flush=True)


def _centres(place: Place) -> Embeddings:
    return _unit(np.random.default_rng(place.seed).standard_normal((CLUSTERS, place.dim)).astype(np.float32))


def _queries(place: Place) -> Embeddings:
    return rows_of(np.random.default_rng(place.seed + 2), _centres(place), 512)


def _unit(rows: Embeddings) -> Embeddings:
    normal: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normal


def _ms(seconds: list[float]) -> tuple[str, str]:
    return f"{1e3 * quantile(seconds, 0.5):.2f}", f"{1e3 * quantile(seconds, 0.99):.2f}"


if __name__ == "__main__":
    main()
