"""
What verification costs an upload, and what it keeps of what is banked.

    python benchmarks/verification_cost.py --photos DIR

Photographs are banked; others, which are innocent of them, and edited copies of them are asked about with
`verify=never` and with `verify=auto` in turn, so that both see the same machine. The photographs should be none that
verification was calibrated on. Times are of one matching thread, without HTTP; what is added is the difference of the
two for the same upload.
"""

import argparse
import io
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from report import print_heading, print_table, quantile
from sqlalchemy import create_engine, func, select

from index.catalog.tables import features
from index.records.banks import Purpose
from models.evaluation.edits.kinds import Lender
from models.evaluation.edits.registry import EDITS, edited
from service.matching.matcher import MatchOptions
from service.runtime import Runtime
from service.schemas import Answer, Band, Verify
from service.settings import load_settings

SURE = (Band.EXACT, Band.VARIANT)
EDITED_OF_EACH = 3


@dataclass(frozen=True)
class Asked:
    """One upload, asked in both ways."""

    plain: Answer
    verified: Answer
    looked: bool
    """Whether an original was looked for."""
    cpu_ms: float
    """What the matching thread itself computed more: another load on the machine does not change it."""

    @property
    def added_ms(self) -> float:
        return self.verified.timings_ms.total - self.plain.timings_ms.total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--banked", type=int, default=500, help="how many of them are banked")
    parser.add_argument("--benign", type=int, default=400, help="how many of the others are asked about")
    parser.add_argument("--copies", type=int, default=100, help=f"banked ones with {EDITED_OF_EACH} edited copies each")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    print_heading("What verification costs", options)
    paths = sorted(path for path in options.photos.iterdir() if path.is_file())
    random.Random(options.seed).shuffle(paths)
    banked, others = paths[: options.banked], paths[options.banked :]
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder), log_level="error", originals="none")
        with Runtime.open(settings) as runtime:
            _run(runtime, banked, others, options)


def _run(runtime: Runtime, banked: list[Path], others: list[Path], options: argparse.Namespace) -> None:
    runtime.catalog.put_bank("known", Purpose.HARMFUL)
    items = {runtime.banker.add("known", path.read_bytes()).item.item_id: path for path in banked}
    frames, kept = _kept(runtime)
    benign = [_ask(runtime, path.read_bytes()) for path in others[: options.benign]]
    lent = [Image.open(path).convert("RGB") for path in others[-40:]]
    copies: dict[str, list[tuple[Path, Asked]]] = defaultdict(list)
    dice = random.Random(options.seed)
    for path in banked[: options.copies]:
        picture = Image.open(path).convert("RGB")
        for edit in dice.sample([one for one in EDITS if one.counted], EDITED_OF_EACH):
            upload = edited(edit, picture, path.name, _lender(lent))
            copies[edit.name].append((path, _ask(runtime, _jpeg(upload))))
    every = [asked for of_edit in copies.values() for _, asked in of_edit]
    rows = [_row("benign", benign), _row("edited copies", every)]
    rows += [_row("… that were looked at", [asked for asked in every if asked.looked])]
    rows += [_row("benign that were looked at", [asked for asked in benign if asked.looked])]
    print_table(
        ("uploads", "n", "looked at", "added ms p50", "p95", "p99", "added CPU ms p50", "p95", "ms in all, p50"), rows
    )
    wrong = [sum(any(match.band in SURE for match in each.matches) for each in answers) for answers in _ways(benign)]
    found = [
        sum(
            any(match.band in SURE and items[match.item_id] == path for match in answer(asked).matches)
            for of_edit in copies.values()
            for path, asked in of_edit
        )
        for answer in (lambda asked: asked.plain, lambda asked: asked.verified)
    ]
    print_table(
        ("", "verify=never", "verify=auto"),
        [
            ("benign called a copy", *(f"{count} of {len(benign)}" for count in wrong)),
            ("copies found", *(f"{count} of {len(every)}" for count in found)),
        ],
    )
    print_table(("kept", ""), [("frames", str(frames)), ("bytes of features a frame, mean", f"{kept:.0f}")])


def _lender(pictures: list[Image.Image]) -> Lender:
    return lambda dice: dice.choice(pictures)


def _ask(runtime: Runtime, data: bytes) -> Asked:
    ways = [Verify.NEVER, Verify.AUTO]
    answers, cpu, looked = {}, {}, False
    for verify in ways if time.monotonic_ns() % 2 else reversed(ways):  # neither always profits from warm caches
        looks, before = _looks(runtime), time.thread_time()
        answers[verify] = runtime.matcher.match(data, replace(MatchOptions(), verify=verify))
        cpu[verify] = time.thread_time() - before
        looked = looked or _looks(runtime) > looks
    added_cpu_ms = 1000 * (cpu[Verify.AUTO] - cpu[Verify.NEVER])
    return Asked(answers[Verify.NEVER], answers[Verify.AUTO], looked, added_cpu_ms)


def _looks(runtime: Runtime) -> float:
    """How many uploads were looked at so far."""
    (line,) = re.findall(rb"^afterimage_uploads_looked_at_total (\S+)$", runtime.metrics.exposition(), re.MULTILINE)
    return float(line)


def _ways(asked: list[Asked]) -> tuple[list[Answer], list[Answer]]:
    return [each.plain for each in asked], [each.verified for each in asked]


def _row(name: str, asked: list[Asked]) -> tuple[str, ...]:
    if not asked:
        return (name, "0", *[""] * 7)
    added = [each.added_ms for each in asked]
    total = statistics.median(each.verified.timings_ms.total for each in asked)
    looked = sum(each.looked for each in asked) / len(asked)
    figures = [
        f"{looked:.1%}",
        *(f"{quantile(added, share):.2f}" for share in (0.5, 0.95, 0.99)),
        *(f"{quantile([each.cpu_ms for each in asked], share):.2f}" for share in (0.5, 0.95)),
        f"{total:.1f}",
    ]
    return (name, str(len(asked)), *figures)


def _kept(runtime: Runtime) -> tuple[int, float]:
    engine = create_engine(runtime.settings.catalog_url)
    with engine.connect() as connection:
        row = connection.execute(select(func.count(), func.avg(func.length(features.c.data)))).one()
    engine.dispose()
    return int(row[0]), float(row[1])


def _jpeg(picture: Image.Image) -> bytes:
    held = io.BytesIO()
    picture.convert("RGB").save(held, "JPEG", quality=85)
    return held.getvalue()


if __name__ == "__main__":
    main()
