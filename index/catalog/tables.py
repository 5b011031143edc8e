"""
The catalog's tables, as they are after the newest migration.

banks 1─n items 1─n frames 1─n embeddings (one row for each space), and the change log beside them.
Keys of banks and items are the number of the change that made them: known before the row is written,
never used again, ascending with time.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

REVISION = "0006"
"""The newest migration, which these tables describe."""


class ChangeKind(StrEnum):
    BANK_PUT = "bank_put"
    BANK_DELETED = "bank_deleted"
    ITEM_ADDED = "item_added"
    ITEM_STATE = "item_state"
    ITEM_LABELS = "item_labels"
    ITEM_DELETED = "item_deleted"
    ITEM_EMBEDDED = "item_embedded"
    """An item that was there before has embeddings in one more space, or others in one."""
    SPACE_STATE = "space_state"
    """A space is served in another way, or not any more."""
    INCIDENT = "incident"
    """An incident is new, or it is in another state or has other rules, banks or participants."""


class UtcTime(TypeDecorator[datetime]):
    """An instant, kept as microseconds since 1970 so that every database orders and compares it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ANN401 - as inherited
        del dialect
        return None if value is None else _EPOCH + value * _MICROSECOND


_Name = String(255).with_variant(String(255, collation="C"), "postgresql")
"""By code point, as SQLite has it anyway: lists go on by it."""
Key = BigInteger().with_variant(Integer, "sqlite")
"""An INTEGER primary key is SQLite's own row number: one tree instead of two."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

log_head = Table(
    "log_head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    # Counted in a row and not by the changes' own key: the row is locked until commit, so that on every database
    # changes become visible in the order of their numbers and a follower can never step over one.
    Column("seq", BigInteger, nullable=False),
    Column("checked_at", UtcTime),
    Column("catalog_id", String(32), nullable=False, server_default=""),
    Column("audit_seq", BigInteger, nullable=False, server_default="0"),
    Column("sighting_seq", BigInteger, nullable=False, server_default="0"),
    Column("event_seq", BigInteger, nullable=False, server_default="0"),
    Column("audit_digest", LargeBinary(32)),  # of the last entry of the audit log; None before the first
    Column("keys_version", BigInteger, nullable=False, server_default="0"),  # how often keys were changed
    CheckConstraint("one = 1", name="single"),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("bank_key", Key, nullable=False),  # 0 where the change is of a space
    Column("item_key", Key),
    Column("space_key", Integer),
    Column("at", UtcTime, nullable=False),
)

banks = Table(
    "banks",
    metadata,
    Column("bank_key", Key, primary_key=True, autoincrement=False),
    Column("name", _Name, nullable=False, unique=True),
    Column("purpose", String(32), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("item_count", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),  # nobody finds it any more; it goes for good once its items are deleted
)

items = Table(
    "items",
    metadata,
    Column("item_key", Key, primary_key=True, autoincrement=False),
    Column("item_id", String(28), nullable=False),
    Column("bank_key", Key, ForeignKey("banks.bank_key", ondelete="CASCADE"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("sha256", String(64)),
    Column("media_format", String(64)),
    Column("duration_ms", BigInteger),
    Column("frames", Integer, nullable=False),
    Column("low_information", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("original_bytes", BigInteger),  # None: the original is not kept; else it is in the store, under sha256
    Column("quarantine", String(16)),  # which of its matches are for people to look at; None: none
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("bank_key", "sha256"),
    Index(None, "bank_key", "item_key"),
    Index(None, "sha256"),
)

frames = Table(
    "frames",
    metadata,
    Column("item_key", Key, ForeignKey("items.item_key", ondelete="CASCADE"), primary_key=True),
    Column("frame_no", Integer, primary_key=True),
    Column("position_ms", BigInteger, nullable=False),
    Column("pdq", LargeBinary(32)),
    Column("pdq_quality", Integer),
    Column("low_information", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

spaces = Table(
    "spaces",
    metadata,
    Column("space_key", Integer, primary_key=True),
    Column("space", _Name, nullable=False, unique=True),
    Column("dim", Integer, nullable=False),
    Column("model", String(1024)),  # the name to open it by; None where it was only ever registered
    Column("state", String(32), nullable=False, server_default="served"),
    Column("replaces", Integer),  # the space_key of the one it took over from, to go back to
    Column("changed_at", UtcTime),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("item_key", Key, primary_key=True),
    Column("frame_no", Integer, primary_key=True),
    Column("space_key", Integer, ForeignKey("spaces.space_key"), primary_key=True),
    Column("views", Integer, nullable=False),
    Column("vectors", LargeBinary, nullable=False),  # (views, dim) float16, little-endian
    Column("tiles", Integer, nullable=False, server_default="0"),  # the bank's setting that they were made by
    Column("tile_views", Integer, nullable=False, server_default="0"),  # how many of the views, the last, are of tiles
    ForeignKeyConstraint(["item_key", "frame_no"], ["frames.item_key", "frames.frame_no"], ondelete="CASCADE"),
)

features = Table(
    "features",
    metadata,
    Column("item_key", Key, primary_key=True),
    Column("frame_no", Integer, primary_key=True),
    Column("extractor", String(64), primary_key=True),  # its version: features of two are never compared
    Column("count", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # as the extractor writes them; only it can read them
    ForeignKeyConstraint(["item_key", "frame_no"], ["frames.item_key", "frames.frame_no"], ondelete="CASCADE"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(28), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("options", JSON, nullable=False),
    Column("progress", JSON, nullable=False),
    Column("result", JSON),
    Column("error", String(1024)),
    Column("attempts", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Index(None, "state", "created_at"),
)

job_parts = Table(
    "job_parts",
    metadata,
    Column("job_id", String(28), ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("part_no", Integer, primary_key=True),
    Column("state", String(32), nullable=False),
    Column("span", JSON, nullable=False),  # what of the work it is, in the words of the job's kind
    Column("cursor", JSON),  # how far it has come
    Column("counts", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", String(64)),
    Column("lease_until", UtcTime),
    Index(None, "job_id", "state"),
)

original_removals = Table(
    "original_removals",
    metadata,
    # Originals that no item refers to any more, and that the store has not deleted yet.
    Column("sha256", String(64), primary_key=True),
    Column("claimed_at", UtcTime),  # when somebody began to delete it
)

agreements = Table(
    "agreements",
    metadata,
    # How two spaces judged the same uploads while one was in shadow of the other.
    Column("space_key", Integer, ForeignKey("spaces.space_key"), primary_key=True),
    Column("against", Integer, ForeignKey("spaces.space_key"), primary_key=True),
    Column("band", String(32), primary_key=True),  # the verdict's, of `against`
    Column("shadow_band", String(32), primary_key=True),
    Column("uploads", BigInteger, nullable=False),
    Column("same_item", BigInteger, nullable=False),  # of these, with the same best item
)

space_holders = Table(
    "space_holders",
    metadata,
    # Which processes that answer have which space open, while a space takes over from another.
    Column("holder", String(64), primary_key=True),
    Column("space_key", Integer, ForeignKey("spaces.space_key"), primary_key=True),
    Column("is_open", Boolean, nullable=False),
    Column("reason", String(255)),  # why it is not
    Column("seen_at", UtcTime, nullable=False),
)

participants = Table(
    "participants",
    metadata,
    # The organisations that hold keys.
    Column("name", String(64), primary_key=True),
    Column("role", String(32), nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("key_id", String(16), primary_key=True),  # the part of the key that is no secret
    Column("number", Integer, nullable=False, unique=True),  # from 1, in the order they were made
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the whole key
    Column("participant", String(64), ForeignKey("participants.name"), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("note", String(256), nullable=False),
    Column("rate_per_s", Float),  # None: the service's setting; 0: no limit
    Column("queries_per_day", BigInteger),  # likewise
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),  # to the minute or so
    Column("replaced_by", String(16)),
)

_Plain = String(512).with_variant(String(512, collation="C"), "postgresql")
"""Compared byte by byte, so that what begins with a text is a range."""

audit = Table(
    "audit",
    metadata,
    # Written once: the database refuses to change or delete what is here.
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("participant", String(64)),
    Column("key_id", String(16)),
    Column("via", String(16), nullable=False),
    Column("request", String(128)),
    Column("action", String(64), nullable=False),
    Column("subject", _Plain, nullable=False),
    Column("details", Text, nullable=False),  # canonical JSON, a part of what the digest is of
    Column("digest", LargeBinary(32), nullable=False),
    Index(None, "participant", "seq"),
    Index(None, "action", "seq"),
    Index(None, "subject", "seq"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String(255), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_digest", String(128), nullable=False),
    Column("bank", String(255)),  # whose removal makes it forgotten
    Column("answer", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "created_at"),
)
