"""
Shows that no process writes or checkpoints a SQLite catalog but under its lock.

Processes add, read, search, open and close a catalog and checkpoint it as often as they can, each under strace. Every
lock on SQLite's write byte and checkpoint byte (120 and 121 of the `-shm` file) that the system granted must lie
between that process's taking of the lock file and its giving it back. Linux, and strace, are needed. Ends with 1 where
one does not.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from report import print_heading, print_table

from index.catalog import Catalog
from index.records.banks import Purpose

WORK = """
import sys, threading, time
import numpy as np
from index.catalog.storage import sqlite
from index.catalog import Catalog
from index.records.items import ItemKind, NewFrame, NewItem
sqlite._LONG_LOG_BYTES, sqlite._SHORTEN_EVERY_S = 0, 0.01
until = time.monotonic() + float(sys.argv[2])
source = np.random.default_rng(int(sys.argv[3]))
while time.monotonic() < until:
    catalog = Catalog.open(sys.argv[1])
    def write():
        for _ in range(5):
            catalog.add_item("known", NewItem(ItemKind.IMAGE, [NewFrame(0, bytes(32), 90)]))
    def read():
        for _ in range(20):
            catalog.items("known", 5), catalog.version(), catalog.bank("known")
    threads = [threading.Thread(target=work) for work in (write, write, read)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if source.random() < 0.7: catalog.close()
    del catalog  # else it is forgotten, and closed when that is noticed
"""
FLOCK = re.compile(r"flock\(\d+<.*?catalog\.db\.lock>, ([A-Z_|]+)\)\s+= 0")
BYTE = re.compile(
    r"fcntl\(\d+<.*?catalog\.db-shm.*?>, F_SETLKW?, \{l_type=F_WRLCK.*?l_start=(\d+), l_len=(\d+)\}\)\s+= 0"
)
NAMES = {120: "write", 121: "checkpoint"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    print_heading("Who writes holds the lock", options)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/catalog.db"
        catalog = Catalog.open(url)
        catalog.put_bank("known", Purpose.HARMFUL)
        catalog.close()
        traces = [Path(folder) / f"trace-{number}" for number in range(options.processes)]
        work = [sys.executable, "-c", WORK, url, str(options.seconds)]
        watch = ["strace", "-f", "-y", "-e", "trace=flock,fcntl", "-o"]
        running = [subprocess.Popen([*watch, str(trace), *work, str(number)]) for number, trace in enumerate(traces)]
        if any(process.wait() for process in running):
            return 1
        inside, outside = Counter[str](), Counter[str]()
        for trace in traces:
            _follow(trace.read_text(errors="replace").splitlines(), inside, outside)
    rows: list[tuple[str, ...]] = [(name, str(inside[name]), str(outside[name])) for name in NAMES.values()]
    print_table(("lock", "under the lock file", "without it"), rows)
    return 1 if outside.total() or not all(inside[name] for name in NAMES.values()) else 0


def _follow(lines: list[str], inside: Counter[str], outside: Counter[str]) -> None:
    """One process's calls, in their order."""
    held = False
    unfinished: dict[str, str] = {}
    for line in lines:
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            unfinished[thread] = call.removesuffix("<unfinished ...>").strip()
            continue
        if call.startswith("<..."):
            call = unfinished.pop(thread, "") + call.partition("resumed>")[2].strip()
        lock, byte = FLOCK.match(call), BYTE.match(call)
        if lock:
            held = "LOCK_EX" in lock[1]
        elif byte:
            first, length = int(byte[1]), int(byte[2])
            for number, name in NAMES.items():
                if first <= number < first + length:
                    (inside if held else outside)[name] += 1


if __name__ == "__main__":
    sys.exit(main())
