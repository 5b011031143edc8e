"""Many rows at once through the decoders and the model, and their outcomes in the order of the rows."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, TypeVar

from models.errors import BadHash, EmbeddingFailed, MediaError, QueueFull
from service.concurrently import concurrently
from service.errors import LowInformation, RequestError
from service.jobs.rows import Row, UnusableRow

Outcome = TypeVar("Outcome")
Work = Callable[[Sequence[Row]], Sequence[Outcome]]

CHUNK_ROWS: Final = 8
_CHUNK_BYTES: Final = 8 * 1024 * 1024
_PATIENCE_S: Final = 0.05


class Refused(Exception):
    """A row that cannot be used, and why: the others go on."""


def outcomes(work: Work[Outcome], rows: Iterator[Row], threads: int) -> Generator[tuple[Row, Outcome]]:
    """
    What became of each row.

    Args:
        work: does a few rows, in any thread; answers one outcome for each.
        rows: taken only as far as they are needed.
        threads: how many are under way at once.
    """
    with closing(concurrently(work, _chunks(rows), threads, ahead=2)) as ended:
        for chunk, future in ended:
            yield from zip(chunk, future.result(), strict=True)


def or_refused(one: Callable[[], Outcome], stop_if_asked: Callable[[], None]) -> Outcome | Refused:
    """
    What is wrong with a row is its outcome; what is wrong with us is raised.

    Args:
        one: does one row.
        stop_if_asked: raises when it must not be begun.
    """
    while True:
        stop_if_asked()
        try:
            return one()
        except QueueFull:
            time.sleep(_PATIENCE_S)  # uploads come first
        except (UnusableRow, MediaError, EmbeddingFailed, BadHash, LowInformation, RequestError) as error:
            return Refused(str(error))


def _chunks(rows: Iterator[Row]) -> Iterator[Sequence[Row]]:
    """A few rows each, fewer where they hold their media in memory."""
    chunk: list[Row] = []
    held = 0
    for row in rows:
        chunk.append(row)
        held += row.held_bytes
        if len(chunk) == CHUNK_ROWS or held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk
