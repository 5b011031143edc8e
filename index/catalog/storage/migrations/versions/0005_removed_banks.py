"""Banks that are removed, and whose items are being deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("banks", sa.Column("removed_at", sa.BigInteger()))
