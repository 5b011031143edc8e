"""What the tests of the index share: a catalog of their own, and items to put into it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from index.catalog import Catalog
from index.catalog.tables import metadata
from index.records.banks import Purpose
from index.records.items import ItemKind, NewFrame, NewItem
from index.records.rows import Embeddings
from index.records.spaces import SpaceId

DIM = 16
SPACE = SpaceId("test-000000000000")
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database that a catalog may be in: what asks for a `url` or a `catalog` runs on all of them."""
    return str(request.param)


@pytest.fixture
def url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of an empty database, or of the one that `catalog` has open."""
    prepared = "catalog" in request.fixturenames
    if database == "postgresql" and prepared:
        yield request.getfixturevalue("prepared_database")()
    elif database == "postgresql":
        with request.getfixturevalue("postgres").database() as empty:
            yield empty
    else:
        if prepared:
            shutil.copy(request.getfixturevalue("prepared_file"), tmp_path / "catalog.db")
        yield f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture(scope="session")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog's file to copy: making one takes ten times as long."""
    path = tmp_path_factory.mktemp("prepared") / "catalog.db"
    _prepare(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def prepared_database(postgres: Any) -> Iterator[Callable[[], str]]:
    """The URL of one database for all tests, each time as it was at first."""
    with postgres.database() as url:
        _prepare(url)
        name = make_url(url).database
        tables = [table.name for table in metadata.sorted_tables]
        postgres.execute("CREATE SCHEMA before", name)
        postgres.execute(";".join(f"CREATE TABLE before.{table} AS TABLE public.{table}" for table in tables), name)
        emptied = [f"DELETE FROM public.{table}" for table in reversed(tables)]  # noqa: S608 - our own tables
        filled = [f"INSERT INTO public.{table} SELECT * FROM before.{table}" for table in tables]  # noqa: S608
        untriggered = "SET session_replication_role = replica"  # the audit log is kept by one
        counted = "SELECT setval('spaces_space_key_seq', (SELECT max(space_key) FROM public.spaces))"

        def again() -> str:
            postgres.execute(";".join([untriggered, *emptied, *filled, counted]), name)
            return str(url)

        yield again


def _prepare(url: str) -> None:
    made = Catalog.open(url)
    made.put_bank("known", Purpose.HARMFUL)
    made.put_bank("news", Purpose.PUBLIC_INTEREST)
    made.register_space(SPACE, DIM)
    made.close()


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    """With a harmful bank `known`, a bank `news`, and one space."""
    opened = Catalog.open(url)
    yield opened
    opened.close()


@pytest.fixture
def load_golden(url: str, database: str) -> Callable[[str], None]:
    """Fills the empty database with the catalog that a release left."""

    def load(release: str) -> None:
        statements = (GOLDEN / f"catalog-{release}.{database}.sql").read_text()
        engine = create_engine(url)
        raw = engine.raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        if database == "sqlite":
            driver.executescript(statements)
        else:
            driver.execute(statements)
            driver.commit()
        raw.close()
        engine.dispose()

    return load


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
