"""Arrays as plain .npy files: written block by block, opened mapped."""

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from index.errors import UnusableIndex


class ColumnWriter:
    """
    Writes rows whose number is known only at the end.

    Not through a memory map: a full disk must be an error and not the death of the process.

    Args:
        path: of the file; replaced if it exists.
        dtype: of the numbers.
        tail: the shape of one row; () where it is a number.

    Raises:
        OSError: it cannot be written; so may every method.
    """

    def __init__(self, path: Path, dtype: DTypeLike, tail: tuple[int, ...] = ()) -> None:
        self._dtype = np.dtype(dtype)
        self._tail = tail
        self.rows = 0
        self._file = path.open("wb")
        self._file.write(self._header())

    def append(self, block: NDArray[Any]) -> None:
        if block.shape[1:] != self._tail:
            raise ValueError(f"Rows of shape {block.shape[1:]} for a column of {self._tail}.")
        if len(block):
            self._file.write(np.ascontiguousarray(block, self._dtype).data.cast("B"))
            self.rows += len(block)

    def close(self) -> None:
        """Says at the head how many rows there are."""
        if not self._file.closed:
            with self._file:
                self._file.seek(0)
                self._file.write(self._header())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()

    def _header(self) -> bytes:
        """Of the same length whatever the number of rows: numpy leaves room for it to grow."""
        described = np.lib.format.dtype_to_descr(self._dtype)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": described, "fortran_order": False, "shape": (self.rows, *self._tail)}
        )
        return header.getvalue()


def map_column(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """
    The array of a file, mapped; it cannot be written to.

    Raises:
        UnusableIndex: there is none, or another than expected.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnusableIndex(f"{path.name} of a snapshot cannot be read.") from error
    if array.dtype != np.dtype(dtype) or array.shape != shape or not array.flags.c_contiguous:
        raise UnusableIndex(f"{path.name} of a snapshot holds other rows than it should.")
    return np.asarray(array)
