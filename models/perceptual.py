"""
PDQ, the perceptual hash that the field exchanges: finds re-encodes and resizes, and is blind to crops and frames.

An implementation of our own, bit for bit that of the reference: why, and how it was proven, is in
docs/decisions/0004-pdq-of-our-own.md.

Source: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", Facebook 2019, sections 4 to 6, and
the reference implementation's choices where the paper leaves them open.
"""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.errors import BadHash
from models.media.types import Frame

PDQ_BYTES = 32

LUMINANCE = (0.299, 0.587, 0.114)
GRID = 64
"""The picture is smoothed and sampled down to this many rows and columns."""
FREQUENCIES = 16
"""Of the grid's cosine transform, the lowest but the constant; in rows and in columns."""
SMALLEST_SIDE = 5
QUALITY_STEP = 90
"""Gradients on the grid, in hundredths of the range, that make one point of quality."""
BEST_QUALITY = 100
CACHED_SIZES = 128

_HEX = re.compile(r"[0-9a-fA-F]{64}")

Matrix = NDArray[np.float32]


def pdq(frame: Frame) -> tuple[bytes, int]:
    """
    The PDQ hash of a frame and how much the hash can be trusted.

    Returns:
        32 bytes, most significant bit first, and a quality of 0..100; PDQ advises against hashes under 50.
    """
    height, width = frame.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return bytes(PDQ_BYTES), 0
    luminance = _luminance(frame)
    small = (height, width) == (GRID, GRID)
    grid = luminance if small else np.asarray(_sampling(height) @ luminance @ _sampling(width).T, np.float32)
    return _bits(_spectrum(grid)), _quality(grid)


def pdq_forms(frame: Frame) -> list[bytes]:
    """
    The PDQ hashes of the eight turns and mirror images of a frame, itself first, at the price of two.

    A mirror image is sampled by mirrored rows and columns; what is turned by a quarter has a transposed spectrum.
    """
    height, width = frame.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return [bytes(PDQ_BYTES)] * 8
    luminance = _luminance(frame)
    identity = np.eye(GRID, dtype=np.float32)
    rows, columns = (identity, identity) if (height, width) == (GRID, GRID) else (_sampling(height), _sampling(width))
    forms = []
    for across in (columns, columns[:, ::-1]):
        sampled = luminance @ across.T
        forms += [_spectrum(np.asarray(down @ sampled, np.float32)) for down in (rows, rows[:, ::-1])]
    return [_bits(form) for spectrum in forms for form in (spectrum, spectrum.T)]


def pdq_to_hex(pdq_hash: bytes) -> str:
    """As hash lists and ThreatExchange write it: 64 lower-case hexadecimal digits."""
    return pdq_hash.hex()


def pdq_from_hex(text: str) -> bytes:
    """
    Read a hash as `pdq_to_hex` writes it; upper case is accepted.

    Raises:
        BadHash: not 64 hexadecimal digits.
    """
    if _HEX.fullmatch(text) is None:
        raise BadHash("A PDQ hash is written as 64 hexadecimal digits.")
    return bytes.fromhex(text)


def _luminance(frame: Frame) -> Matrix:
    return np.asarray(frame.astype(np.float32) @ np.array(LUMINANCE, np.float32), np.float32)


def _spectrum(grid: Matrix) -> Matrix:
    """Shape (FREQUENCIES, FREQUENCIES), the lowest first."""
    waves = _cosines()
    return np.asarray(waves @ grid @ waves.T, np.float32)


def _bits(spectrum: Matrix) -> bytes:
    """Which frequencies are over the lower median, the last first."""
    flat = spectrum.reshape(-1)
    lower_median = np.partition(flat, len(flat) // 2 - 1)[len(flat) // 2 - 1]
    return np.packbits((flat > lower_median)[::-1]).tobytes()


@lru_cache(maxsize=CACHED_SIZES)
def _sampling(extent: int) -> Matrix:
    """
    Two running means and the choice of GRID samples, as one matrix of shape (GRID, extent).

    Both are linear and treat rows and columns apart, so a picture is smoothed and sampled by one product at each side.
    The window is a 128th of the extent, rounded up, and lies half a step to the right when it is even.
    """
    window = -(-extent // (2 * GRID))
    ahead = (window + 2) // 2
    place = np.arange(extent)
    first = np.maximum(place + ahead - window, 0)[:, np.newaxis]
    last = np.minimum(place + ahead, extent)[:, np.newaxis]
    mean = ((place >= first) & (place < last)) / (last - first)
    samples = ((np.arange(GRID) + 0.5) * extent / GRID).astype(int)
    return np.asarray(mean[samples] @ mean, dtype=np.float32)


@lru_cache(maxsize=1)
def _cosines() -> Matrix:
    """The rows of a cosine transform of the grid that are kept; shape (FREQUENCIES, GRID)."""
    frequency, place = np.arange(1, FREQUENCIES + 1)[:, np.newaxis], np.arange(GRID)
    waves = np.sqrt(2 / GRID) * np.cos(np.pi / (2 * GRID) * frequency * (2 * place + 1))
    return np.asarray(waves, dtype=np.float32)


def _quality(grid: Matrix) -> int:
    """How much happens on the grid: the sum of its gradients, each cut to whole hundredths of the range."""
    hundredths = np.float32(100) / np.float32(255)
    total = sum(int(np.abs(np.trunc(np.diff(grid, axis=axis) * hundredths)).sum()) for axis in (0, 1))
    return min(BEST_QUALITY, total // QUALITY_STEP)
