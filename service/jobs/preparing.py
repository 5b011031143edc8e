"""What an ingest does with its rows before they are banked: in many threads, and embedding several pictures at once."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from index.catalog import Catalog
from index.records.banks import Labels
from index.records.items import ItemKind, NewFrame, NewItem
from models.media.sandbox import Precedence
from models.media.types import Media
from models.perceptual import pdq_from_hex
from service.ingest import AddOptions, Banker
from service.jobs.pipeline import Refused, or_refused
from service.jobs.rows import Row, UnusableRow
from service.jobs.task import Task
from service.originals import Staged

_HELD_BYTES: Final = 1024 * 1024
TOGETHER: Final = 8
"""
Frames embedded at once, tiles counted: by one they cost two to three times as much each, by sixteen hardly less than
by eight.
"""


@dataclass(frozen=True, slots=True)
class Known:
    """The bank holds these bytes already; they were not looked at again."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ready to be banked; of media whose original is kept, that is staged."""

    item: NewItem
    staged: Staged | None = None


Outcome = Prepared | Known | Refused


@dataclass(frozen=True, slots=True)
class _Read:
    """The media of a row; without data where they are too large to be held while others are done."""

    digest: str | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What is to be embedded."""

    data: bytes
    media: Media
    options: AddOptions


class Preparer:
    """
    Safe from any thread.

    Args:
        banker: makes items of media.
        catalog: says what is there already.
        threads: how many pictures may be under way at once. No more frames than that wait for the model, or one group
            of them: whoever uploads one meanwhile is behind them.
    """

    def __init__(self, banker: Banker, catalog: Catalog, threads: int) -> None:
        self._banker = banker
        self._catalog = catalog
        self._turns = threading.Semaphore(max(1, threads // TOGETHER))

    def prepared(self, chunk: Sequence[Row], task: Task) -> list[Outcome]:
        """The outcomes of a few rows, in their order, with one look at which of their bytes the bank holds already."""
        read = [or_refused(partial(_read, row), task.stop_if_asked) for row in chunk]
        digests = {each.digest for each in read if isinstance(each, _Read) and each.digest is not None}
        known: set[str] = set()
        tiles = 0
        if digests:
            bank, known = self._catalog.bank_knowing(task.options["bank"], digests)
            tiles = bank.settings.tiles
        begun = (self._begun(row, each, known, task) for row, each in zip(chunk, read, strict=True))
        most = max(1, TOGETHER // (1 + tiles))
        return [outcome for group in _groups(begun, most) for outcome in self._ended(group, tiles, task)]

    def _begun(self, row: Row, read: _Read | Refused, known: set[str], task: Task) -> Outcome | _Decoded:
        if isinstance(read, Refused):
            return read
        if read.digest in known:
            return Known()
        labels: Labels = {**task.options["labels"], **row.labels}

        def one() -> Prepared | _Decoded:
            if row.pdq is not None:
                return Prepared(signature_of(row, labels))
            if row.read is None:
                raise UnusableRow("nothing to read")
            options = AddOptions(labels=labels, force=task.options["force"], precedence=Precedence.BACKGROUND)
            if read.data is not None:
                return _Decoded(read.data, self._banker.decoded(read.data, options, read.digest), options)
            data = row.read()  # its file may be another one by now, and so its digest
            return _Decoded(data, self._banker.decoded(data, options), options)

        return or_refused(one, task.stop_if_asked)

    def _ended(self, group: Sequence[Outcome | _Decoded], tiles: int, task: Task) -> list[Outcome]:
        prepared = iter(self._embedded([each for each in group if isinstance(each, _Decoded)], tiles, task))
        return [next(prepared) if isinstance(each, _Decoded) else each for each in group]

    def _embedded(self, group: Sequence[_Decoded], tiles: int, task: Task) -> list[Outcome]:
        """What the model fails on fails alone."""
        if not group:
            return []

        def items() -> list[NewItem]:
            with self._turns:
                return self._banker.items_of([(each.media, each.options) for each in group], tiles)

        made = or_refused(items, task.stop_if_asked)
        if not isinstance(made, Refused):
            return [self._staged(item, each.data, task) for item, each in zip(made, group, strict=True)]
        if len(group) == 1:
            return [made]
        return [outcome for each in group for outcome in self._embedded([each], tiles, task)]

    def _staged(self, item: NewItem, data: bytes, task: Task) -> Outcome:
        return or_refused(lambda: Prepared(*self._banker.stage(item, data)), task.stop_if_asked)


def signature_of(row: Row, labels: Labels) -> NewItem:
    """
    An item of a hash alone. It is named by the hash, so that lists may repeat themselves.

    Raises:
        BadHash: it is none.
    """
    pdq = pdq_from_hex(row.pdq or "")
    digest = hashlib.sha256(b"afterimage signature pdq " + pdq).hexdigest()
    frame = NewFrame(position_ms=0, pdq=pdq, pdq_quality=row.pdq_quality)
    return NewItem(ItemKind.SIGNATURE, [frame], labels=labels, sha256=digest)


def _read(row: Row) -> _Read:
    if row.problem is not None:
        raise UnusableRow(row.problem)
    if row.pdq is not None or row.read is None:
        return _Read(None, None)
    data = row.read()
    held = data if len(data) <= _HELD_BYTES else None
    return _Read(hashlib.sha256(data).hexdigest(), held)


def _groups(begun: Iterable[Outcome | _Decoded], most: int) -> Iterator[list[Outcome | _Decoded]]:
    """Of so many frames, or one picture of more; of fewer where the last one's bytes are too many to be held."""
    group: list[Outcome | _Decoded] = []
    frames = 0
    for each in begun:
        group.append(each)
        if isinstance(each, _Decoded):
            frames += len(each.media.frames)
            if frames >= most or len(each.data) > _HELD_BYTES:
                yield group
                group, frames = [], 0
    yield group
