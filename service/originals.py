"""
The originals of what is banked: kept so that banks can be embedded again by another model, and shown beside a match.

Content-addressed: one object for each SHA-256, however many items refer to it. It is written durably before its item
is acknowledged, and deleted when the last item of those bytes is gone. This file alone imports fsspec.
"""

import contextlib
import errno
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from index.catalog import Catalog
from index.errors import StorageFull
from service.errors import BadSettings, OriginalMissing, OriginalsUnavailable
from service.syncing import sync_file, sync_files

NONE: Final = "none"
LOCAL: Final = "local"
_HEX: Final = frozenset("0123456789abcdef")
_DIGEST_LENGTH: Final = 64
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMOVED_AT_ONCE: Final = 100
_REMOVED_WITHIN_S: Final = 120.0
"""Well before the catalog takes whoever claimed them for dead: those bytes may have been banked anew by then."""
_STAGED_S: Final = 3600.0
"""Longer than anybody takes from staging to keeping."""
_PRIVATE: Final = 0o700


@dataclass(frozen=True, slots=True)
class Staged:
    """An original on its way: written, but neither durable nor there yet."""

    sha256: str
    aside: Path | None
    """Where it waits; None where it is there already, or went there at once."""


class OriginalStore(Protocol):
    """
    Originals by their SHA-256; safe from any thread and any number of processes.

    Every method raises OriginalsUnavailable when the store does not work, StorageFull when it has no room.
    """

    keeps: bool
    """Whether what is put will be there later."""

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns; what is there already is left as it is."""

    def stage(self, sha256: str, data: bytes) -> Staged:
        """The first half of putting, for who puts many: `keep` is the second, for all of them at once."""

    def keep(self, staged: Sequence[Staged]) -> None:
        """They are there, durably, when it returns."""

    def get(self, sha256: str) -> bytes:
        """
        Raises:
            OriginalMissing: it is not kept.
        """

    def exists(self, sha256: str) -> bool: ...

    def delete(self, sha256: str) -> None:
        """What is not there is deleted already."""


class NoOriginals:
    """Keeps nothing: banks cannot be embedded again, and no match can be shown beside its original."""

    keeps = False

    def put(self, sha256: str, data: bytes) -> None:
        del sha256, data

    def stage(self, sha256: str, data: bytes) -> Staged:
        del data
        return Staged(sha256, None)

    def keep(self, staged: Sequence[Staged]) -> None:
        del staged

    def get(self, sha256: str) -> bytes:
        del sha256
        raise OriginalMissing("Originals are not kept here (AFTERIMAGE_ORIGINALS is `none`).")

    def exists(self, sha256: str) -> bool:
        del sha256
        return False

    def delete(self, sha256: str) -> None:
        del sha256


class LocalOriginals:
    """
    A folder. Its own code rather than fsspec's, which neither syncs nor renames into place.

    What is found under its name is whole: it was synced before it got the name.

    Args:
        folder: created when the first original comes.
    """

    keeps = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._staging = self._folder / "staged"

    def put(self, sha256: str, data: bytes) -> None:
        with _in_our_words():
            path = self._path(sha256)
            if not path.exists():
                aside = self._written_aside(data)
                sync_file(aside)
                if not path.parent.exists():
                    path.parent.mkdir(exist_ok=True)
                    sync_file(self._folder)
                aside.replace(path)
            sync_file(path.parent)  # also when another put it there: it may not be done

    def stage(self, sha256: str, data: bytes) -> Staged:
        with _in_our_words():
            return Staged(sha256, None if self._path(sha256).exists() else self._written_aside(data))

    def keep(self, staged: Sequence[Staged]) -> None:
        """Two syncs of the whole file system instead of two for each file: far cheaper from a few files on."""
        if not staged:
            return
        with _in_our_words():
            waiting = [(each.aside, self._path(each.sha256)) for each in staged if each.aside is not None]
            sync_files([aside for aside, _ in waiting])
            for folder in {path.parent for _, path in waiting}:
                folder.mkdir(exist_ok=True)
            for aside, path in waiting:
                aside.replace(path)
            sync_files(sorted({self._path(each.sha256).parent for each in staged} | {self._folder}))

    def get(self, sha256: str) -> bytes:
        with _in_our_words():
            try:
                return self._path(sha256).read_bytes()
            except FileNotFoundError:
                raise _missing() from None

    def exists(self, sha256: str) -> bool:
        with _in_our_words():
            return self._path(sha256).exists()

    def delete(self, sha256: str) -> None:
        with _in_our_words(), contextlib.suppress(FileNotFoundError):
            path = self._path(sha256)
            path.unlink()
            sync_file(path.parent)  # or it might be back when the power has failed, and nobody would look for it

    def sweep(self) -> None:
        """Deletes what somebody staged who died before keeping it."""
        with _in_our_words():
            if not self._staging.exists():
                return
            for aside in self._staging.iterdir():
                with contextlib.suppress(FileNotFoundError):  # somebody keeps it this very moment
                    if time.time() - aside.stat().st_mtime > _STAGED_S:
                        aside.unlink()

    def _path(self, sha256: str) -> Path:
        digest = _checked(sha256)
        return self._folder / digest[:2] / digest

    def _written_aside(self, data: bytes) -> Path:
        if not self._staging.exists():
            self._folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
            self._staging.mkdir(_PRIVATE, exist_ok=True)
            sync_file(self._folder.parent)
        aside = self._staging / secrets.token_hex(16)
        try:
            aside.write_bytes(data)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return aside


class RemoteOriginals:
    """
    Anything fsspec has a name for, `s3://bucket/folder` first of all.

    An object store has an object whole or not at all, and durably once it has said so.
    """

    keeps = True

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - a tenth of a second that a local folder does not need

            self._files, self._root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            scheme = urlsplit(url).scheme
            raise BadSettings(
                f"AFTERIMAGE_ORIGINALS: {scheme}:// cannot be opened ({type(error).__name__}); "
                "for s3:// install afterimage[s3]."
            ) from error

    def put(self, sha256: str, data: bytes) -> None:
        with _in_our_words():
            if not self._files.exists(self._path(sha256)):
                self._files.pipe_file(self._path(sha256), data)

    def stage(self, sha256: str, data: bytes) -> Staged:
        self.put(sha256, data)
        return Staged(sha256, None)

    def keep(self, staged: Sequence[Staged]) -> None:
        del staged

    def get(self, sha256: str) -> bytes:
        with _in_our_words():
            try:
                return bytes(self._files.cat_file(self._path(sha256)))
            except FileNotFoundError:
                raise _missing() from None

    def exists(self, sha256: str) -> bool:
        with _in_our_words():
            return bool(self._files.exists(self._path(sha256)))

    def delete(self, sha256: str) -> None:
        with _in_our_words(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(sha256))

    def _path(self, sha256: str) -> str:
        digest = _checked(sha256)
        return f"{self._root.rstrip('/')}/{digest[:2]}/{digest}"


def open_originals(url: str, folder: Path) -> OriginalStore:
    """
    Args:
        url: `local`, `none`, a path, `file:///…`, or what fsspec knows.
        folder: what `local` is.

    Raises:
        BadSettings: nothing here can open such a URL.
    """
    if url == NONE:
        return NoOriginals()
    parts = urlsplit(url)
    if url == LOCAL:
        return LocalOriginals(folder)
    if parts.scheme == "file":
        return LocalOriginals(Path(unquote(parts.path)))
    return LocalOriginals(Path(url)) if not parts.scheme else RemoteOriginals(url)


def delete_removed(catalog: Catalog, store: OriginalStore, stopped: Callable[[], bool] = lambda: False) -> int:
    """
    Deletes the originals that no item refers to any more; how many those were.

    Any number of processes may do this at the same time. What is interrupted is taken up by whoever comes next.

    Raises:
        CatalogUnavailable, OriginalsUnavailable: tried again with the next call.
    """
    count = 0
    if isinstance(store, LocalOriginals):
        store.sweep()
    while not stopped() and (digests := catalog.originals.removals(_REMOVED_AT_ONCE)):
        until = time.monotonic() + _REMOVED_WITHIN_S
        deleted = []
        for digest in digests:
            if time.monotonic() > until:  # whoever comes next takes the others up
                break
            store.delete(digest)
            deleted.append(digest)
        catalog.originals.removed(deleted)
        count += len(deleted)
    return count


def _checked(sha256: str) -> str:
    """It becomes a path."""
    if len(sha256) != _DIGEST_LENGTH or not _HEX.issuperset(sha256):
        raise ValueError("not a SHA-256 in lower-case hexadecimal")
    return sha256


def _missing() -> OriginalMissing:
    return OriginalMissing("The original of these bytes is not kept.")


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """
    Raises:
        StorageFull, OriginalsUnavailable: instead of whatever the store raises; its own words may name a bucket.
    """
    try:
        yield
    except (OriginalMissing, ValueError):
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull("There is no room left to keep originals.") from error
        raise OriginalsUnavailable(f"The store of originals does not work ({type(error).__name__}).") from error
    except Exception as error:
        raise OriginalsUnavailable(f"The store of originals does not work ({type(error).__name__}).") from error
