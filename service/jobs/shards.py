"""
Shards in the manner of WebDataset: tar files of samples, whose files share a name up to its first dot.

`000123.jpg` beside `000123.json` and `000123.cls`: the picture, its labels (a JSON object of plain values), its class.
A part is a shard, and goes on from a byte of it.
"""

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from index.records.banks import Labels
from index.records.jobs import JobJson
from service.jobs.rows import Mapped, Row, UnusableRow, checked_labels
from service.picture_files import is_picture_name

_LABELS: Final = "json"
_CLASS: Final = "cls"
_MOST_LABEL_BYTES: Final = 1 << 20
_MOST_HEADER_BYTES: Final = 1 << 20
"""Of a long name or an extended header, which tarfile reads whole."""
_MOST_PICTURES: Final = 64
_MOST_HELD_BYTES: Final = 64 * 1024 * 1024
_EXTENDED: Final = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)


@dataclass(slots=True)
class _Sample:
    """The files of one sample, as they come."""

    key: str
    at: int
    """Where its first header begins."""
    pictures: list[tuple[str, bytes | None]] = field(default_factory=list)
    labels: Labels = field(default_factory=dict)
    problem: str | None = None
    held: int = 0
    """Bytes of its pictures."""

    @property
    def is_full(self) -> bool:
        """No more of it is held at once: tars of plain pictures may share the beginning of their names."""
        return len(self.pictures) >= _MOST_PICTURES or self.held >= _MOST_HELD_BYTES


class _Header(tarfile.TarInfo):
    """Tells damage from the end, for which tarfile takes it, and refuses what would not fit into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            if not any(buf):  # the end, or nothing at all
                raise
            raise tarfile.ReadError("a damaged header") from None
        if found.size < 0 or (found.type in _EXTENDED and found.size > _MOST_HEADER_BYTES):
            raise tarfile.ReadError("a header that makes no sense")
        return found


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar file; plain, or compressed, which can only be gone on with by reading it from the beginning."""

    path: Path
    mapped: Mapped

    def spans(self) -> Iterator[tuple[JobJson, int | None]]:
        """One part; how many samples it has, reading it would show."""
        yield {}, None

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        del span
        begin = 0 if cursor is None else int(cursor["at"])
        skip = 0 if cursor is None else int(cursor["pictures"])
        try:
            for sample, end in _samples(self.path, begin, self.mapped.reach.most_bytes):
                yield from self._rows(sample, end)[skip:]
                skip = 0
        except (tarfile.TarError, EOFError, OSError, ArithmeticError, LookupError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk or the network: that may be over soon
            # What came before it is done; what comes after it nobody can find.
            yield Row(
                str(self.path), {"at": _END, "pictures": 0}, problem=f"the shard is damaged ({type(error).__name__})"
            )

    def _rows(self, sample: _Sample, end: int) -> list[Row]:
        name = f"{self.path}:{sample.key}"
        after: JobJson = {"at": end, "pictures": 0}
        if sample.problem is not None or not sample.pictures:
            return [Row(name, after, problem=sample.problem or "a sample without a picture")]
        rows = []
        for place, (file, data) in enumerate(sample.pictures, start=1):
            last = place == len(sample.pictures)
            cursor = after if last else {"at": sample.at, "pictures": place}
            if data is None:
                rows.append(Row(f"{self.path}:{file}", cursor, problem="too large"))
            else:
                rows.append(Row(f"{self.path}:{file}", cursor, self._chosen(sample.labels), _holding(data), len(data)))
        return rows

    def _chosen(self, labels: Labels) -> Labels:
        if self.mapped.labels is None:
            return labels
        return {name: labels[name] for name in self.mapped.labels if name in labels}


_END: Final = 1 << 62


def _holding(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def _samples(path: Path, begin: int, most_bytes: int) -> Iterator[tuple[_Sample, int]]:
    """Each sample from a byte on, and the byte after it; one of too many pictures in pieces, each for itself."""
    sample: _Sample | None = None
    with path.open("rb") as file:
        for member, stream in _members(file, begin):
            key = _key(member.name)
            if sample is not None and (key != sample.key or sample.is_full):
                yield sample, member.offset
                sample = None
            if sample is None:
                sample = _Sample(key, member.offset)
            _take(sample, member, stream, most_bytes)
        if sample is not None:
            yield sample, _END


def _members(file: IO[bytes], begin: int) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Files of the tar from a byte on with their content, none of which is remembered."""
    if begin >= _END:
        return
    plain = _is_plain(file)
    file.seek(begin if plain else 0)
    last = -1
    with tarfile.open(fileobj=file, mode="r:" if plain else "r|*", tarinfo=_Header) as tar:
        while (member := tar.next()) is not None:
            if member.offset <= last:  # a length below nothing: it would never end
                raise tarfile.ReadError("the shard leads back into itself")
            last = member.offset
            tar.members = []  # type: ignore[attr-defined] # else it keeps every header it has seen
            if member.isfile() and member.offset >= begin:
                content = tar.extractfile(member)
                if content is not None:
                    yield member, content


def _is_plain(file: IO[bytes]) -> bool:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header):
            return True
    except (tarfile.TarError, ArithmeticError, LookupError, ValueError):
        return False


def _take(sample: _Sample, member: tarfile.TarInfo, content: IO[bytes], most_bytes: int) -> None:
    ending = PurePosixPath(member.name).name.partition(".")[2].lower()
    if is_picture_name(member.name):
        data = content.read() if member.size <= most_bytes else None
        sample.pictures.append((member.name, data))
        sample.held += 0 if data is None else len(data)
        return
    if ending not in {_LABELS, _CLASS} or member.size > _MOST_LABEL_BYTES:
        return
    try:
        given = _labels(ending, content.read())
        sample.labels = {**sample.labels, **given}
    except (UnusableRow, ValueError, RecursionError):
        sample.problem = f"the labels in .{ending} are not plain values"


def _labels(ending: str, data: bytes) -> Labels:
    if ending == _CLASS:
        return checked_labels({_CLASS: data.decode().strip()})
    value = json.loads(data)
    if not isinstance(value, dict):
        raise UnusableRow("no JSON object")
    return checked_labels(value)


def _key(name: str) -> str:
    """A sample's files share their folder and their name up to its first dot."""
    folder, slash, own = name.rpartition("/")
    return folder + slash + (own.partition(".")[0] or own)
