"""Keys of those who ask, and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_time = sa.BigInteger()
_plain = sa.String(512).with_variant(sa.String(512, collation="C"), "postgresql")

_SQLITE = """
CREATE TRIGGER audit_is_kept_{event} BEFORE {event} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END
"""
_POSTGRESQL = (
    """
    CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit log is never changed'; END $$
    """,
    """
    CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()
    """,
)


def upgrade() -> None:
    op.add_column("log_head", sa.Column("audit_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("log_head", sa.Column("audit_digest", sa.LargeBinary(32)))
    op.add_column("log_head", sa.Column("keys_version", sa.BigInteger(), nullable=False, server_default="0"))
    _keys()
    _audit()
    for statement in _kept(op.get_bind().dialect.name):
        op.execute(statement)


def _kept(dialect: str) -> tuple[str, ...]:
    """What makes the database refuse to rewrite the audit log."""
    if dialect == "sqlite":
        return tuple(_SQLITE.format(event=event) for event in ("UPDATE", "DELETE"))
    return _POSTGRESQL


def _keys() -> None:
    op.create_table(
        "participants",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_participants"),
    )
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("participant", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(256), nullable=False),
        sa.Column("rate_per_s", sa.Float()),
        sa.Column("queries_per_day", sa.BigInteger()),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("expires_at", _time),
        sa.Column("revoked_at", _time),
        sa.Column("last_used_at", _time),
        sa.Column("replaced_by", sa.String(16)),
        sa.ForeignKeyConstraint(["participant"], ["participants.name"], name="fk_keys_participants"),
        sa.PrimaryKeyConstraint("key_id", name="pk_keys"),
        sa.UniqueConstraint("number", name="uq_keys_number"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _key, autoincrement=False, nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.Column("participant", sa.String(64)),
        sa.Column("key_id", sa.String(16)),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("request", sa.String(128)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", _plain, nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    for column in ("participant", "action", "subject"):
        op.create_index(f"ix_audit_{column}_seq", "audit", [column, "seq"])
