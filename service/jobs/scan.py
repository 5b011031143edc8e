"""The job that looks through an archive for what is banked, and records nothing but its own results."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from index.catalog import Catalog
from index.records.jobs import JobJson, Plan
from service.errors import Fault, InvalidField
from service.jobs.errors import Hopeless
from service.jobs.ledger import Ledger, merge, missing_parts
from service.jobs.options import LocalScanOptions, ScanOptions, read_options
from service.jobs.parquet import PARQUET_IS_MISSING, parquet_is_installed, write_parquet
from service.jobs.pipeline import Refused, or_refused, outcomes
from service.jobs.rows import Row, UnusableRow
from service.jobs.sources import Sources, checked_sources
from service.jobs.task import Task
from service.matching.asked_banks import BankChoice
from service.matching.matcher import Matcher, MatchOptions
from service.matching.queries import Signature
from service.schemas import Answer, Band

SCAN: Final = "scan"
RESULTS: Final = "results"
SKIPPED: Final = "skipped"
_BATCH_ROWS: Final = 256
_BATCH_S: Final = 2.0


@dataclass(slots=True)
class _Batch:
    began: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    after: JobJson = field(default_factory=dict)

    @property
    def due(self) -> bool:
        return self.rows >= _BATCH_ROWS or time.monotonic() - self.began >= _BATCH_S

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


class Scan:
    """
    Args:
        matcher: answers as `POST /v1/match` does.
        catalog: knows the job.
        threads: how many pictures are under way at once.
        most_bytes: of one picture.
        roots: the folders that may be read, and none written to; None is everything.
    """

    def __init__(
        self, *, matcher: Matcher, catalog: Catalog, threads: int, most_bytes: int, roots: tuple[Path, ...] | None
    ) -> None:
        self._matcher = matcher
        self._catalog = catalog
        self._threads = threads
        self._most_bytes = most_bytes
        self._roots = roots

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField, SourceRefused
        """
        here = self._roots is None  # what is asked for over HTTP leaves its results in the folder of the job
        found = read_options(LocalScanOptions if here else ScanOptions, options)
        if found.format == "parquet" and not parquet_is_installed():
            raise InvalidField(PARQUET_IS_MISSING, [Fault("/options/format", "cannot be written here")])
        return {"output": None, **found.model_dump(mode="json"), **checked_sources(found, self._roots)}

    def plan(self, task: Task) -> Plan:
        """
        Raises:
            UnusableSource
        """
        for bank in task.options["banks"]:
            self._catalog.bank(bank)
        return self._sources(task).plan(task.stop_if_asked)

    def run(self, task: Task) -> None:
        (task.folder / "parts").mkdir(exist_ok=True)
        cursor = task.cursor or {"after": None, RESULTS: 0, SKIPPED: 0}
        rows = self._sources(task).rows(task.span, cursor["after"])
        options = task.options

        def ask(chunk: Sequence[Row]) -> list[Answer | Refused]:
            return [or_refused(partial(self._answer, row, options), task.stop_if_asked) for row in chunk]

        with (
            Ledger(task.folder, RESULTS, task.part_no, cursor[RESULTS]) as results,
            Ledger(task.folder, SKIPPED, task.part_no, cursor[SKIPPED]) as skipped,
            closing(outcomes(ask, rows, self._threads)) as ended,
        ):
            batch = _Batch()
            for row, outcome in ended:
                batch.rows += 1
                batch.after = row.after
                if isinstance(outcome, Refused):
                    batch.count("skipped")
                    skipped.append({"row": row.name, "reason": str(outcome)})
                else:
                    batch.count(outcome.verdict.band.value)
                    if outcome.matches or not options["matches_only"]:
                        results.append(result_of(row, outcome))
                if batch.due:
                    _checkpoint(task, batch, results, skipped)
                    batch = _Batch()
            if batch.rows:
                _checkpoint(task, batch, results, skipped)

    def finish(self, task: Task) -> JobJson:
        """
        The results in one file, in the order of the rows.

        Raises:
            Hopeless: parts were done on machines that keep their files for themselves.
        """
        progress = self._catalog.jobs.get(task.job_id).progress
        elsewhere = missing_parts(task.folder, RESULTS, progress.parts)
        if elsewhere:
            raise Hopeless(
                f"The results of {elsewhere} parts are on other machines. Let the machines share the folder `jobs` of "
                "their data directories, then try again."
            )
        skipped = merge(task.folder, SKIPPED, progress.parts)
        results = merge(task.folder, RESULTS, progress.parts)
        if results is None:
            results = task.folder / f"{RESULTS}.jsonl"
            results.touch()
        if task.options["format"] == "parquet":
            results = write_parquet(results, results.with_suffix(".parquet"))
        output = task.options["output"]
        if output is not None:
            results = _put(results, Path(output))
        return {
            **progress.counts,
            "results_file": results.name if output is None else str(results),
            "skipped_file": None if skipped is None else skipped.name,
        }

    def _sources(self, task: Task) -> Sources:
        return Sources.of(task.options, self._most_bytes)

    def _answer(self, row: Row, options: JobJson) -> Answer:
        if row.problem is not None:
            raise UnusableRow(row.problem)
        asked = MatchOptions(
            choice=BankChoice(frozenset(options["banks"])), k=options["k"], min_band=Band(options["min_band"])
        )
        if row.pdq is not None:
            return self._matcher.match_embeddings(Signature("", [], [row.pdq]), asked)
        if row.read is None:
            raise UnusableRow("nothing to read")
        return self._matcher.match(row.read(), asked)


def result_of(row: Row, answer: Answer) -> dict[str, Any]:
    """One line of the results: the answer about a row, without what is the same for all."""
    said = answer.model_dump(mode="json", include={"index_version", "embedder_id", "media", "verdict", "matches"})
    return {"row": row.name, "labels": dict(row.labels), **said}


def _checkpoint(task: Task, batch: _Batch, results: Ledger, skipped: Ledger) -> None:
    cursor = {"after": batch.after, RESULTS: results.synced(), SKIPPED: skipped.synced()}
    task.checkpoint(cursor, done=batch.rows, **batch.counts)


def _put(results: Path, output: Path) -> Path:
    """A copy where it was asked for, whole or not at all."""
    import shutil  # noqa: PLC0415

    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.aside")
    shutil.copyfile(results, aside)
    aside.replace(output)
    return output
