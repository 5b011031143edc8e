"""Jobs, local features, kept originals, and the states of spaces."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_time = sa.BigInteger()


def upgrade() -> None:
    op.add_column("changes", sa.Column("space_key", sa.Integer()))
    op.add_column("items", sa.Column("original_bytes", sa.BigInteger()))
    _spaces()
    _features()
    _jobs()
    _agreements()


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
