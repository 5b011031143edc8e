"""
Runs one ingest again and again in processes of its own, and kills each at the instant it is told; a test reads what is
left. `python jobs_to_kill.py FOLDER SOURCE AFTER…`: how many pictures were decoded when it died, each time.
"""

import hashlib
import io
import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from index.catalog import Catalog
from index.records.items import Added, ItemKind, NewFrame, NewItem
from models.errors import UnsupportedMedia
from models.media.types import DecodedFrame, Media
from service.ingest import AddOptions
from service.jobs.ingest import Ingest
from service.jobs.runner import Runner
from service.logs import open_log
from service.originals import LocalOriginals, Staged


class Bytes:
    """Banks any bytes but those that begin with `bad`, and needs no model for it."""

    def __init__(self, originals: LocalOriginals, dies_after: int | None) -> None:
        self._originals = originals
        self._dies_after = dies_after
        self._count = itertools.count(1)

    def decoded(self, data: bytes, options: AddOptions, digest: str | None = None) -> Media:
        del options
        if next(self._count) == self._dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if data.startswith(b"bad"):
            raise UnsupportedMedia("not a picture")
        pixels = np.zeros((1, 1, 3), np.uint8)
        frame = DecodedFrame(pixels, hashlib.sha256(data).digest(), 100, low_information=False, position_ms=0)
        return Media("image", "bytes", 1, 1, (frame,), None, digest or hashlib.sha256(data).hexdigest())

    def items_of(self, asked: Sequence[tuple[Media, AddOptions]], tiles: int = 0) -> list[NewItem]:
        del tiles
        return [
            NewItem(ItemKind.IMAGE, [NewFrame(0, media.frames[0].pdq, 100)], options.labels, media.sha256)
            for media, options in asked
        ]

    def stage(self, item: NewItem, data: bytes) -> tuple[NewItem, Staged]:
        return replace(item, original_bytes=len(data)), self._originals.stage(item.sha256 or "", data)

    def keep(self, staged: Sequence[Staged]) -> None:
        self._originals.keep(staged)

    def keep_still(self, added: Added, read: Callable[[], bytes]) -> None:
        del added, read


def run(folder: Path, source: Path, dies_after: int | None) -> None:
    catalog = Catalog.open(f"sqlite:///{folder / 'catalog.db'}")
    banker = Bytes(LocalOriginals(folder / "originals"), dies_after)
    kind = Ingest(banker=banker, catalog=catalog, threads=3, most_bytes=10_000, roots=None)  # type: ignore[arg-type]
    options = kind.checked({"bank": "known", "sources": [str(source)]})
    job_id = catalog.jobs.unfinished("ingest", options) or catalog.jobs.create("ingest", options).job_id
    log = open_log("info", io.StringIO())
    Runner(catalog.jobs, {"ingest": kind}, folder / "jobs", log).work_through(job_id)
    catalog.close()


def main() -> None:
    folder, source = Path(sys.argv[1]), Path(sys.argv[2])
    for text in [*sys.argv[3:], "never"]:
        child = os.fork()  # of a process without threads, which has imported everything once
        if child == 0:
            run(folder, source, None if text == "never" else int(text))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 'ended'}\n")


if __name__ == "__main__":
    main()
