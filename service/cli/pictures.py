"""Finds the picture files that a user means by a list of paths."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.picture_files import looks_like_picture

MAX_FILE_BYTES = 1 << 30
"""More than any service takes; a file over this is not even read."""


class UnreadableFile(Exception):
    """A path that cannot be used; the sentence says why."""


@dataclass(slots=True)
class Found:
    """What a list of paths came to."""

    pictures: list[Path] = field(default_factory=list)
    left_alone: int = 0
    """Files inside folders that are no pictures."""
    missing: list[Path] = field(default_factory=list)


def find_pictures(paths: Iterable[Path]) -> Found:
    """
    Every file that was named, and every picture below every folder that was named, each once.

    In a folder a file counts as a picture by its name's ending or by how its content begins: archives often name
    files by their digest. Hidden files and folders are passed over.
    """
    found = Found()
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            for file in _walk(path):
                if not looks_like_picture(file):
                    found.left_alone += 1
                elif file.resolve() not in seen:
                    seen.add(file.resolve())
                    found.pictures.append(file)
        elif not path.exists():
            found.missing.append(path)
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            found.pictures.append(path)
    return found


def read_picture(path: Path) -> bytes:
    """
    The bytes of a file.

    Raises:
        UnreadableFile: with the reason.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableFile("larger than any service takes")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile((error.strerror or "cannot be read").lower()) from error


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            # A linked folder may lead back up; its files are reached where they lie.
            if not entry.is_symlink():
                yield from _walk(entry)
        elif entry.is_file():
            yield entry
