"""Banks, items, frames, embeddings, the change log and remembered requests."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_time = sa.BigInteger()


def upgrade() -> None:
    _log()
    _banks_and_items()
    _frames_and_embeddings()
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_digest", sa.String(128), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])


def _log() -> None:
    head = op.create_table(
        "log_head",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", _time),
        sa.CheckConstraint("one = 1", name="ck_log_head_single"),
        sa.PrimaryKeyConstraint("one", name="pk_log_head"),
    )
    op.bulk_insert(head, [{"one": 1, "seq": 0}])
    op.create_table(
        "changes",
        sa.Column("seq", _key, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("bank_key", _key, nullable=False),
        sa.Column("item_key", _key),
        sa.Column("at", _time, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
    )


def _banks_and_items() -> None:
    op.create_table(
        "banks",
        sa.Column("bank_key", _key, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("item_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("updated_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("bank_key", name="pk_banks"),
        sa.UniqueConstraint("name", name="uq_banks_name"),
    )
    op.create_table(
        "items",
        sa.Column("item_key", _key, autoincrement=False, nullable=False),
        sa.Column("item_id", sa.String(28), nullable=False),
        sa.Column("bank_key", _key, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("media_format", sa.String(64)),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("low_information", sa.Boolean(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("updated_at", _time, nullable=False),
        sa.ForeignKeyConstraint(["bank_key"], ["banks.bank_key"], name="fk_items_banks", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_key", name="pk_items"),
        sa.UniqueConstraint("bank_key", "sha256", name="uq_items_bank_key_sha256"),
    )
    op.create_index("ix_items_bank_key_item_key", "items", ["bank_key", "item_key"])
    op.create_index("ix_items_sha256", "items", ["sha256"])


def _frames_and_embeddings() -> None:
    op.create_table(
        "frames",
        sa.Column("item_key", _key, nullable=False),
        sa.Column("frame_no", sa.Integer(), nullable=False),
        sa.Column("position_ms", sa.BigInteger(), nullable=False),
        sa.Column("pdq", sa.LargeBinary(32)),
        sa.Column("pdq_quality", sa.Integer()),
        sa.Column("low_information", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.item_key"], name="fk_frames_items", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_key", "frame_no", name="pk_frames"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spaces",
        sa.Column("space_key", sa.Integer(), nullable=False),
        sa.Column("space", sa.String(255), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("space_key", name="pk_spaces"),
        sa.UniqueConstraint("space", name="uq_spaces_space"),
    )
    op.create_table(
        "embeddings",
        sa.Column("item_key", _key, nullable=False),
        sa.Column("frame_no", sa.Integer(), nullable=False),
        sa.Column("space_key", sa.Integer(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_key", "frame_no"],
            ["frames.item_key", "frames.frame_no"],
            name="fk_embeddings_frames",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["space_key"], ["spaces.space_key"], name="fk_embeddings_spaces"),
        sa.PrimaryKeyConstraint("item_key", "frame_no", "space_key", name="pk_embeddings"),
    )
