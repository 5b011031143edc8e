"""Files that a job writes line by line, each line exactly once, also when its workers die."""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from index.records.jobs import FINISH
from service.jobs.errors import Hopeless

_PIECE = 1024 * 1024


class LinesElsewhere(Hopeless):
    pass


class Ledger:
    """
    JSON lines of one part. How long the file is belongs into the part's cursor: what is beyond that when the part is
    gone on with was written by somebody who died before it counted. What counts goes into a new file: one who lost
    the part without having noticed may still write into the old one.

    Args:
        folder: of the job.
        name: what the lines are about, such as `skipped`.
        part_no: whose they are.
        length: how many bytes of it count; 0 at the beginning of the part.

    Raises:
        LinesElsewhere: they are not all here: the part was begun on another machine.
    """

    def __init__(self, folder: Path, name: str, part_no: int, length: int) -> None:
        path = _path(folder, name, part_no)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.aside")
        self._file: IO[bytes] = aside.open("w+b")
        try:
            if length:
                _copy(path, length, self._file)
            aside.replace(path)
        except BaseException:
            self._file.close()
            aside.unlink(missing_ok=True)
            raise
        self._synced = length

    def append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n")

    def synced(self) -> int:
        """Brings what was appended to the disk; how long it is now."""
        length = self._file.tell()
        if length != self._synced:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._synced = length
        return length

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def missing_parts(folder: Path, name: str, parts: int) -> int:
    """How many parts have no such file here: they were done on another machine."""
    return sum(not _path(folder, name, part_no).exists() for part_no in range(1, parts + 1))


def lines(folder: Path, name: str, parts: int) -> Iterator[bytes]:
    """The lines of all parts in order, each with its end."""
    for part_no in range(1, parts + 1):
        path = _path(folder, name, part_no)
        if path.exists():
            with path.open("rb") as file:
                yield from file


def merge(folder: Path, name: str, parts: int) -> Path | None:
    """
    All parts in one file, `<name>.jsonl`; None when there is not a line. May be done again after a crash.

    What the parts had stays beside it until `forget`.
    """
    whole = folder / f"{name}.jsonl"
    aside = folder / f".{name}.aside"
    with aside.open("wb") as file:
        for line in lines(folder, name, parts):
            file.write(line)
        length = file.tell()
        file.flush()
        os.fsync(file.fileno())
    if not length:
        aside.unlink()
        return None
    aside.replace(whole)
    return whole


def _copy(path: Path, length: int, into: IO[bytes]) -> None:
    """The first bytes of a file, durably."""
    if not path.exists() or path.stat().st_size < length:
        raise LinesElsewhere(
            "The first lines of a part are on another machine. Let the machines share the folder `jobs` of their data "
            "directories, then try again."
        )
    with path.open("rb") as file:
        left = length
        while piece := file.read(min(left, _PIECE)):
            into.write(piece)
            left -= len(piece)
    into.flush()
    os.fsync(into.fileno())


def _path(folder: Path, name: str, part_no: int) -> Path:
    if not 0 < part_no < FINISH:
        raise ValueError("only parts of the work itself have such files")
    return folder / "parts" / f"{name}-{part_no:06d}.jsonl"
