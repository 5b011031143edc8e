"""
What tiles of banked pictures cost and bring, a bank with none, four and nine each: `python -m benchmarks.tiles`.

Each bank is filled by an ingest into a data directory of its own, then asked about quarter crops (half the sides,
anywhere) of what it holds, and about pictures that it does not hold and crops of these. The same for all.
"""

import argparse
import io
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import print_heading, print_table
from index.records.banks import BankSettings, Purpose
from models.openclip import use_threads
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner
from service.matching.matcher import MatchOptions
from service.runtime import Runtime
from service.schemas import Band, Verify
from service.settings import load_settings

BANK = "measured"
TILES = (0, 4, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=120, help="banked")
    parser.add_argument("--innocent", type=int, default=200, help="others that are asked about")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_heading("Tiles of what is banked: price and use", options)
    photos = sorted(path for path in options.photos.iterdir() if path.is_file())
    random.Random(options.seed).shuffle(photos)
    known, others = photos[: options.pictures], photos[options.pictures :][: options.innocent]
    rows = []
    for tiles in TILES:
        with tempfile.TemporaryDirectory() as work:
            rows.append((str(tiles), *_measured(Path(work), tiles, known, others)))
    headings = (
        "tiles",
        "rows",
        "embeddings in the catalog, KB a picture",
        "rows in memory, KB a picture",
        "ingest, ms a picture",
        "ingest, CPU ms a picture",
        "crops found, auto",
        "crops found, always",
        "match of a crop, ms",
        "innocent called copies, auto",
        "innocent `related` by score alone",
        "expected of so many rows",
    )
    print_table(headings, rows)


def _measured(work: Path, tiles: int, known: Sequence[Path], others: Sequence[Path]) -> tuple[str, ...]:
    (work / "pictures").mkdir()
    for number, path in enumerate(known):
        (work / "pictures" / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
    settings = load_settings(data_dir=work / "data", log_level="error")
    use_threads(settings.cores_for_models)
    with Runtime.open(settings) as runtime:
        runtime.catalog.put_bank(BANK, Purpose.HARMFUL, settings=BankSettings(tiles=tiles))
        wall_s, cpu_s = _filled(runtime, work / "pictures")
        runtime.views.follow()
        served = runtime.spaces[0]
        embeddings = runtime.views.reading().embeddings_in(served.id)
        kilobytes = embeddings * served.space.dim / len(known) / 1000
        crops = [_crop(path) for path in known]
        automatic, took_s = _found(runtime, crops, Verify.AUTO)
        always, _ = _found(runtime, crops, Verify.ALWAYS)
        innocent = [upload for path in others for upload in (path.read_bytes(), _crop(path))]
        wrong, _ = _found(runtime, innocent, Verify.AUTO)
        related, _ = _found(runtime, innocent, Verify.NEVER, Band.RELATED)
        record = served.space.calibration
        expected = 0.0 if record is None else record.expected_fpr(record.related, embeddings) * len(innocent)
    return (
        f"{embeddings:,}",
        f"{2 * kilobytes:.1f}",
        f"{4 * kilobytes:.1f}",
        f"{1000 * wall_s / len(known):.1f}",
        f"{1000 * cpu_s / len(known):.1f}",
        f"{automatic} of {len(known)}",
        f"{always} of {len(known)}",
        f"{1000 * took_s / len(known):.1f}",
        f"{wrong} of {len(innocent)}",
        f"{related} of {len(innocent)}",
        f"{expected:.1f}",
    )


def _filled(runtime: Runtime, folder: Path) -> tuple[float, float]:
    kinds = job_kinds(runtime, None)
    job = runtime.catalog.jobs.create("ingest", kinds["ingest"].checked({"bank": BANK, "sources": [str(folder)]}))
    runner = Runner(runtime.catalog.jobs, kinds, runtime.settings.jobs_dir, runtime.log)
    began = time.perf_counter(), _cpu_s()
    runner.work_through(job.job_id)
    return time.perf_counter() - began[0], _cpu_s() - began[1]


def _found(runtime: Runtime, uploads: Sequence[bytes], verify: Verify, least: Band = Band.VARIANT) -> tuple[int, float]:
    """How many are matched by anything, and how long asking took."""
    options = MatchOptions(verify=verify, min_band=least)
    began = time.perf_counter()
    answers = [runtime.matcher.match(upload, options) for upload in uploads]
    return sum(bool(answer.matches) for answer in answers), time.perf_counter() - began


def _crop(path: Path) -> bytes:
    dice = np.random.default_rng(sum(path.name.encode()))
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    left, top = dice.uniform(0, 0.5, 2) * picture.size
    part = picture.crop((int(left), int(top), int(left + picture.width / 2), int(top + picture.height / 2)))
    buffer = io.BytesIO()
    part.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _cpu_s() -> float:
    own = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (own, *own.children(recursive=True)))


if __name__ == "__main__":
    main()
