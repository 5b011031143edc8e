"""Parquet: manifests to read, results of a scan to write. This file alone imports pyarrow, an extra."""

import contextlib
import importlib.util
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from index.records.jobs import JobJson
from service.jobs.errors import UnusableSource
from service.jobs.rows import Mapped, Row

PARQUET_IS_MISSING: Final = "Parquet needs pyarrow: install afterimage[parquet]."
_READ_AT_ONCE: Final = 1024
_WRITTEN_AT_ONCE: Final = 8192


@dataclass(frozen=True, slots=True)
class ParquetList:
    """A manifest whose rows name files, or are PDQ hashes. A part is a row group, and goes on from a row of it."""

    path: Path
    mapped: Mapped

    def spans(self) -> Iterator[tuple[JobJson, int]]:
        with _in_our_words(), self._opened() as table:
            first = 0
            for group in range(table.num_row_groups):
                rows = table.metadata.row_group(group).num_rows
                if rows:
                    yield {"group": group, "first": first}, rows
                first += rows

    def rows(self, span: JobJson, cursor: JobJson | None) -> Iterator[Row]:
        done = 0 if cursor is None else int(cursor["row"])
        number = 0
        with _in_our_words(), self._opened() as table:
            for batch in table.iter_batches(_READ_AT_ONCE, row_groups=[int(span["group"])]):
                if number + batch.num_rows <= done:
                    number += batch.num_rows
                    continue
                for fields in batch.to_pylist():
                    number += 1
                    if number > done:
                        name = f"{self.path}:{int(span['first']) + number}"
                        yield self.mapped.row(fields, name, {"row": number})

    def _opened(self) -> Any:  # noqa: ANN401 - pyarrow is untyped
        from pyarrow import parquet  # noqa: PLC0415 - an extra

        return parquet.ParquetFile(self.path, memory_map=False)


def parquet_is_installed() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """
    Raises:
        UnusableSource: it is no Parquet, or nothing here can read it.
    """
    try:
        yield
    except ImportError:
        raise UnusableSource(PARQUET_IS_MISSING) from None
    except ValueError:  # what pyarrow calls invalid
        raise UnusableSource("A .parquet file is damaged, or is no Parquet.") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnusableSource("A .parquet file is damaged, or is no Parquet.") from None


def write_parquet(lines: Path, output: Path) -> Path:
    """
    One row for each line: its verdict, its best match in columns, and all of its matches as JSON.

    Args:
        lines: results as JSON lines.
        output: the file to write; whole, or not there.
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    schema = pa.schema(
        [
            ("row", pa.string()),
            ("labels", pa.string()),
            ("sha256", pa.string()),
            ("band", pa.string()),
            ("suggested_action", pa.string()),
            ("reasons", pa.list_(pa.string())),
            ("item_id", pa.string()),
            ("bank", pa.string()),
            ("score", pa.float32()),
            ("pdq_distance", pa.int16()),
            ("matches", pa.string()),
            ("index_version", pa.int64()),
        ]
    )
    aside = output.with_name(f".{output.name}.aside")
    with lines.open("rb") as file, parquet.ParquetWriter(aside, schema, compression="zstd") as table:
        for rows in _batches(file):
            table.write_table(pa.Table.from_pylist([_row(json.loads(line)) for line in rows], schema=schema))
    aside.replace(output)
    return output


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(itertools.islice(lines, _WRITTEN_AT_ONCE)):
        yield batch


def _row(result: dict[str, Any]) -> dict[str, Any]:
    best = result["matches"][0] if result["matches"] else None
    semantic = None if best is None else best["semantic"]
    perceptual = None if best is None else best["perceptual"]
    return {
        "row": result["row"],
        "labels": json.dumps(result["labels"], ensure_ascii=False),
        "sha256": result["media"]["sha256"],
        "band": result["verdict"]["band"],
        "suggested_action": result["verdict"]["suggested_action"],
        "reasons": result["verdict"]["reasons"],
        "item_id": None if best is None else best["item_id"],
        "bank": None if best is None else best["bank"],
        "score": None if semantic is None else semantic["score"],
        "pdq_distance": None if perceptual is None else perceptual["distance"],
        "matches": json.dumps(result["matches"], ensure_ascii=False),
        "index_version": result["index_version"],
    }
