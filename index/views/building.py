"""
Writes the files of a snapshot into the folder that is set aside for it: in this process, or in one of its own.

    python -m index.views.building FOLDER

builds what `FOLDER/input/task.json` says, tells how far it is in lines of JSON, and ends early when its standard
input is closed: whoever asked for it is gone then. It runs beside a service, so it takes what that leaves.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.beside import give_way
from index.engines.tuning import RecallTarget
from index.errors import UnusableIndex
from index.records.changes import Version
from index.records.rows import Rows
from index.views.columns import ColumnWriter
from index.views.snapshots import MANIFEST, Manifest, facts_of, now, write_manifest

INPUT: Final = "input"
KEPT_FILE: Final = "kept.npy"
_TASK = "task.json"
_BLOCK = 1 << 14

Report = Callable[[str], None]
"""Told in a sentence what a long build is at."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to build: rows of an earlier snapshot and rows that lie beside the task, those of them that are kept."""

    view: str
    version: Version
    mark: str
    dim: int
    columns: tuple[str, ...]
    """The files of rows and origins."""
    base: str | None
    """The folder of the earlier snapshot."""
    engine: str | None
    """To build, if it reaches the recall; None lets the files be, for whoever reads them as they are."""
    recall: RecallTarget = field(default_factory=RecallTarget)
    """What such an engine must find."""


def write_task(aside: Path, task: Task) -> None:
    (aside / INPUT / _TASK).write_text(json.dumps(asdict(task)))


def build(aside: Path, report: Report) -> None:
    """
    Everything in the folder but its name.

    Raises:
        OSError: there is no room.
        UnusableIndex: the earlier snapshot cannot be read.
    """
    task = _task_in(aside)
    report("gathering the rows")
    rows = _gather(aside, task)
    finish(aside, task, rows, report)


def finish(aside: Path, task: Task, rows: int, report: Report) -> None:
    """
    The engine and the manifest of a folder whose columns are there.

    Raises:
        OSError: there is no room.
    """
    engine = _engine(aside, task, rows, report)
    _drop_input(aside)
    report("writing to the disk")
    write_manifest(
        aside,
        Manifest(
            view=task.view,
            version=task.version,
            mark=task.mark,
            rows=rows,
            dim=task.dim,
            engine=engine,
            created=now(),
            files=facts_of(aside),
        ),
    )


class Builder:
    """One build in a process of its own, at a low priority; `stop` from any thread ends it early."""

    def __init__(self, aside: Path, threads: int) -> None:
        self._aside = aside
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, report: Report) -> None:
        """
        Raises:
            OSError: it could not be started, was stopped, or failed: most likely there is no room.
        """
        command = (sys.executable, "-P", "-m", "index.views.building", str(self._aside))
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries write there, and what we have to say is said in JSON
            env=self._environment,
        )
        self._process = process
        if self._stopped:
            process.kill()
        said = b""
        with process:
            for line in process.stdout or ():
                said = line
                with suppress(ValueError, KeyError, TypeError):
                    report(json.loads(line)["at"])
        if process.returncode != 0 or not (self._aside / MANIFEST).exists():
            raise OSError(_reason(said, process.returncode))

    def stop(self) -> None:
        self._stopped = True
        if self._process is not None:
            self._process.kill()


def _reason(said: bytes, code: int) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(said)["failed"])
    return f"the process that builds it ended with {code}"


def _task_in(aside: Path) -> Task:
    document = json.loads((aside / INPUT / _TASK).read_text())
    recall = RecallTarget(**document.pop("recall"))
    return Task(**{**document, "columns": tuple(document["columns"]), "recall": recall})


def _gather(aside: Path, task: Task) -> int:
    kept: Rows = np.load(aside / INPUT / KEPT_FILE, mmap_mode="r", allow_pickle=False)
    for name in task.columns:
        sources = [_column(Path(task.base) / name)] if task.base is not None else []
        sources.append(_column(aside / INPUT / name))
        with ColumnWriter(aside / name, sources[0].dtype, sources[0].shape[1:]) as column:
            for block in _taken(sources, kept):
                column.append(block)
    return len(kept)


def _column(path: Path) -> NDArray[Any]:
    mapped = path.stat().st_size > np.lib.format.MAGIC_LEN + _BLOCK
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return np.asarray(array)


def _taken(sources: Sequence[NDArray[Any]], kept: Rows) -> Iterator[NDArray[Any]]:
    """The kept rows of the sources put behind each other, block by block."""
    first = len(sources[0]) if len(sources) > 1 else 0
    last = sources[-1]
    for start in range(0, len(kept), _BLOCK):
        rows = np.asarray(kept[start : start + _BLOCK])
        from_first = rows < first
        block = np.empty((len(rows), *last.shape[1:]), last.dtype)
        block[from_first] = sources[0][rows[from_first]]
        block[~from_first] = last[rows[~from_first] - first]
        yield block


def _engine(aside: Path, task: Task, rows: int, report: Report) -> dict[str, Any]:
    if task.engine is None:
        return {"engine": "scan", "rows": rows, "asked": None}
    from index.engines import ladder  # noqa: PLC0415 - FAISS is not needed for hashes
    from index.engines.description import Engine  # noqa: PLC0415 - likewise

    report(f"building {task.engine} over {rows:,} rows")
    return {**ladder.build(Engine(task.engine), aside, task.recall, report).to_json(), "asked": task.engine}


def _drop_input(aside: Path) -> None:
    folder = aside / INPUT
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _tell(**said: str) -> None:
    print(json.dumps(said), flush=True)  # noqa: T201 - to whoever started us


def main(arguments: Sequence[str]) -> int:
    (aside,) = arguments
    give_way()
    try:
        build(Path(aside), lambda at: _tell(at=at))
    except (OSError, UnusableIndex) as error:
        _tell(failed=getattr(error, "strerror", None) or str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - whoever asked shall know, and nobody else hears it
        _tell(failed=type(error).__name__)
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # as soon as it is done: nothing is left to tidy up
