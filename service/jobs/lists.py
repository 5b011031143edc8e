"""
Lists in lines: JSON lines, CSV, and hashes as text. A part is a range of lines, and goes on from a byte.

Text lists are what ThreatExchange's own tools read and write: a hash a line, with `pdq` before it or not; its
`dataset --csv` has the columns `collab,signal_type,signal_str,category,tags`; its photo hasher writes
`hash,quality,filename` without a heading.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from index.records.jobs import JobJson
from service.jobs.errors import UnusableSource
from service.jobs.rows import Mapped, Row, UnusableRow, another_type, is_pdq
from service.jobs.sizes import part_sizes

_LONGEST_LINE: Final = 1 << 20
_MOST_LINES: Final = 200
"""In one record of a CSV, whose quoted fields may hold line ends."""
_HASH_DIGITS: Final = 64
_HASHER: Final = ("pdq", "pdq_quality", "name")
_DELIMITERS: Final = ",;\t"
Fields = dict[str, Any]


class _FarTooLong(UnusableRow):
    """A line that is not kept, so nothing before it can be put back."""


class Lines:
    """The lines of a file from a byte on, of which some may be put back."""

    def __init__(self, stream: IO[bytes], at: int) -> None:
        stream.seek(at)
        self._stream = stream
        self._again: list[bytes] = []
        self.at = at
        """The byte after everything that was taken."""

    def take(self) -> bytes:
        """The next line with its end, or a piece of one that is far too long; empty at the end of the file."""
        line = self._again.pop() if self._again else self._stream.readline(_LONGEST_LINE)
        self.at += len(line)
        return line

    def put_back(self, lines: Sequence[bytes]) -> None:
        self._again.extend(reversed(lines))
        self.at -= sum(map(len, lines))


Take = Callable[[Lines], Fields | None]
"""Reads one record: its fields, None when there is nothing in it. Raises UnusableRow, and EOFError at the end."""


@dataclass(frozen=True, slots=True)
class LineList:
    """
    A list whose records are read one after another.

    Args:
        path: of the file.
        mapped: what becomes of a record's fields.
    """

    path: Path
    mapped: Mapped

    def spans(self) -> Iterator[tuple[JobJson, int]]:
        """Parts and how many records each has, found by reading the file once."""
        sizes = part_sizes()
        size, records, number = next(sizes), 0, 0
        with self.path.open("rb") as stream:
            lines, take = self._opened(stream, None)
            start = lines.at
            first = 0
            for _ in _records(lines, take):
                records += 1
                number += 1
                if records == size:
                    yield {"start": start, "end": lines.at, "first": first}, records
                    size, records, start, first = next(sizes), 0, lines.at, number
        if records:
            yield {"start": start, "end": lines.at, "first": first}, records

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        place = cursor or {"at": span["start"], "row": span["first"]}
        number = int(place["row"])
        if place["at"] >= span["end"]:
            return
        with self.path.open("rb") as stream:
            lines, take = self._opened(stream, int(place["at"]))
            for record in _records(lines, take):
                number += 1
                after = {"at": lines.at, "row": number}
                name = f"{self.path}:{number}"
                if isinstance(record, UnusableRow):
                    yield Row(name, after, problem=str(record))
                else:
                    yield self.mapped.row(record, name, after)
                if lines.at >= span["end"]:
                    return

    def _opened(self, stream: IO[bytes], at: int | None) -> tuple[Lines, Take]:
        """Lines from there on, or from the first record; and how records are read, which the head of the file says."""
        head = Lines(stream, 0)
        take: Take
        if self.path.suffix.lower() in {".jsonl", ".ndjson"}:
            take, begin = _take_json, 0
        elif self.path.suffix.lower() in {".csv", ".tsv"}:
            take, begin = _csv_reader(head)
        else:
            take, begin = _take_hash, 0
        return Lines(stream, begin if at is None else at), take


def _records(lines: Lines, take: Take) -> Iterator[Fields | UnusableRow]:
    while True:
        try:
            record = take(lines)
        except EOFError:
            return
        except UnusableRow as problem:
            yield problem
        else:
            if record is not None:
                yield record


def _line(lines: Lines) -> bytes:
    line = lines.take()
    if not line:
        raise EOFError
    if len(line) >= _LONGEST_LINE:
        while line and not line.endswith(b"\n"):
            line = lines.take()
        raise _FarTooLong(f"a line of more than {_LONGEST_LINE} bytes")
    return line


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableRow("not UTF-8") from None


def _take_json(lines: Lines) -> Fields | None:
    text = _decoded(_line(lines)).strip()
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableRow("not JSON") from None
    if not isinstance(value, dict):
        raise UnusableRow("no JSON object")
    return value


def _take_hash(lines: Lines) -> Fields | None:
    text = _decoded(_line(lines)).strip()
    if not text or text.startswith("#"):
        return None
    if "," in text:
        return dict(zip(_HASHER, text.split(",", 2), strict=False))
    kind, found, rest = text.partition(" ")
    if found and not is_pdq(kind):
        raise UnusableRow(another_type(kind))
    return {"pdq": rest.strip() if found else text}


def _csv_reader(head: Lines) -> tuple[Take, int]:
    """
    How records of this CSV are read, and where the first one begins.

    Raises:
        UnusableSource: its head makes no sense.
    """
    try:
        first = _decoded(_line(head))
    except (EOFError, UnusableRow):
        return (lambda lines: _take_csv(lines, _HASHER, ",")), 0
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error:
        raise UnusableSource("The first line of a CSV, its headings, cannot be read.") from None
    if names and len(names[0]) == _HASH_DIGITS:  # a hash, not the name of a column
        return (lambda lines: _take_csv(lines, _HASHER, ",")), 0
    return (lambda lines: _take_csv(lines, names, delimiter)), head.at


def _take_csv(lines: Lines, names: Sequence[str], delimiter: str) -> Fields | None:
    """One record. Of one with an open quote only the first line is given up, not whatever follows it."""
    taken: list[bytes] = []

    def feed() -> Iterator[str]:
        while len(taken) < _MOST_LINES:
            try:
                taken.append(_line(lines))
            except EOFError:
                return
            yield _decoded(taken[-1])

    try:
        values = next(csv.reader(feed(), delimiter=delimiter, strict=True))
    except StopIteration:
        raise EOFError from None
    except _FarTooLong:
        raise
    except (csv.Error, UnusableRow) as error:
        lines.put_back(taken[1:])
        raise UnusableRow(str(error) if isinstance(error, UnusableRow) else "not CSV") from None
    if not values:
        return None
    if len(values) != len(names):
        raise UnusableRow(f"{len(values)} fields under {len(names)} headings")
    return dict(zip(names, values, strict=True))
