"""The job that fills a bank: from folders, shards, manifests and lists of hashes, each content exactly once."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from index.catalog import Catalog
from index.errors import OriginalBeingRemoved, UnknownBank
from index.records.banks import Purpose
from index.records.items import Added, ItemKind, NewItem
from index.records.jobs import JobJson, Plan, Progress
from service.ingest import Banker
from service.jobs.ledger import Ledger, LinesElsewhere, merge
from service.jobs.options import IngestOptions, read_options
from service.jobs.pipeline import Refused, outcomes
from service.jobs.preparing import Known, Outcome, Prepared, Preparer
from service.jobs.rows import Row
from service.jobs.sources import Sources, checked_sources
from service.jobs.task import Task

INGEST: Final = "ingest"
SKIPPED: Final = "skipped"
_BATCH_ITEMS: Final = 128
_BATCH_ROWS: Final = 500
_BATCH_BYTES: Final = 64 * 1024 * 1024
_BATCH_S: Final = 2.0
_REMOVAL_S: Final = 600.0
_LOOK_EVERY_S: Final = 0.5


@dataclass(slots=True)
class _Batch:
    """Rows whose outcome is not written yet."""

    began: float = field(default_factory=time.monotonic)
    rows: int = 0
    known: int = 0
    skipped: int = 0
    items: list[tuple[Row, Prepared]] = field(default_factory=list)
    media: int = 0
    """Of the items, those that are more than a hash."""
    held: int = 0
    """Bytes of media that their rows hold."""
    after: JobJson = field(default_factory=dict)

    @property
    def due(self) -> bool:
        late = time.monotonic() - self.began >= _BATCH_S
        return self.rows >= _BATCH_ROWS or self.media >= _BATCH_ITEMS or self.held >= _BATCH_BYTES or late


class Ingest:
    """
    Args:
        banker: makes items of media.
        catalog: where they are written.
        threads: how many pictures are under way at once.
        most_bytes: of one picture.
        roots: the folders that may be read; None is everything.
    """

    def __init__(
        self, *, banker: Banker, catalog: Catalog, threads: int, most_bytes: int, roots: tuple[Path, ...] | None
    ) -> None:
        self._banker = banker
        self._preparer = Preparer(banker, catalog, threads)
        self._catalog = catalog
        self._threads = threads
        self._most_bytes = most_bytes
        self._roots = roots

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField, SourceRefused
        """
        found = read_options(IngestOptions, options)
        return {**found.model_dump(mode="json"), **checked_sources(found, self._roots)}

    def plan(self, task: Task) -> Plan:
        """
        Makes the bank, unless it is there.

        Raises:
            BankPurposeConflict, UnusableSource
        """
        bank, purpose = task.options["bank"], task.options["purpose"]
        try:
            existing = self._catalog.bank(bank)
        except UnknownBank:
            existing = None
        if existing is None or purpose not in (None, existing.purpose):
            self._catalog.put_bank(bank, Purpose(purpose or Purpose.HARMFUL))
        return self._sources(task).plan(task.stop_if_asked)

    def run(self, task: Task) -> None:
        parts = task.folder / "parts"
        parts.mkdir(exist_ok=True)
        rows = self._sources(task).rows(task.span, None if task.cursor is None else task.cursor["after"])
        length = 0 if task.cursor is None else int(task.cursor[SKIPPED])

        def prepare(chunk: Sequence[Row]) -> Sequence[Outcome]:
            return self._preparer.prepared(chunk, task)

        with (
            _ledger(task, length) as skipped,
            closing(outcomes(prepare, rows, self._threads)) as ended,
        ):
            batch = _Batch()
            for row, outcome in ended:
                _take(batch, row, outcome, skipped)
                if batch.due:
                    self._write(task, batch, skipped)
                    batch = _Batch()
            if batch.rows:
                self._write(task, batch, skipped)

    def finish(self, task: Task) -> JobJson:
        """The skipped rows are in one file then."""
        progress = self._catalog.jobs.get(task.job_id).progress
        listed = merge(task.folder, SKIPPED, progress.parts)
        return {
            "added": progress.counts.get("added", 0),
            "known": progress.counts.get("known", 0),
            "skipped": progress.counts.get("skipped", 0),
            "skipped_file": None if listed is None else listed.name,
        }

    def _sources(self, task: Task) -> Sources:
        return Sources.of(task.options, self._most_bytes)

    def _write(self, task: Task, batch: _Batch, skipped: Ledger) -> None:
        """What became of these rows, and that they are done: at the same instant, or neither."""
        cursor = {"after": batch.after, SKIPPED: skipped.synced()}

        def progress(added: Sequence[Added]) -> Progress:
            created = sum(each.created for each in added)
            known = batch.known + len(added) - created
            return task.progress(cursor, added=created, known=known, skipped=batch.skipped, done=batch.rows)

        if not batch.items:
            task.checkpoint(cursor, known=batch.known, skipped=batch.skipped, done=batch.rows)
            return
        self._banker.keep([each.staged for _, each in batch.items if each.staged is not None])
        added = self._banked(task, [each.item for _, each in batch.items], progress)
        for (row, _), each in zip(batch.items, added, strict=True):
            if row.read is not None:
                self._banker.keep_still(each, row.read)
        task.advanced(progress(added))

    def _banked(
        self, task: Task, items: Sequence[NewItem], progress: Callable[[Sequence[Added]], Progress]
    ) -> Sequence[Added]:
        """
        Raises:
            OriginalBeingRemoved: for longer than anybody is taken for alive who began it.
        """
        until = time.monotonic() + _REMOVAL_S
        while True:
            try:
                return self._catalog.add_items(task.options["bank"], items, progress)
            except OriginalBeingRemoved:
                if time.monotonic() >= until:
                    raise
            task.stop_if_asked()
            time.sleep(_LOOK_EVERY_S)


def _ledger(task: Task, length: int) -> Ledger:
    """On another machine than the part was begun on, a list of its own: what is banked matters more than the list."""
    try:
        return Ledger(task.folder, SKIPPED, task.part_no, length)
    except LinesElsewhere:
        return Ledger(task.folder, SKIPPED, task.part_no, 0)


def _take(batch: _Batch, row: Row, outcome: Outcome, skipped: Ledger) -> None:
    batch.rows += 1
    batch.after = row.after
    if isinstance(outcome, Refused):
        batch.skipped += 1
        skipped.append({"row": row.name, "reason": str(outcome)})
    elif isinstance(outcome, Known):
        batch.known += 1
    else:
        batch.items.append((row, outcome))
        batch.media += outcome.item.kind is not ItemKind.SIGNATURE
        batch.held += row.held_bytes
