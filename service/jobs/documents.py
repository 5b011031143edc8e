"""One JSON document that holds a whole list, as an API answers it: an array, or an object with the array in `data`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from index.records.jobs import JobJson
from service.jobs.errors import UnusableSource
from service.jobs.rows import Mapped, Row

_MOST_BYTES: Final = 64 * 1024 * 1024
"""It is read whole, so it must not be large; lists in JSON lines may be."""


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """One part, which goes on from an entry."""

    path: Path
    mapped: Mapped

    def spans(self) -> Iterator[tuple[JobJson, int]]:
        entries = self._entries()
        if entries:
            yield {}, len(entries)

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        del span
        first = 0 if cursor is None else int(cursor["row"])
        for number, entry in enumerate(self._entries()[first:], start=first + 1):
            name, after = f"{self.path}:{number}", {"row": number}
            if isinstance(entry, dict):
                yield self.mapped.row(entry, name, after)
            else:
                yield Row(name, after, problem="no JSON object")

    def _entries(self) -> list[Any]:
        """
        Raises:
            UnusableSource: it holds no list, or is too large to be read whole.
        """
        if self.path.stat().st_size > _MOST_BYTES:
            raise UnusableSource("A JSON document is too large to be read whole; write it as JSON lines (.jsonl).")
        try:
            value = json.loads(self.path.read_bytes())
        except (ValueError, RecursionError):
            raise UnusableSource("A .json file is not JSON; lists in lines are called .jsonl.") from None
        entries = value.get("data") if isinstance(value, dict) else value
        if not isinstance(entries, list):
            raise UnusableSource("A .json file holds no list.")
        return entries
