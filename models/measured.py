"""Which records of what scores mean belong to a space: those the operator measured, then those beside its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from models.calibration import FILE as CALIBRATION_FILE
from models.calibration import CalibrationRecord
from models.verification import FILE as VERIFICATION_FILE
from models.verification import VerificationRecord


class _OfSpace(Protocol):
    @property
    def embedder_id(self) -> str: ...


Record = TypeVar("Record", bound=_OfSpace)


def calibration_of(space: str, folder: Path | None, given: Path | None) -> CalibrationRecord | None:
    """
    The thresholds of a space; a record of another space is not used.

    Args:
        space: its `embedder_id`.
        folder: where its weights lie.
        given: a record, or a folder of records named `<embedder_id>.json`; it wins.

    Raises:
        BadCalibration: a record is damaged.
    """
    paths = [] if given is None else [given / f"{space}.json" if given.is_dir() else given]
    return _first(paths, folder, CALIBRATION_FILE, space, CalibrationRecord.load)


def verification_of(space: str, folder: Path | None, given: Path | None) -> VerificationRecord | None:
    """
    What its scores mean together with PDQ and geometry; in a folder of records named `<embedder_id>.verification.json`.

    Raises:
        BadCalibration: a record is damaged.
    """
    paths = [given / f"{space}.{VERIFICATION_FILE}"] if given is not None and given.is_dir() else []
    return _first(paths, folder, VERIFICATION_FILE, space, VerificationRecord.load)


def _first(
    paths: list[Path], folder: Path | None, file: str, space: str, load: Callable[[Path], Record]
) -> Record | None:
    for path in [*paths, *([] if folder is None else [folder / file])]:
        if path.is_file():
            record = load(path)
            if record.embedder_id == space:
                return record
    return None
