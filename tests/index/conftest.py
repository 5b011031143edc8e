"""What the tests of the index share: a catalog of their own, and items to put into it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from index.catalog import Catalog
from index.records import Embeddings, ItemKind, NewFrame, NewItem, Purpose, SpaceId

DIM = 16
SPACE = SpaceId("test-000000000000")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog's file to copy: making one takes ten times as long."""
    path = tmp_path_factory.mktemp("prepared") / "catalog.db"
    made = Catalog.open(f"sqlite:///{path}")
    made.put_bank("known", Purpose.HARMFUL)
    made.put_bank("news", Purpose.PUBLIC_INTEREST)
    made.register_space(SPACE, DIM)
    made.close()
    return path


@pytest.fixture
def catalog(url: str, tmp_path: Path, prepared: Path) -> Iterator[Catalog]:
    """With a harmful bank `known`, a bank `news`, and one space."""
    shutil.copy(prepared, tmp_path / "catalog.db")
    opened = Catalog.open(url)
    yield opened
    opened.close()


@pytest.fixture
def space() -> SpaceId:
    return SPACE


@pytest.fixture
def unit_rows() -> Callable[[int], Embeddings]:
    """Random rows of norm 1, other ones with every call."""
    source = np.random.default_rng(20261122)

    def rows(count: int) -> Embeddings:
        values = source.standard_normal((count, DIM)).astype(np.float32)
        normal: Embeddings = values / np.linalg.norm(values, axis=1, keepdims=True)
        return normal

    return rows


@pytest.fixture
def picture(unit_rows: Callable[[int], Embeddings]) -> Callable[..., NewItem]:
    """A new image of one frame with an embedding and a hash, other ones with every call."""
    source = np.random.default_rng(7)

    def make(**changes: object) -> NewItem:
        frame = NewFrame(position_ms=0, pdq=source.bytes(32), pdq_quality=90, embeddings={SPACE: unit_rows(1)})
        values: dict[str, object] = {"kind": ItemKind.IMAGE, "frames": (frame,), "sha256": source.bytes(32).hex()}
        return NewItem(**(values | changes))  # type: ignore[arg-type]

    return make
