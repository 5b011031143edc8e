"""
Kills processes at random instants, and holds the catalog to what they had acknowledged.

In each round three processes of three threads add, remove, disable, make and delete banks, checkpoint, search, fold,
write snapshots, promote and roll back, and note what they begin and what was acknowledged in a ledger that is synced.
One of them is killed (SIGKILL) while the others go on; then the others, at once. Then the catalog is opened as at any
start, and compared: nothing acknowledged is lost, nothing removed is back in the catalog or in any view (from the
snapshots, and from nothing), what was under way happened whole or not at all, and the file, the log's numbers and the
audit log are sound. The rounds go on on one and the same catalog. Ends with 1 at the first fault.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported; this process forks
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from kill_verify import Expected, faults_of
from kill_worker import BANKS, DIM, NEW, OLD, Place, work
from report import print_heading, print_table

from index.catalog import Catalog
from index.records.banks import Purpose

PROCESSES = 3
LONGEST_S = 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--catalog", default="", help="the URL of an empty database; a SQLite file by default")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print_heading("Killing writers", options)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(options.catalog or f"sqlite:///{folder}/catalog.db", Path(folder))
        return _Kills(place, options.seed).run(options.kills)


class _Kills:
    def __init__(self, place: Place, seed: int) -> None:
        self._place = place
        self._seed = seed
        self._source = np.random.default_rng(seed)
        self._expected = Expected()

    def run(self, kills: int) -> int:
        _in_a_child(lambda: _prepare(self._place))
        began, killed, rounds = time.monotonic(), 0, 0
        while killed < kills:
            rounds += 1
            killed += self._round(rounds)
            faults = self._verify(rounds)
            if faults:
                print(f"Round {rounds}, after {killed} kills: {len(faults)} faults", *faults[:20], sep="\n", flush=True)
                return 1
            if rounds % 10 == 0:
                print(f"{killed} kills, {self._expected.acknowledged} acknowledged", file=sys.stderr, flush=True)
        self._report(killed, rounds, time.monotonic() - began)
        return 0

    def _round(self, number: int) -> int:
        """How many were killed."""
        shares = [dict[str, str]() for _ in range(PROCESSES)]
        for place, (item_id, (bank, _)) in enumerate(self._expected.items.items()):
            if bank in BANKS:
                shares[place % PROCESSES][item_id] = bank
        ledgers = [self._place.folder / f"ledger-{number}-{process}" for process in range(PROCESSES)]
        workers = [
            _forked(partial(work, self._place, ledger, [self._seed, number, process], share))
            for process, (ledger, share) in enumerate(zip(ledgers, shares, strict=True))
        ]
        _await(ledgers)
        self._source.shuffle(workers)
        time.sleep(self._source.uniform(0.01, LONGEST_S))
        os.kill(workers[0], signal.SIGKILL)
        time.sleep(self._source.uniform(0.01, LONGEST_S))
        for worker in workers[1:]:
            os.kill(worker, signal.SIGKILL)
        ended = [os.waitpid(worker, 0)[1] for worker in workers]
        for ledger in ledgers:
            self._expected.read(ledger)
            ledger.unlink()
        return sum(os.WIFSIGNALED(status) for status in ended)

    def _verify(self, number: int) -> list[str]:
        wrong, self._expected.wrong = self._expected.wrong, []
        answer = _in_a_child(lambda: _verified(self._expected, self._place, number))
        assert answer is not None
        self._expected = Expected.from_json(answer["expected"])
        return wrong + list(answer["faults"])

    def _report(self, killed: int, rounds: int, took_s: float) -> None:
        expected = self._expected
        rows: list[tuple[str, ...]] = [
            (op, str(count)) for op, count in sorted(expected.in_flight.items(), key=lambda pair: -pair[1])
        ]
        print(f"{killed} kills in {rounds} rounds, {took_s:.0f} s; {expected.acknowledged} operations acknowledged; ")
        print(f"{len(expected.items)} items there, {len(expected.removed)} removed: **nothing lost, nothing back.**\n")
        print_table(("under way when killed", "times"), rows)


def _prepare(place: Place) -> None:
    catalog = Catalog.open(place.url)
    for bank in BANKS:
        catalog.put_bank(bank, Purpose.HARMFUL)
    catalog.register_space(OLD, DIM)
    catalog.moves.begin(NEW, DIM, model="new", replaces=OLD)
    catalog.moves.to_shadow(NEW)
    catalog.close()


def _verified(expected: Expected, place: Place, number: int) -> dict[str, Any]:
    faults = faults_of(expected, place, number)
    return {"faults": faults, "expected": expected.to_json()}


def _await(ledgers: list[Path]) -> None:
    """Until every process has begun to work."""
    until = time.monotonic() + 60
    while not all(ledger.exists() and ledger.stat().st_size for ledger in ledgers):
        if time.monotonic() > until:
            raise TimeoutError("a process did not begin to work")
        time.sleep(0.005)


def _forked(run: Callable[[], object]) -> int:
    """Everything is imported and nothing opened yet: forking is quick, and safe."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        run()
        status = 0
    except BaseException:  # noqa: BLE001 - a fork ends here, whatever happens
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _in_a_child(run: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """What it returned; whoever has opened a catalog or searched cannot be forked any more."""
    reading, writing = os.pipe()
    child = _forked(lambda: _send(writing, run()))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise ChildProcessError("it ended with an error: see above")
    return json.loads(answer)  # type: ignore[no-any-return]


def _send(pipe: int, value: object) -> None:
    with os.fdopen(pipe, "wb") as out:
        out.write(json.dumps(value).encode())


if __name__ == "__main__":
    sys.exit(main())
