"""One owner for a data directory."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from index.errors import CatalogUnavailable, DataDirectoryInUse


class DataDirectory:
    """
    The folder that a service, or a program that works without one, keeps everything in, held against others.

    Hold it before forking workers: they share it with the process that did, and it is free again when the last of
    them is gone, however they ended. Programs started by a holder do not share it.

    Args:
        path: created if need be.

    Raises:
        DataDirectoryInUse: another process holds it.
        CatalogUnavailable: it cannot be created, written or locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path / "in-use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CatalogUnavailable(f"The data directory cannot be written ({error.strerror}).") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip()
            self.close()
            raise DataDirectoryInUse(_sentence(self.path, holder)) from None
        except OSError as error:
            self.close()
            raise CatalogUnavailable(f"The data directory cannot be locked ({error.strerror}).") from error

    def close(self) -> None:
        """Lets go; processes forked meanwhile go on holding it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sentence(path: Path, holder: str) -> str:
    who = f"process {holder}" if holder.isdigit() else "another process"
    return (
        f"The data directory {path} is in use by {who}. Is a service running on it? Then talk to that with "
        "--url http://HOST:PORT, or stop it first."
    )
