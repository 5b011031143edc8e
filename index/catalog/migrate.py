"""Brings a database to the schema of tables.py."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from index.catalog.tables import REVISION
from index.errors import CatalogTooNew

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """
    Creates or upgrades the tables, in the caller's transaction: it happens whole or not at all.

    Raises:
        CatalogTooNew: a newer release has written it.
    """
    found = revision_of(connection)
    if found == REVISION:
        return
    if found is not None:
        refuse_newer(found)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)


def refuse_newer(revision: str) -> None:
    """
    Raises:
        CatalogTooNew: a newer release has written it.
    """
    if revision not in {script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()}:
        raise CatalogTooNew(f"The catalog was written by a newer release (schema {revision}); upgrade this one.")


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
