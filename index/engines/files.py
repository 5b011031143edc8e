"""FAISS indexes as files: written so that a full disk is an error, opened so that processes share them."""

from pathlib import Path

import faiss

from index.errors import UnusableIndex


def write_index(index: faiss.Index, path: Path) -> None:
    """
    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


def map_index(path: Path) -> faiss.Index:
    """
    Mapped: nothing may ever be added to it or removed, which would end the process and not the call.

    Raises:
        UnusableIndex: it is missing or damaged.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise UnusableIndex("A file of an index cannot be read.") from error
