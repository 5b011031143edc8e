"""One row of a source: something to bank or to look for, and where to go on after it."""

import json
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from index.records.banks import Labels
from index.records.jobs import JobJson
from service.inputs import LabelSet
from service.schemas import LabelValues

_LABELS: TypeAdapter[LabelValues] = TypeAdapter(LabelSet)
_PATHS: Final = ("path", "file", "file_path", "filename", "file_name", "image_path")
_HASHES: Final = ("pdq", "pdq_hash", "pdq_hex")
_SIGNALS: Final = ("signal_str", "signal", "signal_value", "indicator", "hash")
"""How lists of several kinds of signals call the signal itself."""
_TYPES: Final = ("signal_type", "indicator_type", "hash_type", "type")
_QUALITIES: Final = ("pdq_quality", "quality")
_TYPE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}([_-][A-Za-z0-9]{1,15}){0,3}")
_MOST_QUALITY: Final = 100
_INNOCENT: Final = "NEGATIVE_CLASS"
"""What ThreatExchange says of a signal that is not of the kind its list is about."""


class UnusableRow(Exception):
    """This row cannot be used, and why; the next one may well be."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    A row, found sound as far as that can be said without opening what it names.

    Either `read` gives the media, or there is a hash, or `problem` says why there is neither.
    """

    name: str
    """What people find it by: its path, or its list and line."""
    after: JobJson
    """Where to go on when it is done."""
    labels: Labels = field(default_factory=dict)
    read: Callable[[], bytes] | None = None
    """Raises UnusableRow."""
    held_bytes: int = 0
    """How long the media are that `read` has in memory already."""
    pdq: str | None = None
    pdq_quality: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be read: files below any of these folders, or any file when there are none named."""

    roots: tuple[Path, ...] = ()
    everything: bool = True
    most_bytes: int = 32 * 1024 * 1024

    def allows(self, path: Path) -> bool:
        """Links followed: what matters is where they lead."""
        if self.everything:
            return True
        try:
            return any(path.resolve().is_relative_to(root.resolve()) for root in self.roots)
        except (OSError, RuntimeError, ValueError):  # links in a circle, a name that cannot be one
            return False

    def read(self, path: Path) -> bytes:
        """
        The bytes of a file.

        Raises:
            UnusableRow: it is outside, missing, too large, no file, or cannot be read.
        """
        try:
            found = path if self.everything else path.resolve(strict=True)
            if not self.allows(found):
                raise UnusableRow("outside the folders that may be read")
            about = found.stat()
            if not stat.S_ISREG(about.st_mode):
                raise UnusableRow("no file")
            with found.open("rb") as file:
                data = file.read(min(about.st_size, self.most_bytes) + 1)  # memory for no more than there is
                if len(data) > about.st_size:  # it grows, or does not say how long it is
                    data += file.read(self.most_bytes + 1 - len(data))
        except FileNotFoundError:
            raise UnusableRow("no such file") from None
        except (OSError, ValueError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise UnusableRow((reason or "cannot be read").lower()) from None
        if len(data) > self.most_bytes:
            raise UnusableRow(f"over {self.most_bytes} bytes")
        return data


@dataclass(frozen=True, slots=True)
class Mapped:
    """How the fields of a row become something to bank or to look for."""

    folder: Path
    """What relative paths are relative to."""
    reach: Reach
    labels: Sequence[str] | None = None
    """The fields that become labels; None is all that mean nothing else."""

    def row(self, fields: Mapping[str, Any], name: str, after: JobJson) -> Row:
        """The row of these fields; one with a problem rather than an error."""
        try:
            return self._row(fields, name, after)
        except UnusableRow as problem:
            return Row(name, after, problem=str(problem))
        except (ArithmeticError, RecursionError, TypeError, ValueError):
            return Row(name, after, problem="its fields make no sense")

    def _row(self, fields: Mapping[str, Any], name: str, after: JobJson) -> Row:
        _refuse_what_is_not_meant(fields)
        path_field, path = _first(fields, _PATHS)
        if path_field is not None:
            if not isinstance(path, str) or "\0" in path:
                raise UnusableRow("the path is no text")
            labels = self._labels(fields, {path_field})
            file = self.folder / path
            return Row(f"{name} {path}", after, labels, read=lambda: self.reach.read(file))
        hash_field, text = _hash(fields)
        quality_field, quality = _quality(fields)
        labels = self._labels(fields, {hash_field, quality_field, *_TYPES})
        return Row(name, after, labels, pdq=text, pdq_quality=quality)

    def _labels(self, fields: Mapping[str, Any], used: set[str | None]) -> Labels:
        given = fields.get("labels")
        if isinstance(given, dict):
            rest = {key: value for key, value in fields.items() if key not in used and key != "labels"}
            found = {**rest, **given}
        else:
            found = {key: value for key, value in fields.items() if key not in used}
        if self.labels is not None:
            found = {key: found[key] for key in self.labels if key in found}
        return checked_labels({key: _plain(value) for key, value in found.items()})


def checked_labels(labels: Mapping[str, Any]) -> Labels:
    """
    Raises:
        UnusableRow: they could not be labels over HTTP either.
    """
    try:
        return _LABELS.validate_python(dict(labels))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = str(fault["loc"][0]) if fault["loc"] else "labels"
        raise UnusableRow(f"the label {key!r} is not a plain value") from None


def _refuse_what_is_not_meant(fields: Mapping[str, Any]) -> None:
    """Lists also say what is not, or no longer, of their kind: nobody wants that banked."""
    if str(fields.get("category", "")).upper() == _INNOCENT:
        raise UnusableRow("its list says that it is not of this kind (NEGATIVE_CLASS)")
    if fields.get("should_delete") in (True, "true", "True", "1"):
        raise UnusableRow("its list has withdrawn it (should_delete)")


def _hash(fields: Mapping[str, Any]) -> tuple[str, str]:
    """The field of the PDQ hash, and the hash as it stands there."""
    kind_field, kind = _first(fields, _TYPES)
    own_field, text = _first(fields, _HASHES)
    if own_field is None:
        own_field, text = _first(fields, _SIGNALS)
        if own_field is not None and kind_field is not None and not is_pdq(str(kind)):
            raise UnusableRow(another_type(str(kind)))
    if own_field is None or not isinstance(text, str):
        raise UnusableRow("neither a path nor a PDQ hash")
    return own_field, text.strip()


def is_pdq(kind: str) -> bool:
    """`pdq`, and `HASH_PDQ` as the API of ThreatExchange calls it."""
    return kind.strip().lower().removeprefix("hash_") == "pdq"


def another_type(kind: str) -> str:
    """What is wrong with a signal that is no PDQ. What does not look like the name of a type is not shown."""
    return f"a signal of another type: {kind}" if _TYPE_NAME.fullmatch(kind) else "a signal of another type"


def _quality(fields: Mapping[str, Any]) -> tuple[str | None, int | None]:
    name, value = _first(fields, _QUALITIES)
    try:
        quality = None if name is None else int(value)
    except (OverflowError, TypeError, ValueError):
        quality = -1
    if quality is not None and not 0 <= quality <= _MOST_QUALITY:
        raise UnusableRow("the quality is no whole number from 0 to 100")
    return name, quality


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> tuple[str | None, Any]:
    """The first of these that is there and says something."""
    return next(((name, fields[name]) for name in names if fields.get(name) not in (None, "")), (None, None))


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a list may hold
    """Tags are lists in JSON, and text in CSV: text here as well. An instant is written as RFC 3339 has it."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        return " ".join(
            str(each.get("text", "")) if isinstance(each, dict) else json.dumps(each) for each in value["data"]
        )
    return value.isoformat() if hasattr(value, "isoformat") else value
