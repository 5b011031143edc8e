"""What there is to say about the catalog's own state, for doctor and readiness."""

import sqlite3
from dataclasses import dataclass

_FIRST_SAFE = (3, 51, 3)
_FIRST_WITH_WAL = (3, 7, 0)
_REPAIRED = {(3, 44): 6, (3, 50): 7}
"""Older lines of SQLite that got the repair, and the patch that brought it."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    place: str
    """The file, or the URL without its password."""
    database: str
    """Its kind and version."""
    durability: str
    """The settings that decide whether a commit is on the disk."""
    size_bytes: int
    """The write-ahead log of SQLite included."""
    hazard: str | None
    """A sentence about a known defect, and what is done about it; None when there is none."""


@dataclass(frozen=True, slots=True)
class CatalogInfo:
    facts: DatabaseFacts
    catalog_id: str
    schema_revision: str


def hazard_of(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> str | None:
    repaired_patch = _REPAIRED.get(version[:2])
    repaired = repaired_patch is not None and version[2] >= repaired_patch
    if repaired or not _FIRST_WITH_WAL <= version < _FIRST_SAFE:
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} can damage a write-ahead log that two connections write and checkpoint "
        "at the same instant (repaired in 3.51.3, 3.50.7 and 3.44.6). Here that cannot happen: one connection at a "
        "time writes, checkpoints or closes, under a lock file, and all others are read-only. "
        "Do not write to the catalog with other programs while it runs."
    )
