"""
Backups of the catalog: one file, taken while it is in use, and set back when nobody uses it.

A catalog that was set back goes on under an identity of its own, since its log will number other changes than the one
it was copied from did. What views had of the old one is not theirs any more, and is built anew.
"""

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import update
from sqlalchemy.engine import make_url

from index.audit import AuditAction
from index.catalog import audit
from index.catalog.catalog import Catalog
from index.catalog.storage import dumps
from index.catalog.storage.faults import in_our_words
from index.catalog.storage.migrate import refuse_newer
from index.catalog.storage.writelock import WriteLock
from index.catalog.tables import log_head
from index.errors import BackupRefused
from index.records.changes import Version

Report = Callable[[int, int], None]
"""Told how much is done, and of how much."""

_PAGES = 2048
_LOCK_S = 15.0
_SQLITE = b"SQLite format 3\x00"
_POSTGRESQL = b"PGDMP"
_LOGS = ("-wal", "-shm")
_BESIDE = (*_LOGS, ".lock", ".lock-door")
"""Endings of the files that lie beside a catalog and belong to it."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    version: Version
    """Of the change log: everything up to it is in the copy."""
    size_bytes: int


def back_up(url: str, target: Path, report: Report) -> Copied:
    """
    Copies a catalog as it is at one instant, whatever is written meanwhile. A file that is there is replaced once
    the new one is whole and on the disk.

    Raises:
        CatalogUnavailable: it cannot be read. StorageFull: there is no room for the copy.
        BackupRefused: the copy is not sound, or would take the catalog's own place.
    """
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        _refuse_its_own(Path(place.database or ""), target)
    with in_our_words(), _aside(target) as aside:
        if place.get_backend_name() == "sqlite":
            version = _copy_file(Path(place.database or ""), aside, report)
        else:
            version = dumps.dump(place, aside)
        size = aside.stat().st_size
    return Copied(version, size)


def restore(source: Path, url: str, *, replace: bool, report: Report) -> Copied:
    """
    Sets a catalog back to a backup, in the schema of this release. Whoever uses it must have ended before.

    Args:
        source: what `back_up` wrote.
        url: where to.
        replace: a catalog that is there gives way. A file is kept beside the new one, under another name.
        report: told how far it is.

    Raises:
        BackupRefused: it is no backup, a damaged one, or of another kind of database; or there is a catalog already.
        CatalogTooNew: a newer release has written it.
        CatalogUnavailable, StorageFull
    """
    place = make_url(url)
    kind = place.get_backend_name()
    begins = _SQLITE if kind == "sqlite" else _POSTGRESQL
    with source.open("rb") as file:
        if file.read(len(begins)) != begins:
            raise BackupRefused(f"{source} is not a backup of a catalog on {kind}.")
    with in_our_words():
        if kind == "sqlite":
            _put_file(source, Path(place.database or ""), replace=replace, report=report)
        else:
            dumps.load(source, place, replace=replace)
    with closing(Catalog.open(url)) as catalog:
        _begin_anew(catalog, source)
        return Copied(catalog.version(), source.stat().st_size)


def _begin_anew(catalog: Catalog, source: Path) -> None:
    at = datetime.now(UTC)
    before = catalog.identity()
    with catalog.database.writing() as connection:
        connection.execute(update(log_head).values(catalog_id=uuid.uuid4().hex))
        audit.append(connection, at, AuditAction.CATALOG_RESTORED, "catalog", {"of": before, "file": source.name})


def _refuse_its_own(path: Path, target: Path) -> None:
    """Those who have the catalog open would go on with a file that has no name any more."""
    own = [path, *(path.with_name(path.name + ending) for ending in _BESIDE)]
    if target.resolve() in {file.resolve() for file in own} or (target.exists() and target.samefile(path)):
        raise BackupRefused(f"{target} is the catalog itself: name another file.")


def _copy_file(path: Path, target: Path, report: Report) -> Version:
    """Within one read transaction: what is written meanwhile goes into the log beside it, and is not in the copy."""
    with closing(_read_only(path)) as origin, closing(sqlite3.connect(target)) as copy:
        origin.execute("BEGIN")
        (version,) = origin.execute("SELECT seq FROM log_head").fetchone()
        origin.backup(copy, pages=_PAGES, progress=lambda _, left, total: report(total - left, total), sleep=0.0)
        copy.execute("PRAGMA journal_mode = DELETE")  # so that it is one file, wherever it is opened
        _refuse_unless_sound(copy)
    return Version(version)


def _put_file(source: Path, path: Path, *, replace: bool, report: Report) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = WriteLock(path.with_name(path.name + ".lock"), _LOCK_S)
    try:
        with lock.held():
            if path.exists() and not replace:
                raise BackupRefused(f"There is a catalog already: {path}. To replace it, say so.")
            with _aside(path) as aside:
                with closing(_read_only(source)) as origin, closing(sqlite3.connect(aside)) as copy:
                    origin.backup(copy, pages=_PAGES, progress=lambda _, left, total: report(total - left, total))
                    _refuse_unless_sound(copy)
                    refuse_newer(str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0]))
                _give_way(path)
    finally:
        lock.close()


def _give_way(path: Path) -> None:
    """What is there is kept under another name as well. A log that was left behind would be taken for the new one's."""
    kept = path.with_name(f"{path.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    if path.exists():
        _empty_log(path)
        os.link(path, kept)
    for ending in _LOGS:
        stray = path.with_name(path.name + ending)
        if stray.exists():
            stray.rename(kept.with_name(kept.name + ending))


def _empty_log(path: Path) -> None:
    """
    Raises:
        BackupRefused: somebody has the catalog open.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise BackupRefused(f"The catalog {path} is in use: end the service first.") from error
        # It is too damaged to be read, which may be why it is replaced.


def _refuse_unless_sound(copy: sqlite3.Connection) -> None:
    found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if found != "ok" or not {"log_head", "alembic_version"} <= tables:
        raise BackupRefused("The copy is not a sound catalog.")


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A file to write, which takes the target's place once it is written and on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        _sync(aside)
        aside.replace(target)
        _sync(target.parent)
    finally:
        aside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
