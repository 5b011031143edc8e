"""The anchors of a cluster as bytes: fixed layouts, little-endian; nothing in them is ever executed."""

import struct
from collections.abc import Iterable
from typing import Final

import numpy as np

from index.clusters.graph import Look
from index.records.rows import PDQ_BYTES

_HEAD: Final = struct.Struct("<HHH")
"""Of each anchor: rows, their length, hashes."""


def pack(anchors: Iterable[Look]) -> bytes:
    pieces = []
    for anchor in anchors:
        count, dim = anchor.rows.shape if len(anchor.rows) else (0, 0)
        pieces += [
            _HEAD.pack(count, dim, len(anchor.hashes)),
            np.packbits(anchor.whole).tobytes(),
            anchor.rows.astype("<f2").tobytes(),
            anchor.hashes.tobytes(),
        ]
    return b"".join(pieces)


def unpack(data: bytes) -> list[Look]:
    """
    Raises:
        ValueError: it is not what `pack` makes.
    """
    anchors, start = [], 0
    try:
        while start < len(data):
            count, dim, hashes = _HEAD.unpack_from(data, start)
            start += _HEAD.size
            flags = np.frombuffer(data, np.uint8, (count + 7) // 8, start)
            start += len(flags)
            rows = np.frombuffer(data, "<f2", count * dim, start).reshape(count, dim).astype(np.float32)
            start += 2 * count * dim
            hashed = np.frombuffer(data, np.uint8, hashes * PDQ_BYTES, start).reshape(hashes, PDQ_BYTES)
            start += hashes * PDQ_BYTES
            if count:
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)  # half precision moves them a little
            anchors.append(Look(rows, np.unpackbits(flags, count=count).astype(np.bool_), hashed))
    except struct.error as error:
        raise ValueError("not the anchors of a cluster") from error
    return anchors
