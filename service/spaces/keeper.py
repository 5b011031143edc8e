"""Keeps what is open in step with the catalog: opens what is to be, closes what is given up, while others answer."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.records.spaces import Holding, SpaceId, SpaceRecord, SpaceStage
from index.views.views import Views
from models.calibration import BadCalibration, CalibrationRecord
from models.errors import ModelsError
from service.logs import where
from service.spaces.space_set import LiveSpaces, Opened, parts_of

_SAY_EVERY_S = 3.0
_TRY_AGAIN_S = 30.0
_REASON_CHARACTERS = 200
_UNDER_WAY = frozenset({SpaceStage.BUILDING, SpaceStage.SHADOW, SpaceStage.RETIRED})


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    at: float


class SpaceKeeper:
    """
    One a process; `tend` is for one thread at a time and returns at once.

    Models are opened, and given up spaces closed, in a thread beside it: both may take long, and meanwhile this process
    must go on saying what it has open, or it would be taken for gone.

    Args:
        spaces: what is open.
        views: of this process.
        catalog: the truth.
        open_recorded: opens the model of a space.
        calibrations: the folder where operators keep theirs; what waits takes up a new one without a restart.
        patience_s: how long requests may go on using a space that was given up.
        log: where to tell.
    """

    def __init__(
        self,
        *,
        spaces: LiveSpaces,
        views: Views,
        catalog: Catalog,
        open_recorded: Callable[[SpaceRecord], Opened],
        calibrations: Path,
        patience_s: float,
        log: FilteringBoundLogger,
    ) -> None:
        self._spaces = spaces
        self._views = views
        self._catalog = catalog
        self._open_recorded = open_recorded
        self._calibrations = calibrations
        self._patience_s = patience_s
        self._log = log
        self._failures: dict[SpaceId, _Failure] = {}
        self._calibrated_by: dict[SpaceId, float] = {}
        self._said: tuple[float, dict[SpaceId, Holding]] = (0.0, {})
        self._holder = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(3)}"
        self._adjusting: threading.Thread | None = None

    def tend(self) -> None:
        """Begins what is due and says how things are; what fails is tried again."""
        try:
            self._views.follow()
            records = {record.space: record for record in self._views.reading(follow=False).spaces}
            if not records:
                return
            parts = parts_of(self._spaces.configured, records.values())
            wanted = [records[space] for space in parts.written if space in records]
            self._adjust(wanted)
            here = {served.id for served in self._spaces.opened}
            self._take_up_calibrations([one for one in wanted if one.space in here and one.space not in parts.asked])
            self._say(wanted)
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; it is tried again in a moment
            self._log.warning("the spaces could not be looked after", **where(error))

    def settle(self) -> None:
        """Waits for what is under way."""
        if self._adjusting is not None:
            self._adjusting.join()

    def close(self) -> None:
        """Says that this process answers no more."""
        self.settle()
        if self._said[1]:
            try:
                self._catalog.moves.leave(self._holder)
            except Exception as error:  # noqa: BLE001 - what it said is forgotten in a few seconds anyway
                self._log.warning("could not take leave", **where(error))

    def _adjust(self, wanted: list[SpaceRecord]) -> None:
        if self._adjusting is not None and self._adjusting.is_alive():
            return
        here = {served.id for served in self._spaces.opened}
        now = time.monotonic()
        missing = [
            record
            for record in wanted
            if record.space not in here
            and (record.space not in self._failures or now - self._failures[record.space].at >= _TRY_AGAIN_S)
        ]
        surplus = here - {record.space for record in wanted}
        for space in self._failures.keys() - {record.space for record in wanted}:
            del self._failures[space]
        if missing or surplus:
            self._adjusting = threading.Thread(
                target=self._open_and_close, args=(missing, surplus), name="spaces", daemon=True
            )
            self._adjusting.start()

    def _open_and_close(self, missing: list[SpaceRecord], surplus: set[SpaceId]) -> None:
        for record in missing:
            try:
                self._open(record)
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; it is tried again
                why = str(error) if isinstance(error, ModelsError) else type(error).__name__
                self._failures[record.space] = _Failure(why[:_REASON_CHARACTERS], time.monotonic())
                self._log.error("a space cannot be opened", space=record.space, reason=why, **where(error))
        for space in surplus:
            self._close(space)

    def _open(self, record: SpaceRecord) -> None:
        opened = self._open_recorded(record)
        try:
            self._views.add_space(record.space, record.dim)
        except BaseException:
            opened.close()
            raise
        self._failures.pop(record.space, None)
        self._spaces.add(opened)
        self._log.info("opened a space", space=record.space, stage=record.stage.value)

    def _close(self, space: SpaceId) -> None:
        opened = self._spaces.take_out(space, self._patience_s)
        try:
            self._views.drop_space(space)
        except Exception as error:  # noqa: BLE001 - its files are in nobody's way
            self._log.warning("a view could not be let go", space=space, **where(error))
        opened.close()
        self._calibrated_by.pop(space, None)
        self._log.info("closed a space", space=space)

    def _take_up_calibrations(self, waiting: list[SpaceRecord]) -> None:
        """Of spaces that nobody is answered from: those that answer keep theirs until a restart."""
        for record in waiting:
            path = self._calibrations / f"{record.space}.json"
            written_at = path.stat().st_mtime if path.is_file() else None
            if written_at is None or self._calibrated_by.get(record.space) == written_at:
                continue
            self._calibrated_by[record.space] = written_at
            try:
                calibration = CalibrationRecord.load(path)
            except BadCalibration as error:
                self._log.error("a calibration cannot be used", space=record.space, reason=str(error))
                continue
            if calibration.embedder_id == record.space:
                self._spaces.recalibrate(record.space, calibration)

    def _say(self, records: list[SpaceRecord]) -> None:
        """Tells the catalog what is open here, for as long as a move is under way or can be undone."""
        if not any(record.stage in _UNDER_WAY for record in records):
            return
        here = {served.id for served in self._spaces.opened}
        said = {
            record.space: Holding(is_open=True)
            if record.space in here
            else Holding(is_open=False, reason=self._reason(record.space))
            for record in records
        }
        now = time.monotonic()
        if said != self._said[1] or now - self._said[0] >= _SAY_EVERY_S:
            self._catalog.moves.say_open(self._holder, said)
            self._said = (now, said)

    def _reason(self, space: SpaceId) -> str:
        failed = self._failures.get(space)
        return "is opening it" if failed is None else f"cannot open it: {failed.reason}"
