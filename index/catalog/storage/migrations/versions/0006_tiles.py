"""Which embeddings of a frame are of tiles of it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for column in ("tiles", "tile_views"):
        op.add_column("embeddings", sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
