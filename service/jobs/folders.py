"""
Folders of pictures, and single files. A part is a range of paths, in order; so it needs no list of them anywhere.

What is a picture is told by its name's ending or by how its content begins: archives often name files by their digest.
Hidden files and folders are passed over, and linked folders, which may lead back up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from index.records.jobs import JobJson
from service.jobs.rows import Reach, Row
from service.jobs.sizes import part_sizes
from service.picture_files import looks_like_picture

Steps = tuple[str, ...]
"""A path below the folder, name by name: compared so, the order is that of walking."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Every picture below a folder, in the order of their paths."""

    path: Path
    reach: Reach

    def spans(self) -> Iterator[tuple[JobJson, int]]:
        """Parts and how many pictures each has now; what comes or goes later is in the range it falls into."""
        sizes = part_sizes()
        size, count = next(sizes), 0
        begin: Steps = ()
        last: Steps = ()
        for steps in _walk(self.path, (), (), None):
            if count == size:
                yield {"from": list(begin), "until": list(steps)}, count
                begin, size, count = steps, next(sizes), 0
            last = steps
            count += 1
        if last:
            yield {"from": list(begin), "until": None}, count

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        done = None if cursor is None else tuple(cursor["after"])
        until = None if span["until"] is None else tuple(span["until"])
        begin = tuple(span["from"]) if done is None else done
        for steps in _walk(self.path, (), begin, until):
            if steps != done:
                yield self._row(steps)

    def _row(self, steps: Steps) -> Row:
        file = self.path.joinpath(*steps)
        return Row(str(file), {"after": list(steps)}, read=lambda: self.reach.read(file))


@dataclass(frozen=True, slots=True)
class Files:
    """Files that were named one by one."""

    paths: tuple[Path, ...]
    reach: Reach

    def spans(self) -> Iterator[tuple[JobJson, int]]:
        sizes = part_sizes()
        first = 0
        while first < len(self.paths):
            end = min(first + next(sizes), len(self.paths))
            yield {"first": first, "end": end}, end - first
            first = end

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        first = int(span["first"] if cursor is None else cursor["next"])
        for place in range(first, int(span["end"])):
            yield self._row(place)

    def _row(self, place: int) -> Row:
        path = self.paths[place]
        return Row(str(path), {"next": place + 1}, read=lambda: self.reach.read(path))


def _walk(folder: Path, above: Steps, begin: Steps, until: Steps | None) -> Iterator[Steps]:
    """
    The pictures from `begin` on and before `until`; nothing outside that range is opened. A folder that cannot be read
    comes itself, as a row that cannot be used.
    """
    try:
        entries = _entries(folder)
    except FileNotFoundError:  # it is gone meanwhile
        return
    except OSError:
        if above >= begin:
            yield above
        return
    for entry in entries:
        steps = (*above, entry.name)
        if until is not None and steps >= until:
            return
        if steps < begin[: len(steps)]:
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _walk(entry, steps, begin, until)
        elif steps >= begin and entry.is_file() and looks_like_picture(entry):
            yield steps


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
