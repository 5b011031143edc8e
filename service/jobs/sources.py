"""What a job reads: folders, single pictures, shards, manifests and lists of hashes, told apart by their names."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from index.records.jobs import JobJson, Plan
from service.errors import Fault, SourceRefused
from service.jobs.documents import JsonDocument
from service.jobs.errors import UnusableSource
from service.jobs.folders import Files, Folder
from service.jobs.lists import LineList
from service.jobs.options import SourceOptions
from service.jobs.parquet import ParquetList
from service.jobs.rows import Mapped, Reach, Row
from service.jobs.shards import Shard

_SHARDS: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LINES: Final = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".pdq", ".hashes")
_PARQUET: Final = ".parquet"
_DOCUMENT: Final = ".json"


class Source(Protocol):
    """Rows in parts; each part's rows come in the same order again, from any row's `after` on."""

    def spans(self) -> Iterator[tuple[JobJson, int | None]]:
        """Each part, and how many rows it has where that is known."""

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """
    Everything that one job reads.

    Args:
        paths: folders, files and lists, as they were named.
        reach: what may be read.
        labels: the fields of lists that become labels; None is all.
        folder: what the paths in lists are relative to; None is each list's own folder.
    """

    paths: tuple[Path, ...]
    reach: Reach
    labels: tuple[str, ...] | None = None
    folder: Path | None = None

    @classmethod
    def of(cls, options: JobJson, most_bytes: int) -> "Sources":
        """As `checked` keeps them among the options of a job."""
        within = options["within"]
        reach = Reach(tuple(map(Path, within or ())), within is None, most_bytes)
        labels = options["labels_from"]
        return cls(
            tuple(map(Path, options["sources"])),
            reach,
            None if labels is None else tuple(labels),
            None if options["root"] is None else Path(options["root"]),
        )

    def plan(self, stop_if_asked: Callable[[], None] = lambda: None) -> Plan:
        """
        The parts of all of them, one after another; the lists are read through once.

        Args:
            stop_if_asked: raises when nobody waits for the plan any more; what it raises is raised.

        Raises:
            UnusableSource: one of them is gone.
        """
        spans: list[JobJson] = []
        total: int | None = 0
        for first, source, stamp in self._all():
            stop_if_asked()
            for span, rows in source.spans():
                stop_if_asked()
                spans.append({"source": first, "stamp": stamp, **span})
                total = None if total is None or rows is None else total + rows
        return Plan(spans, total)

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        """
        The rows of one part, from a cursor on.

        Raises:
            UnusableSource: it is another file than the one that was planned.
        """
        path = self.paths[span["source"]]
        opened = self._opened(path)
        if isinstance(opened, Folder) is not ("from" in span):
            raise UnusableSource("A folder that the job reads is gone, or a picture has become one.")
        if span["stamp"] is not None and _stamp(path) != span["stamp"]:
            raise UnusableSource("A list or shard has changed since the job was planned; begin a new job.")
        source = Files(self.paths[span["source"] :], self.reach) if opened is None else opened
        yield from source.rows(span, cursor)

    def _all(self) -> Iterator[tuple[int, Source, Any]]:
        """Each with the place of its first path and what a change would show in; single pictures are one source."""
        place = 0
        while place < len(self.paths):
            source = self._opened(self.paths[place])
            if source is not None:
                yield place, source, None if isinstance(source, Folder) else _stamp(self.paths[place])
                place += 1
                continue
            end = place
            while end < len(self.paths) and self._opened(self.paths[end]) is None:
                end += 1
            yield place, Files(self.paths[place:end], self.reach), None
            place = end

    def _opened(self, path: Path) -> Source | None:
        """
        None for a picture.

        Raises:
            UnusableSource: it leads out of the folders that may be read by now.
        """
        if not self.reach.allows(path):
            raise UnusableSource("A source leads out of the folders that may be read.")
        name = path.name.lower()
        mapped = Mapped(self.folder or path.parent, self.reach, self.labels)
        if name.endswith(_SHARDS):
            return Shard(path, mapped)
        if name.endswith(_LINES):
            return LineList(path, mapped)
        if name.endswith(_PARQUET):
            return ParquetList(path, mapped)
        if name.endswith(_DOCUMENT):
            return JsonDocument(path, mapped)
        return Folder(path, self.reach) if path.is_dir() else None


def checked_sources(options: SourceOptions, roots: Sequence[Path] | None) -> JobJson:
    """
    The part of a job's options that is about what it reads, as it is kept.

    Args:
        options: as they were asked for.
        roots: the folders that may be read; None is everything, for who sits at this machine.

    Raises:
        SourceRefused: with a pointer at each that cannot be read, or may not be.
    """
    reach = Reach(tuple(roots or ()), roots is None)
    named = {f"/options/sources/{place}": each for place, each in enumerate(options.sources)}
    if options.root is not None:
        named["/options/root"] = options.root
    reasons = {pointer: _reason_against(path, reach) for pointer, path in named.items()}
    faults = [Fault(pointer, reason) for pointer, reason in reasons.items() if reason is not None]
    if faults:
        raise SourceRefused("What is to be read cannot be, or may not be.", faults)
    return {
        "sources": [str(Path(each).absolute()) for each in options.sources],
        "within": None if roots is None else [str(each.resolve()) for each in roots],
        "labels_from": options.labels_from,
        "root": None if options.root is None else str(Path(options.root).absolute()),
    }


def _reason_against(path: str, reach: Reach) -> str | None:
    try:
        if not reach.allows(Path(path)):
            return "not in a folder that AFTERIMAGE_INGEST_ROOTS names"
        return None if Path(path).exists() else "no such file or folder"
    except (OSError, RuntimeError):  # a name that is too long, links in a circle
        return "cannot be read"


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        raise UnusableSource("A file that the job reads is gone.") from None
    return [found.st_size, found.st_mtime_ns]
