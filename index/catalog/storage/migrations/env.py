"""How alembic runs our migrations: on the connection it is given, in the transaction that is open there."""

from alembic import context

from index.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
