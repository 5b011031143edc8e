"""What an engine says of itself: kept in the manifest of its snapshot, shown by the doctor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from index.errors import UnusableIndex


class Engine(StrEnum):
    """The rungs of the ladder, from few rows to many."""

    FLAT = "flat"
    """Exact: compares with every row."""
    IVF = "ivf-fp16"
    """Compares with the rows of the nearest cells, in half precision."""
    PQ = "ivf-pq"
    """Sieves the rows of the nearest cells by two bits a dimension, and compares with what is left."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one setting of an engine finds and costs, measured when it was built."""

    parameters: Mapping[str, int]
    planted: float
    """Of the perturbed rows whose original is nearest by the exact answer, the share that finds it."""
    overlap: float
    """Of the ten nearest by the exact answer, the share that is among the ten found; the mean over the queries."""
    query_ms: float
    """What one takes that nothing else on the machine gets in the way of."""


@dataclass(frozen=True, slots=True)
class IndexDescription:
    engine: Engine
    rows: int
    dim: int
    files: tuple[str, ...]
    """What the engine wrote beside the rows."""
    bytes_per_vector: float
    """In memory, of what every search touches; the rows themselves, on the disk, not counted unless searched."""
    parameters: Mapping[str, int] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    """The one it is searched with last."""

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine.value,
            "rows": self.rows,
            "dim": self.dim,
            "files": list(self.files),
            "bytes_per_vector": self.bytes_per_vector,
            "parameters": dict(self.parameters),
            "curve": [
                {
                    "parameters": dict(point.parameters),
                    "planted": point.planted,
                    "overlap": point.overlap,
                    "query_ms": point.query_ms,
                }
                for point in self.curve
            ],
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> "IndexDescription":
        """
        Raises:
            UnusableIndex: it is not what `to_json` writes.
        """
        try:
            return IndexDescription(
                engine=Engine(document["engine"]),
                rows=int(document["rows"]),
                dim=int(document["dim"]),
                files=tuple(str(name) for name in document["files"]),
                bytes_per_vector=float(document["bytes_per_vector"]),
                parameters={str(name): int(value) for name, value in document["parameters"].items()},
                curve=tuple(
                    CurvePoint(
                        parameters={str(name): int(value) for name, value in point["parameters"].items()},
                        planted=float(point["planted"]),
                        overlap=float(point["overlap"]),
                        query_ms=float(point["query_ms"]),
                    )
                    for point in document["curve"]
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnusableIndex("The description of an index cannot be read.") from error
