"""
Snapshots: the large parts of views as files, from which a process resumes instead of reading the whole catalog.

    snapshots/
    ├── builder.lock                     held by the one process that builds
    └── <space, or pdq>/
        ├── 00000003-000000120000/       the third one, of the catalog's version 120000
        │   ├── manifest.json            what it is of, and a checksum of every file
        │   ├── items.npy tags.npy banks.npy positions.npy
        │   └── …                        the rows, and what the engine keeps beside them
        └── .aside-…/                    one that is being written

A folder is whole or has no such name: it is written aside, synced and renamed. It never changes afterwards, so
processes map it and share its memory. Numbers ascend, also where the catalog was set back to an older backup.
"""

import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from index.errors import UnusableIndex
from index.records.changes import Version

FORMAT = 1
"""Of the folder and its manifest. What a newer one means is not known here."""
KEPT = 2
"""So many of a view stay: the newest, and the one before it in case the newest is damaged."""
MANIFEST = "manifest.json"

_ASIDE = ".aside-"
_LOCK = "builder.lock"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    bytes: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is of."""

    view: str
    """The space, or the name of the view of hashes."""
    version: Version
    """It holds what could be found at this version of the catalog."""
    mark: str
    """The log's entry of that number: another catalog, or an older backup of ours, has another there."""
    rows: int
    dim: int
    engine: Mapping[str, Any]
    """What the engine says of itself."""
    created: str
    files: Mapping[str, FileFacts]

    def to_json(self) -> dict[str, Any]:
        document = {"format": FORMAT, **asdict(self)}
        return {**document, "crc32": _crc32_of(document)}


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot in its place, whose manifest has been read and whose files have not."""

    folder: Path
    number: int
    manifest: Manifest

    def verify(self) -> None:
        """
        Reads every byte: some gigabytes a second, from memory.

        Raises:
            UnusableIndex: a file is missing, cut short or damaged.
        """
        for name, facts in self.manifest.files.items():
            try:
                length = (self.folder / name).stat().st_size
            except OSError as error:
                raise UnusableIndex(f"{name} is missing") from error
            if length != facts.bytes:
                raise UnusableIndex(f"{name} has {length} bytes and should have {facts.bytes}")
        for name, facts in self.manifest.files.items():
            try:
                sound = _facts_of(self.folder / name) == facts
            except OSError as error:
                raise UnusableIndex(f"{name} cannot be read") from error
            if not sound:
                raise UnusableIndex(f"{name} is damaged")


class SnapshotStore:
    """
    The snapshots of one data directory. Safe from any thread; processes that share the directory agree by its files.

    Args:
        folder: created when the first snapshot is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self, view: str) -> int:
        """The number of the newest snapshot of a view, sound or not; 0 when there is none. Cheap."""
        return max((number for number, _ in self._numbered(view)), default=0)

    def of_view(self, view: str) -> Iterator[tuple[int, Path]]:
        """Newest first; none while the folder cannot be read, as serving goes on without."""
        with suppress(OSError):
            yield from sorted(self._numbered(view), reverse=True)

    def read(self, view: str, number: int, folder: Path) -> StoredSnapshot:
        """
        Raises:
            UnusableIndex: its manifest is missing, damaged, of a newer format, or of another view.
        """
        manifest = _read_manifest(folder / MANIFEST)
        if manifest.view != view:
            raise UnusableIndex("it is of another space")
        return StoredSnapshot(folder, number, manifest)

    @contextmanager
    def building(self) -> Iterator[bool]:
        """Whether this process may build now; while it may, no other one of the directory does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    @contextmanager
    def writing(self, view: str) -> Iterator[Path]:
        """
        A folder to write a snapshot into; gone again unless it was `put` in its place. Hold `building` meanwhile.

        Raises:
            OSError: there is no room, or no permission.
        """
        home = self.home(view)
        home.mkdir(parents=True, exist_ok=True)
        for place in (self.folder, home):
            for left_behind in place.glob(f"{_ASIDE}*"):  # by one that was killed: nobody else builds now
                shutil.rmtree(left_behind, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=home))
        try:
            aside.chmod(0o755)
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def put(self, view: str, aside: Path) -> int:
        """
        Gives what was written aside its name and place, and lets go of the oldest. Returns its number.

        Raises:
            UnusableIndex: it has no manifest that can be read.
            OSError: it cannot be renamed.
        """
        manifest = _read_manifest(aside / MANIFEST)
        home, number = self.home(view), self.newest(view) + 1
        aside.rename(home / f"{number:08d}-{manifest.version:012d}")
        sync(home)
        self.prune(view)
        return number

    def prune(self, view: str) -> None:
        """Lets go of all but the newest; whoever has an older one mapped keeps it as long as it is used."""
        for _, folder in list(self.of_view(view))[KEPT:]:
            _remove(folder)

    def remove(self, view: str) -> None:
        """Every snapshot of a view."""
        with suppress(FileNotFoundError):
            _remove(self.home(view))

    def views(self) -> list[str]:
        """The folders' names of all views that have one."""
        with suppress(FileNotFoundError):
            names = (entry.name for entry in os.scandir(self.folder) if entry.is_dir())
            return sorted(name for name in names if not name.startswith(_ASIDE))
        return []

    def home(self, view: str) -> Path:
        """Where the snapshots of a view are."""
        return self.folder / quote(view, safe="")

    def _numbered(self, view: str) -> Iterator[tuple[int, Path]]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.home(view)) as entries:
            for entry in entries:
                number, _, version = entry.name.partition("-")
                if number.isdigit() and version.isdigit():
                    yield int(number), Path(entry.path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """
    The last file of a snapshot; everything is on the disk when it returns.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest.to_json(), indent=1, sort_keys=True))
    for name in (*manifest.files, MANIFEST):
        sync(folder / name)
    sync(folder)


def facts_of(folder: Path) -> dict[str, FileFacts]:
    """Every file that lies in a folder."""
    return {path.name: _facts_of(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _facts_of(path: Path) -> FileFacts:
    """
    A file's length and checksum.

    CRC-32 finds every burst of up to 32 bits and all but one in four thousand million other damages, at the speed
    of memory. It does not stop who can write to the directory: they could as well write to the catalog.
    """
    crc, length = 0, 0
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            crc = zlib.crc32(view[:count], crc)
            length += count
    return FileFacts(length, crc)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def sync(path: Path) -> None:
    """Onto the disk; of a folder, the names in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_manifest(path: Path) -> Manifest:
    try:
        document: dict[str, Any] = dict(json.loads(path.read_text()))
        if int(document["format"]) > FORMAT:
            raise UnusableIndex("a newer release has written it")
        if document.pop("crc32") != _crc32_of(document):
            raise UnusableIndex("its manifest is damaged")
        return Manifest(
            view=str(document["view"]),
            version=Version(int(document["version"])),
            mark=str(document["mark"]),
            rows=int(document["rows"]),
            dim=int(document["dim"]),
            engine=dict(document["engine"]),
            created=str(document["created"]),
            files={str(name): FileFacts(**facts) for name, facts in document["files"].items()},
        )
    except FileNotFoundError as error:
        raise UnusableIndex("its manifest is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableIndex("its manifest cannot be read") from error


def _crc32_of(document: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def _remove(folder: Path) -> None:
    """Out of sight first, so that nobody opens half of it."""
    aside = folder.with_name(f"{_ASIDE}old-{folder.name}-{uuid4().hex}")
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
