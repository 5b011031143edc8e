"""The two kinds of view, embeddings of a space and hashes: what they hold, in memory and in a snapshot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic

import numpy as np
from numpy.typing import NDArray

from index.engines import ladder
from index.engines.description import Engine, IndexDescription
from index.engines.perceptual import PdqIndex
from index.engines.scan import ScanIndex
from index.engines.vectors import BuildIndex, VectorIndex
from index.records.changes import Changes, Origins, no_origins
from index.records.rows import PDQ_BYTES, Rows
from index.records.spaces import SpaceId
from index.views.columns import map_column
from index.views.layers import Index, Kind, Payload
from index.views.snapshots import Manifest

PDQ_VIEW: Final = "pdq"
"""How the view of hashes is named where others have the name of their space; no space is called so."""

_FEW: Final = 10

ORIGIN_COLUMNS: Final[Mapping[str, str]] = {
    "items.npy": "<i8",
    "tags.npy": "<u8",
    "banks.npy": "<i8",
    "positions.npy": "<i8",
}


@dataclass(frozen=True, slots=True)
class ViewKind(Generic[Index]):
    """What a view holds, and how its large part is kept in files."""

    name: str
    space: SpaceId | None
    """None: the hashes."""
    dim: int
    kind: Kind[Index]
    columns: Mapping[str, str]
    """The files of its payload, in order, and the types of the numbers in them."""
    open_large: Callable[[Path, Manifest], Index]
    at_once: str | None
    """The engine that takes no time to build."""
    choose: Callable[[int, str | None], str | None]
    """Which engine so many rows deserve, when this one holds them now; None where there is no choice."""
    find_own: Callable[[Index, Rows], object]
    """Searches an index for rows of its own: what it touches is in memory afterwards."""
    rows_in: Callable[[Changes], tuple[NDArray[np.int64], Origins, Payload]]
    """Of a step of the log: the items to forget, and the rows to add."""

    def origins_in(self, folder: Path, rows: int) -> Origins:
        """
        Raises:
            UnusableIndex: they are missing, or others than expected.
        """
        return Origins(*(map_column(folder / name, dtype, (rows,)) for name, dtype in ORIGIN_COLUMNS.items()))


def semantic_kind(
    space: SpaceId, dim: int, build_index: BuildIndex, forced: Engine | None = None
) -> ViewKind[VectorIndex]:
    """
    Args:
        space: whose embeddings.
        dim: their length.
        build_index: the engine of a large part in memory.
        forced: the engine of a large part in a snapshot, whatever its size.
    """

    def payload_of(index: VectorIndex, rows: Rows) -> Payload:
        return (index.vectors(rows),)

    def open_large(folder: Path, manifest: Manifest) -> VectorIndex:
        return ladder.open_index(folder, IndexDescription.from_json(manifest.engine), dim)

    def choose(rows: int, current: str | None) -> str | None:
        held = Engine(current) if current in set(Engine) else None
        return ladder.choose(rows, held, forced).value

    def find_own(index: VectorIndex, rows: Rows) -> object:
        return index.search(index.vectors(rows), _FEW)

    def rows_in(changes: Changes) -> tuple[NDArray[np.int64], Origins, Payload]:
        rows = changes.semantic.get(space)
        touched = changes.touched_in(space)
        if rows is None:
            return touched, no_origins(), nothing
        return touched, rows.origins, rows.payload

    nothing = (np.empty((0, dim), np.float32),)
    kind: Kind[VectorIndex] = Kind(nothing, build_index, ScanIndex, payload_of)
    return ViewKind(
        space, space, dim, kind, {ladder.ROWS_FILE: "<f2"}, open_large, Engine.FLAT, choose, find_own, rows_in
    )


def perceptual_kind() -> ViewKind[PdqIndex]:
    def payload_of(index: PdqIndex, rows: Rows) -> Payload:
        return index.hashes(rows), index.qualities[rows]

    def open_large(folder: Path, manifest: Manifest) -> PdqIndex:
        hashes = map_column(folder / "hashes.npy", "|u1", (manifest.rows, PDQ_BYTES))
        return PdqIndex(hashes, map_column(folder / "qualities.npy", "<i2", (manifest.rows,)))

    def find_own(index: PdqIndex, rows: Rows) -> object:
        return index.search(index.hashes(rows), _FEW)

    def rows_in(changes: Changes) -> tuple[NDArray[np.int64], Origins, Payload]:
        rows = changes.perceptual
        return changes.touched_items, rows.origins, rows.payload

    nothing = (np.empty((0, PDQ_BYTES), np.uint8), np.empty(0, np.int16))
    kind: Kind[PdqIndex] = Kind(nothing, PdqIndex, PdqIndex, payload_of)
    columns = {"hashes.npy": "|u1", "qualities.npy": "<i2"}
    return ViewKind(
        name=PDQ_VIEW,
        space=None,
        dim=8 * PDQ_BYTES,
        kind=kind,
        columns=columns,
        open_large=open_large,
        at_once=None,
        choose=lambda *_: None,
        find_own=find_own,
        rows_in=rows_in,
    )
