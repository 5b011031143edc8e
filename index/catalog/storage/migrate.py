"""
Brings a database to the schema of index/catalog/tables.py.

alembic is imported where there is something to bring: it and what it imports take 11 MiB and a fifth of a second of
every process, and nearly every process finds its database as it should be.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

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
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)


def refuse_newer(revision: str) -> None:
    """
    Raises:
        CatalogTooNew: a newer release has written it.
    """
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    if revision not in {script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()}:
        raise CatalogTooNew(f"The catalog was written by a newer release (schema {revision}); upgrade this one.")


def revision_of(connection: Connection) -> str | None:
    """None where alembic has not been yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
