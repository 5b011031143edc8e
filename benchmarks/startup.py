"""
How long it takes to begin, and what it takes while nothing happens.

    python benchmarks/startup.py

Each start is a new process. The peer is what nobody who embeds with open_clip and searches with FAISS can do without:
importing these two. Memory is the proportional set size (shared pages are divided among those who share them), summed
over all processes of the service.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from report import ROOT, print_heading, print_table
from serving import PROGRAM, serving

PEER = "import open_clip, faiss"
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind, taken in turn")
    options = parser.parse_args()
    print_heading("Start-up and rest", options)

    commands = {
        PEER: (sys.executable, "-c", PEER),
        "import service.runtime": (sys.executable, "-c", "import service.runtime"),
        "import service.cli": (sys.executable, "-c", "import service.cli"),
        "afterimage --help": (*PROGRAM, "--help"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*commands, "listening", "ready")}
    rest: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, command in commands.items():
                seconds[name].append(_took(command))
            with serving(Path(folder)) as server:
                seconds["listening"].append(server.listening_s)
                seconds["ready"].append(server.ready_s)
                rest.append(_memory(server.pid))

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"Ready in {medians['ready'] / medians[PEER]:.2f} times what `{PEER}` takes alone.\n")
    rows = [(name, f"{medians[name]:.2f}", f"{min(values):.2f}") for name, values in seconds.items()]
    print_table(("from the start of a process to its end, or to", "median s", "best s"), rows)
    print_table(("at rest, all processes", "median MiB"), [("memory", f"{statistics.median(rest) / MIB:.0f}")])


def _took(command: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _memory(pid: int) -> float:
    server = psutil.Process(pid)
    return float(sum(process.memory_full_info().pss for process in (server, *server.children(recursive=True))))


if __name__ == "__main__":
    main()
