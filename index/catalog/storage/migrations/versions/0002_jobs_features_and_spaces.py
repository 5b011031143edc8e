"""Jobs, local features, kept originals, and the states of spaces."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_time = sa.BigInteger()


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _order_of_names()
    _catalog_id()
    _banks_of_remembered_requests()
    op.add_column("changes", sa.Column("space_key", sa.Integer()))
    op.add_column("items", sa.Column("original_bytes", sa.BigInteger()))
    _spaces()
    _features()
    _jobs()
    _original_removals()
    _agreements()
    _space_holders()


def _order_of_names() -> None:
    """By code point, as on SQLite: an order that no later release of the system's locale changes beneath an index."""
    for table, column in (("banks", "name"), ("spaces", "space")):
        op.alter_column(table, column, type_=sa.String(255, collation="C"), existing_nullable=False)


def _catalog_id() -> None:
    head = sa.table("log_head", sa.column("catalog_id", sa.String(32)))
    op.add_column("log_head", sa.Column("catalog_id", sa.String(32), nullable=False, server_default=""))
    op.execute(sa.update(head).values(catalog_id=uuid.uuid4().hex))


def _banks_of_remembered_requests() -> None:
    remembered = sa.table(
        "idempotency", sa.column("scope"), sa.column("key"), sa.column("bank"), sa.column("answer", sa.JSON())
    )
    op.add_column("idempotency", sa.Column("bank", sa.String(255)))
    rows = op.get_bind().execute(sa.select(remembered.c.scope, remembered.c.key, remembered.c.answer)).all()
    for scope, key, answer in rows:
        its = (remembered.c.scope == scope) & (remembered.c.key == key)
        op.execute(sa.update(remembered).where(its).values(bank=answer["item"]["bank"]))


def _spaces() -> None:
    """Whatever was kept until now was served."""
    op.add_column("spaces", sa.Column("model", sa.String(1024)))
    op.add_column("spaces", sa.Column("state", sa.String(32), nullable=False, server_default="served"))
    op.add_column("spaces", sa.Column("replaces", sa.Integer()))
    op.add_column("spaces", sa.Column("changed_at", _time))


def _features() -> None:
    op.create_table(
        "features",
        sa.Column("item_key", _key, nullable=False),
        sa.Column("frame_no", sa.Integer(), nullable=False),
        sa.Column("extractor", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_key", "frame_no"],
            ["frames.item_key", "frames.frame_no"],
            name="fk_features_frames",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("item_key", "frame_no", "extractor", name="pk_features"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(28), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("error", sa.String(1024)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("started_at", _time),
        sa.Column("finished_at", _time),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state_created_at", "jobs", ["state", "created_at"])
    op.create_table(
        "job_parts",
        sa.Column("job_id", sa.String(28), nullable=False),
        sa.Column("part_no", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("span", sa.JSON(), nullable=False),
        sa.Column("cursor", sa.JSON()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("lease_until", _time),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_parts_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "part_no", name="pk_job_parts"),
    )
    op.create_index("ix_job_parts_job_id_state", "job_parts", ["job_id", "state"])


def _original_removals() -> None:
    op.create_table(
        "original_removals",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("claimed_at", _time),
        sa.PrimaryKeyConstraint("sha256", name="pk_original_removals"),
    )


def _agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("space_key", sa.Integer(), nullable=False),
        sa.Column("against", sa.Integer(), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        sa.Column("shadow_band", sa.String(32), nullable=False),
        sa.Column("uploads", sa.BigInteger(), nullable=False),
        sa.Column("same_item", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["space_key"], ["spaces.space_key"], name="fk_agreements_spaces"),
        sa.ForeignKeyConstraint(["against"], ["spaces.space_key"], name="fk_agreements_spaces_against"),
        sa.PrimaryKeyConstraint("space_key", "against", "band", "shadow_band", name="pk_agreements"),
    )


def _space_holders() -> None:
    op.create_table(
        "space_holders",
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("space_key", sa.Integer(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(255)),
        sa.Column("seen_at", _time, nullable=False),
        sa.ForeignKeyConstraint(["space_key"], ["spaces.space_key"], name="fk_space_holders_spaces"),
        sa.PrimaryKeyConstraint("holder", "space_key", name="pk_space_holders"),
    )
