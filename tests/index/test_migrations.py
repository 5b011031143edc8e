"""The schema: made from nothing, the same as the tables, never downgraded."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

import index.catalog.storage.migrate
from index.catalog import Catalog
from index.catalog.tables import REVISION, metadata
from index.errors import CatalogTooNew
from index.records.banks import Purpose
from index.records.items import NewItem

SCRIPTS = Path(index.catalog.storage.migrate.__file__).parent / "migrations"


def test_the_migrations_lead_to_the_tables_that_the_code_uses(url: str) -> None:
    Catalog.open(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        if engine.name == "sqlite":
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    engine.dispose()


def test_the_newest_migration_is_the_one_that_the_tables_name() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == REVISION


def test_opening_again_keeps_everything(url: str, picture: Callable[..., NewItem]) -> None:
    first = Catalog.open(url)
    first.put_bank("known", Purpose.HARMFUL)
    item = first.add_item("known", picture(frames=())).item
    version = first.version()
    first.close()
    second = Catalog.open(url)
    assert second.item("known", item.item_id) == item
    assert second.version() == version
    second.close()


def test_a_catalog_of_a_newer_release_is_refused_and_left_alone(url: str) -> None:
    Catalog.open(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogTooNew, match="9999"):
        Catalog.open(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()


OPEN = """
import sys
from index.catalog import Catalog
from index.records.banks import Purpose
print("ready", flush=True)
sys.stdin.readline()
catalog = Catalog.open(sys.argv[1])
catalog.put_bank(sys.argv[2], Purpose.HARMFUL)
catalog.close()
"""


def test_processes_that_open_a_new_catalog_at_once_all_succeed(url: str) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    for starter in starters:
        assert starter.stdout
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin
        starter.stdin.write("go\n")
        starter.stdin.flush()
    for starter in starters:
        starter.communicate(timeout=60)
        assert starter.returncode == 0
    catalog = Catalog.open(url)
    assert {bank.name for bank in catalog.banks(10).items} == {"a", "b"}
    assert catalog.version() == 2
    catalog.close()
