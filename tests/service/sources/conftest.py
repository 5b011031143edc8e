"""Reads sources as jobs do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.jobs.options import SourceOptions
from service.jobs.rows import Row, UnusableRow
from service.jobs.sources import Sources, checked_sources

MOST_BYTES = 1000


def _sources_of(*paths: Path, **options: Any) -> Sources:
    asked = SourceOptions(sources=[str(path) for path in paths], **options)
    return Sources.of(checked_sources(asked, None), MOST_BYTES)


def _rows_of(sources: Sources) -> list[Row]:
    return [row for span in sources.plan().spans for row in sources.rows(span, None)]


def _said(row: Row) -> Any:
    """What a row comes to: its hash, its media or its problem."""
    if row.problem is not None:
        return row.problem
    if row.pdq is not None:
        return row.pdq
    assert row.read is not None
    try:
        return row.read()
    except UnusableRow as problem:
        return str(problem)


@pytest.fixture
def sources_of() -> Callable[..., Sources]:
    return _sources_of


@pytest.fixture
def rows_of() -> Callable[[Sources], list[Row]]:
    return _rows_of


@pytest.fixture
def said() -> Callable[[Row], Any]:
    return _said
