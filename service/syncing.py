"""Bringing files to the disk, one by one or all at once."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path


def sync_file(path: Path) -> None:
    """A file, or a folder's list of names, is on the disk when it returns."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_files(paths: Sequence[Path]) -> None:
    """
    The same for many on one file system: by syncing all of it, where the platform can.

    Linux has `syncfs`, which Python has not. It waits for everything written there before, by whomever, and raises
    what went wrong with it.
    """
    if not paths:
        return
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None or len(paths) == 1:
        for path in paths:
            sync_file(path)
        return
    file = os.open(paths[0], os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs(file) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(file)
