"""Rows in half precision."""

import numpy as np
from numpy.typing import NDArray

Halves = NDArray[np.float16]
"""Shape (n, dim), little-endian."""

_SIGN_AND_NUMBER = np.int32(-0x70000001)
"""All bits but the three that the shifted sign was copied into."""
_EXPONENTS_APART = np.float32(2.0**112)
"""Between the two formats' ideas of where an exponent starts: 127 - 15."""


def whole(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """
    The same numbers in single precision; of finite ones alone.

    What `astype` does, by shifting bits, in a tenth of its time: the conversion would take longer than whatever is
    done with the rows.
    """
    bits = np.ascontiguousarray(rows).view(np.int16).astype(np.int32)
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, _SIGN_AND_NUMBER, out=bits)
    numbers = bits.view(np.float32)
    np.multiply(numbers, _EXPONENTS_APART, out=numbers)
    return numbers
