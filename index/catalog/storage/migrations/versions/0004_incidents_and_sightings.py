"""Incidents, sightings, events, and what is counted of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_time = sa.BigInteger()


def upgrade() -> None:
    op.add_column("log_head", sa.Column("sighting_seq", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("log_head", sa.Column("event_seq", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("items", sa.Column("quarantine", sa.String(16)))
    _incidents()
    _sightings()
    _clusters()
    _events()


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("incident_key", _key, autoincrement=False, nullable=False),
        sa.Column("incident_id", sa.String(28), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("criteria", sa.JSON(), nullable=False),
        sa.Column("protocol", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(64)),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("updated_at", _time, nullable=False),
        sa.Column("confirmed_at", _time),
        sa.Column("concluded_at", _time),
        sa.Column("first_match_at", _time),
        sa.PrimaryKeyConstraint("incident_key", name="pk_incidents"),
        sa.UniqueConstraint("incident_id", name="uq_incidents_incident_id"),
    )
    op.create_table(
        "incident_banks",
        sa.Column("incident_key", _key, nullable=False),
        sa.Column("bank_key", _key, nullable=False),
        sa.ForeignKeyConstraint(["bank_key"], ["banks.bank_key"], name="fk_incident_banks_banks", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["incident_key"], ["incidents.incident_key"], name="fk_incident_banks_incidents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("incident_key", "bank_key", name="pk_incident_banks"),
        sa.UniqueConstraint("bank_key", name="uq_incident_banks_bank_key"),
    )
    op.create_table(
        "incident_participants",
        sa.Column("incident_key", _key, nullable=False),
        sa.Column("participant", sa.String(64), nullable=False),
        sa.Column("joined_at", _time, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_key"], ["incidents.incident_key"], name="fk_incident_participants_incidents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("incident_key", "participant", name="pk_incident_participants"),
    )
    op.create_table(
        "incident_transitions",
        sa.Column("incident_key", _key, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("from_state", sa.String(32), nullable=False),
        sa.Column("to_state", sa.String(32), nullable=False),
        sa.Column("participant", sa.String(64)),
        sa.Column("key_id", sa.String(16)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_key"], ["incidents.incident_key"], name="fk_incident_transitions_incidents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("incident_key", "number", name="pk_incident_transitions"),
    )
    op.create_table(
        "incident_confirmations",
        sa.Column("incident_key", _key, nullable=False),
        sa.Column("participant", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_key"], ["incidents.incident_key"], name="fk_incident_confirmations_incidents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("incident_key", "participant", name="pk_incident_confirmations"),
    )


def _sightings() -> None:
    op.create_table(
        "sightings",
        sa.Column("sighting_key", _key, autoincrement=False, nullable=False),
        sa.Column("sighting_id", sa.String(28), nullable=False),
        sa.Column("platform", sa.String(64), nullable=False),
        sa.Column("upload_id", sa.String(256)),
        sa.Column("observed_at", _time, nullable=False),
        sa.Column("received_at", _time, nullable=False),
        sa.Column("publisher", sa.String(256)),
        sa.Column("context", sa.String(255)),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("incident_key", _key),
        sa.Column("cluster_key", _key),
        sa.Column("link_key", _key),
        sa.Column("link_score", sa.Float()),
        sa.Column("link_distance", sa.Integer()),
        sa.Column("index_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sighting_key", name="pk_sightings"),
    )
    op.create_index("ix_sightings_cluster_key_sighting_key", "sightings", ["cluster_key", "sighting_key"])
    op.create_index("ix_sightings_incident_key_sighting_key", "sightings", ["incident_key", "sighting_key"])
    op.create_index("ix_sightings_link_key", "sightings", ["link_key"])
    op.create_index("ix_sightings_platform_sighting_key", "sightings", ["platform", "sighting_key"])
    op.create_index("ix_sightings_platform_upload_id", "sightings", ["platform", "upload_id"])
    op.create_index("ix_sightings_received_at", "sightings", ["received_at"])
    op.create_table(
        "sighting_frames",
        sa.Column("sighting_key", _key, nullable=False),
        sa.Column("frame_no", sa.Integer(), nullable=False),
        sa.Column("position_ms", sa.BigInteger(), nullable=False),
        sa.Column("pdq", sa.LargeBinary(32)),
        sa.Column("pdq_quality", sa.Integer()),
        sa.ForeignKeyConstraint(
            ["sighting_key"], ["sightings.sighting_key"], name="fk_sighting_frames_sightings", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sighting_key", "frame_no", name="pk_sighting_frames"),
    )
    op.create_table(
        "sighting_embeddings",
        sa.Column("sighting_key", _key, nullable=False),
        sa.Column("frame_no", sa.Integer(), nullable=False),
        sa.Column("space_key", sa.Integer(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sighting_key", "frame_no"],
            ["sighting_frames.sighting_key", "sighting_frames.frame_no"],
            name="fk_sighting_embeddings_sighting_frames",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["space_key"], ["spaces.space_key"], name="fk_sighting_embeddings_spaces"),
        sa.PrimaryKeyConstraint("sighting_key", "frame_no", "space_key", name="pk_sighting_embeddings"),
    )
    op.create_table(
        "sighting_matches",
        sa.Column("sighting_key", _key, nullable=False),
        sa.Column("item_key", _key, nullable=False),
        sa.Column("means", sa.String(32), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        sa.Column("score", sa.Float()),
        sa.Column("distance", sa.Integer()),
        sa.Column("verified", sa.Boolean()),
        sa.Column("at", _time, nullable=False),
        sa.ForeignKeyConstraint(
            ["sighting_key"], ["sightings.sighting_key"], name="fk_sighting_matches_sightings", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sighting_key", "item_key", name="pk_sighting_matches"),
    )
    op.create_index("ix_sighting_matches_item_key_sighting_key", "sighting_matches", ["item_key", "sighting_key"])
    op.create_table(
        "sighting_edges",
        sa.Column("sighting_key", _key, nullable=False),
        sa.Column("earlier_key", _key, nullable=False),
        sa.Column("score", sa.Float()),
        sa.Column("distance", sa.Integer()),
        sa.ForeignKeyConstraint(
            ["earlier_key"], ["sightings.sighting_key"], name="fk_sighting_edges_earlier", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sighting_key"], ["sightings.sighting_key"], name="fk_sighting_edges_sightings", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sighting_key", "earlier_key", name="pk_sighting_edges"),
    )
    op.create_index("ix_sighting_edges_earlier_key", "sighting_edges", ["earlier_key"])


def _clusters() -> None:
    op.create_table(
        "clusters",
        sa.Column("cluster_key", _key, autoincrement=False, nullable=False),
        sa.Column("cluster_id", sa.String(28), nullable=False),
        sa.Column("space_key", sa.Integer()),
        sa.Column("anchors", sa.LargeBinary(), nullable=False),
        sa.Column("members", sa.BigInteger(), nullable=False),
        sa.Column("matched", sa.BigInteger(), nullable=False),
        sa.Column("incident_key", _key),
        sa.Column("weakest_key", _key),
        sa.Column("weakest_strength", sa.Float()),
        sa.Column("relative_key", _key),
        sa.Column("relative_score", sa.Float()),
        sa.Column("relative_distance", sa.Integer()),
        sa.Column("announced", sa.BigInteger(), nullable=False),
        sa.Column("first_at", _time, nullable=False),
        sa.Column("last_at", _time, nullable=False),
        sa.Column("received_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("cluster_key", name="pk_clusters"),
    )
    op.create_index("ix_clusters_received_at", "clusters", ["received_at"])
    op.create_table(
        "cluster_tallies",
        sa.Column("cluster_key", _key, nullable=False),
        sa.Column("hour", _time, nullable=False),
        sa.Column("platform", sa.String(64), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        sa.Column("sightings", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster_key"], ["clusters.cluster_key"], name="fk_cluster_tallies_clusters", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cluster_key", "hour", "platform", "band", name="pk_cluster_tallies"),
    )
    op.create_index("ix_cluster_tallies_hour", "cluster_tallies", ["hour"])
    op.create_table(
        "variant_items",
        sa.Column("item_key", _key, autoincrement=False, nullable=False),
        sa.Column("sighting_key", _key, nullable=False),
        sa.Column("cluster_key", _key, nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.item_key"], name="fk_variant_items_items", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_key", name="pk_variant_items"),
    )
    op.create_index("ix_variant_items_cluster_key", "variant_items", ["cluster_key"])
    op.create_index("ix_variant_items_sighting_key", "variant_items", ["sighting_key"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("event_key", _key, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.Column("incident_key", _key),
        sa.Column("platform", sa.String(64)),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_key", name="pk_events"),
    )
    op.create_index("ix_events_incident_key_event_key", "events", ["incident_key", "event_key"])
    op.create_table(
        "tallies",
        sa.Column("hour", _time, nullable=False),
        sa.Column("platform", sa.String(64), nullable=False),
        sa.Column("incident_key", _key, nullable=False),
        sa.Column("bank_key", _key, nullable=False),
        sa.Column("means", sa.String(32), nullable=False),
        sa.Column("band", sa.String(32), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("capped", sa.Boolean(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("uploads", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour",
            "platform",
            "incident_key",
            "bank_key",
            "means",
            "band",
            "action",
            "capped",
            "shadow",
            name="pk_tallies",
        ),
    )
    op.create_index("ix_tallies_incident_key_bank_key_hour", "tallies", ["incident_key", "bank_key", "hour"])
    op.create_table(
        "item_tallies",
        sa.Column("item_key", _key, nullable=False),
        sa.Column("hour", _time, nullable=False),
        sa.Column("uploads", sa.BigInteger(), nullable=False),
        sa.Column("unconfirmed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.item_key"], name="fk_item_tallies_items", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_key", "hour", name="pk_item_tallies"),
    )
    op.create_index("ix_item_tallies_hour", "item_tallies", ["hour"])
    op.create_table(
        "quarantines",
        sa.Column("item_key", _key, nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("lifted_at", _time),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["item_key"], ["items.item_key"], name="fk_quarantines_items", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_key", name="pk_quarantines"),
    )
    op.create_table(
        "feedback",
        sa.Column("feedback_id", sa.String(28), nullable=False),
        sa.Column("item_key", _key, nullable=False),
        sa.Column("bank_key", _key, nullable=False),
        sa.Column("incident_key", _key),
        sa.Column("request_id", sa.String(128)),
        sa.Column("sighting_id", sa.String(28)),
        sa.Column("opinion", sa.String(32), nullable=False),
        sa.Column("participant", sa.String(64)),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.PrimaryKeyConstraint("feedback_id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_bank_key_at", "feedback", ["bank_key", "at"])
    op.create_index("ix_feedback_incident_key_at", "feedback", ["incident_key", "at"])
    op.create_index("ix_feedback_item_key_at", "feedback", ["item_key", "at"])
    op.create_table(
        "duties",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("lease_until", _time),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )
