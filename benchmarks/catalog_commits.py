"""
How many items a second become durable, one added at a time, and how long the slowest has to wait.

With one writer and with eight in one process; the same eight, each with a commit of its own, beside it; and three
processes that write as fast as they can. Each item has one frame with a hash and an embedding of 256 numbers, and is
answered once it is on the disk. With it come its frame, its embedding, a change and an audit entry: five rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import numpy as np
from report import print_heading, print_table, quantile
from sqlalchemy import Connection

from index.catalog import Catalog
from index.catalog.banks import adding
from index.records.banks import Purpose
from index.records.items import ItemKind, NewFrame, NewItem
from index.records.spaces import SpaceId

SPACE = SpaceId("benchmark-000000000000")
DIM = 256
ROWS_OF_AN_ITEM = 5
PROCESSES = 3
Add = Callable[[NewItem], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", default="", help="the URL of an empty database; a SQLite file by default")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--busy", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.busy:
        _be_busy(options)
        return
    print_heading("Committing", options)
    with tempfile.TemporaryDirectory() as folder:
        url = options.catalog or f"sqlite:///{folder}/catalog.db"
        catalog = Catalog.open(url)
        print(f"{catalog.info().facts.database}, {catalog.info().facts.durability}\n")
        catalog.put_bank("known", Purpose.HARMFUL)
        catalog.register_space(SPACE, DIM)
        together: Add = lambda new: catalog.add_item("known", new)  # noqa: E731 - two ways, side by side
        rows = [
            _row("1 writer", _measure(together, 1, options.seconds)),
            _row("8 writers", _measure(together, 8, options.seconds)),
            _row("8 writers, a commit each", _measure(lambda new: _alone(catalog, new), 8, options.seconds)),
        ]
        catalog.close()
        for threads in (1, 8):
            for number, waits in enumerate(_busy_processes(url, threads, options.seconds), start=1):
                rows.append(_row(f"process {number} of {PROCESSES}, {threads} writers each", waits))
        headings = ("", "items/s", "rows/s", "p50 ms", "p99 ms", "worst ms")
        print_table(headings, rows)


def _alone(catalog: Catalog, new: NewItem) -> None:
    """As it was done before writers shared a commit."""

    def write(connection: Connection) -> None:
        adding.add(connection, "known", [new], catalog._clock())  # noqa: SLF001

    with catalog.database.writing() as connection:
        write(connection)


def _measure(add: Add, threads: int, seconds: float) -> tuple[list[float], float]:
    """How long each addition took, and all of them."""
    waits: list[float] = []
    began = time.perf_counter()

    def write(seed: int) -> None:
        source = np.random.default_rng(seed)
        while time.perf_counter() < began + seconds:
            new = _picture(source)
            at = time.perf_counter()
            add(new)
            waits.append(time.perf_counter() - at)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return waits, time.perf_counter() - began


def _busy_processes(url: str, threads: int, seconds: float) -> list[tuple[list[float], float]]:
    command = [sys.executable, __file__, "--catalog", url, "--seconds", str(seconds), "--busy", str(threads)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout
        process.stdout.readline()
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [json.loads(process.communicate()[0]) for process in running]
    return [(result["waits"], result["took"]) for result in results]


def _be_busy(options: argparse.Namespace) -> None:
    catalog = Catalog.open(options.catalog)
    print("ready", flush=True)
    sys.stdin.readline()
    waits, took = _measure(lambda new: catalog.add_item("known", new), options.busy, options.seconds)
    catalog.close()
    print(json.dumps({"waits": waits, "took": took}))


def _picture(source: np.random.Generator) -> NewItem:
    row = source.standard_normal((1, DIM)).astype(np.float32)
    row /= np.linalg.norm(row)
    frame = NewFrame(0, source.bytes(32), 90, {SPACE: row})
    # Seeded alike in every process: the bytes would be known already.
    return NewItem(ItemKind.IMAGE, [frame])


def _row(name: str, measured: tuple[list[float], float]) -> tuple[str, ...]:
    waits, took = measured
    rate = len(waits) / took
    times = (quantile(waits, 0.5), quantile(waits, 0.99), max(waits))
    return name, f"{rate:,.0f}", f"{rate * ROWS_OF_AN_ITEM:,.0f}", *(f"{wait * 1000:.1f}" for wait in times)


if __name__ == "__main__":
    main()
