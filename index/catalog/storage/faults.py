"""The faults of databases, in our own words and without anything of what was being written."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from index.errors import CatalogUnavailable, StorageFull

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_POSTGRES_DISK_FULL = "53100"
_POSTGRES_BUSY = "55P03"
_ABOUT_ROWS = ("22", "23")
"""Classes of SQLSTATE whose messages quote the row."""


@contextmanager
def in_our_words() -> Iterator[None]:
    """
    Raises:
        StorageFull: no room to write.
        CatalogUnavailable: any other way in which the database fails us.
    """
    try:
        yield
    except DBAPIError as error:
        ours = translated(error.orig or error)
        raise ours from (None if _quotes_rows(error.orig) else error)
    except SQLAlchemyError as error:
        raise CatalogUnavailable(f"The catalog cannot be used ({type(error).__name__}).") from error
    except (sqlite3.Error, OSError) as error:
        raise translated(error) from error


def translated(error: BaseException) -> CatalogUnavailable:
    """What a driver's error is to us."""
    state = getattr(error, "sqlstate", None)
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    full = name == "SQLITE_FULL" or state == _POSTGRES_DISK_FULL
    if full or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return StorageFull("There is no room left to write the catalog.")
    if state == _POSTGRES_BUSY:
        return CatalogUnavailable("The catalog is busy: others have been writing for too long.")
    return CatalogUnavailable(f"The catalog cannot be read or written ({name}).")


def _quotes_rows(error: BaseException | None) -> bool:
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_ABOUT_ROWS)
