"""
Builds the ladder's engine over some rows, in a process of its own, and opens it here.

    python -m index.sightings.sieving FOLDER

builds what lies in the folder, writes `built.json` and ends. It ends early when its standard input is closed: whoever
asked for it is gone then.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from index.beside import give_way
from index.engines import ladder
from index.engines.description import Engine, IndexDescription
from index.engines.halves import Halves, whole
from index.engines.vectors import VectorIndex
from index.errors import UnusableIndex

_LOG = logging.getLogger(__name__)
_BUILT: Final = "built.json"
_BLOCK: Final = 1 << 14


class Sieve:
    """
    One build; it has begun.

    Args:
        folder: a new one, for its files.
        parts: the rows, shape (n, dim) each.
        dim: their length.

    Raises:
        OSError: there is no room for the rows.
    """

    def __init__(self, folder: Path, parts: Sequence[Halves], dim: int) -> None:
        self.folder = folder
        self._dim = dim
        folder.mkdir()
        blocks = (whole(part[start : start + _BLOCK]) for part in parts for start in range(0, len(part), _BLOCK))
        ladder.write_rows(folder, blocks, sum(len(part) for part in parts), dim)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            (sys.executable, "-P", "-m", "index.sightings.sieving", str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def opened(self) -> tuple[VectorIndex, Halves] | None:
        """The engine and its rows, once it has ended; None where it failed: what was searched before goes on."""
        self._close()
        try:
            description = IndexDescription.from_json(json.loads((self.folder / _BUILT).read_text()))
            return ladder.open_index(self.folder, description, self._dim), ladder.read_rows(self.folder)
        except (OSError, ValueError, UnusableIndex) as error:
            _LOG.warning("sightings cannot be sieved (%s): they are compared one by one", type(error).__name__)
            return None

    def wait(self) -> None:
        self._process.wait()

    def stop(self) -> None:
        self._process.kill()
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    give_way()
    built = ladder.build(Engine.PQ, folder)
    aside = folder / f"{_BUILT}.new"
    aside.write_text(json.dumps(built.to_json()))
    aside.rename(folder / _BUILT)
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
