"""
Pictures a second into a bank, as a ratio to decoding and embedding alone: `python -m benchmarks.ingest`.

All run in this process with the same decoder children, the same model and the same number of threads, in turn, round
after round: alone, each picture is read, decoded and embedded, and forgotten; in eights, a thread embeds as many
pictures at once as a job does; as a job, it is an `ingest` from a folder into a new bank of a data directory on this
disk, with its plan, its leases and checkpoints, its originals synced and its items committed durably. Without
`--folder` the pictures are made.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import print_heading, print_table
from models.openclip import use_threads
from service.concurrently import concurrently
from service.jobs.kinds import job_kinds
from service.jobs.preparing import TOGETHER
from service.jobs.runner import Runner
from service.runtime import Runtime
from service.settings import load_settings


@dataclass(frozen=True)
class Took:
    wall_s: float
    cpu_s: float
    """Of this process and its decoder children: what is left of a figure when the machine is busy."""


class _Clock:
    def __enter__(self) -> Self:
        self._began = time.perf_counter(), _cpu_s()
        return self

    def __exit__(self, *_: object) -> None:
        self.took = Took(time.perf_counter() - self._began[0], _cpu_s() - self._began[1])


def _cpu_s() -> float:
    own = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (own, *own.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="pictures of your own")
    parser.add_argument("--pictures", type=int, default=600, help="how many of them, or to make")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--features", choices=("keep", "none"), default="none", help="whether local features are kept")
    parser.add_argument("--work", type=Path, help="where the data directories go; a temporary folder unless said")
    options = parser.parse_args()
    print_heading("Ingest against decoding and embedding alone", options)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folder = _pictures(Path(work) / "pictures", options)
        settings = load_settings(data_dir=Path(work) / "data", log_level="error", features=options.features)
        use_threads(settings.cores_for_models)
        with Runtime.open(settings) as runtime:
            _alone(runtime, folder)  # warm: files in memory, children started
            _report(runtime, folder, options.rounds)


def _report(runtime: Runtime, folder: Path, rounds: int) -> None:
    count = sum(1 for _ in folder.iterdir())
    rows, ratios, costs = [], [], []
    for number in range(rounds):
        ways = [("alone", _alone), ("in eights", _in_eights), ("job", _job)]
        took = {name: way(runtime, folder) for name, way in (ways if number % 2 == 0 else reversed(ways))}
        alone, eights, job = took["alone"], took["in eights"], took["job"]
        ratios.append(alone.wall_s / job.wall_s)
        costs.append(alone.cpu_s / job.cpu_s)
        speeds = [f"{count / each.wall_s:.1f}" for each in (alone, job)]
        cpu = [f"{1000 * each.cpu_s / count:.2f}" for each in (alone, eights, job)]
        rows.append((str(number + 1), *speeds, f"{ratios[-1]:.3f}", *cpu, f"{costs[-1]:.3f}"))
    medians = [f"**{statistics.median(each):.3f}**" for each in (ratios, costs)]
    rows.append(("median", "", "", medians[0], "", "", "", medians[1]))
    headings = (
        "alone, pictures/s",
        "job, pictures/s",
        "job / alone",
        "alone, CPU ms",
        "in eights, CPU ms",
        "job, CPU ms",
        "alone / job, CPU",
    )
    print_table(("round", *headings), rows)


def _threads(runtime: Runtime) -> int:
    return 4 * runtime.settings.cores_for_decoding


def _alone(runtime: Runtime, folder: Path) -> Took:
    """Read, decoded and embedded by as many threads, at most four times as many pictures under way."""
    return _looped(runtime, folder, 1)


def _in_eights(runtime: Runtime, folder: Path) -> Took:
    """The same, each thread embedding as many at once as a job does: what is left is what a job is besides."""
    return _looped(runtime, folder, TOGETHER)


def _looped(runtime: Runtime, folder: Path, together: int) -> Took:
    batcher = runtime.spaces[0].batcher

    def some(paths: Sequence[Path]) -> None:
        media = [runtime.decoder.decode(path.read_bytes()) for path in paths]
        batcher.embed_references([frame.pixels for each in media for frame in each.frames])

    paths = sorted(folder.iterdir())
    groups = [paths[first : first + together] for first in range(0, len(paths), together)]
    with _Clock() as clock, closing(concurrently(some, groups, _threads(runtime))) as ended:
        for _, future in ended:
            future.result()
    return clock.took


def _job(runtime: Runtime, folder: Path) -> Took:
    """From the asking to the end of the job; what the round before banked is deleted first."""
    for old in runtime.catalog.banks(100).items:
        runtime.catalog.delete_bank(old.name)
    for digest in runtime.catalog.originals.removals(1_000_000):
        runtime.originals.delete(digest)
        runtime.catalog.originals.removed([digest])
    kinds = job_kinds(runtime, None)
    runner = Runner(runtime.catalog.jobs, kinds, runtime.settings.jobs_dir, runtime.log)
    with _Clock() as clock:
        kept = kinds["ingest"].checked({"bank": "measured", "sources": [str(folder)]})
        job = runtime.catalog.jobs.create("ingest", kept)
        runner.work_through(job.job_id)
    ended = runtime.catalog.jobs.get(job.job_id)
    counts = ended.progress.counts
    assert counts.get("added", 0) + counts.get("known", 0) == sum(1 for _ in folder.iterdir()), ended
    return clock.took


def _pictures(folder: Path, options: argparse.Namespace) -> Path:
    """Links to those of the operator, each content once, or seeded ones of soft fields and noise."""
    folder.mkdir(parents=True)
    if options.folder is not None:
        seen: set[str] = set()
        for path in sorted(options.folder.iterdir()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen and len(seen) < options.pictures:
                seen.add(digest)
                (folder / path.name).symlink_to(path.resolve())
        return folder
    random = np.random.default_rng(7)
    for number in range(options.pictures):
        coarse = random.integers(0, 256, (12, 16, 3), np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC), np.int16)
        picture = np.clip(picture + random.integers(-12, 13, picture.shape), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:06d}.jpg", quality=88)
    return folder


if __name__ == "__main__":
    main()
