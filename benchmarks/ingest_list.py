"""
Rows a second of a long list into a bank, and the memory that takes: `python -m benchmarks.ingest_list`.

A list of PDQ hashes as text, in which one row in a hundred is bad and one repeats another, is ingested twice into a new
catalog on this disk: the first time its hashes are banked, the second time they are known. Only the job and the catalog
are open here, no model and no views.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report import print_heading, print_table
from index.catalog import Catalog
from service.jobs.ingest import Ingest
from service.jobs.runner import Runner
from service.logs import open_log


class NoMedia:
    """Instead of what banks media: a list of hashes has none."""

    def keep(self, staged: list[Any]) -> None:
        assert not staged

    def keep_still(self, added: object, read: Callable[[], bytes]) -> None:
        raise AssertionError((added, read))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="where the catalog goes; a temporary folder unless said")
    options = parser.parse_args()
    print_heading("Ingest of a long list", options)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folder = Path(work)
        _write_list(folder / "list.txt", options.rows)
        catalog = Catalog.open(f"sqlite:///{folder / 'catalog.db'}")
        kind = Ingest(banker=NoMedia(), catalog=catalog, threads=4, most_bytes=1 << 20, roots=None)  # type: ignore[arg-type]
        kept = kind.checked({"bank": "measured", "sources": [str(folder / "list.txt")]})
        rows = [_run(name, kind, catalog, kept, folder) for name in ("first time", "again")]
        catalog.close()
    print_table(("", "s", "rows/s", "added", "known", "skipped", "memory before, MiB", "most since, MiB"), rows)


def _run(name: str, kind: Ingest, catalog: Catalog, options: dict[str, Any], folder: Path) -> tuple[str, ...]:
    before_mib, began = _most_mib(), time.perf_counter()
    job = catalog.jobs.create("ingest", options)
    Runner(catalog.jobs, {"ingest": kind}, folder / "jobs", open_log("info")).work_through(job.job_id)
    took = time.perf_counter() - began
    counts = catalog.jobs.get(job.job_id).progress.counts
    figures = [f"{counts.get(each, 0):,}" for each in ("added", "known", "skipped")]
    return name, f"{took:.1f}", f"{counts['done'] / took:,.0f}", *figures, f"{before_mib:.0f}", f"{_most_mib():.0f}"


def _most_mib() -> float:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _write_list(path: Path, rows: int) -> None:
    source = random.Random(7)
    with path.open("w") as lines:
        for number in range(rows):
            if number % 100 == 50:
                lines.write("pdq this is no hash\n")
            elif number % 100 == 51:
                lines.write(f"pdq {'0' * 64}\n")
            else:
                lines.write(f"pdq {source.randbytes(32).hex()}\n")


if __name__ == "__main__":
    main()
