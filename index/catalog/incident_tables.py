"""
The tables of incidents: what a joint response decides, and what it sees.

incidents 1─n banks, participants, transitions, confirmations; sightings 1─n frames 1─n embeddings, with edges between
sightings that look alike and matches with what is banked; and the events that subscribers are told of.
Sightings and events count for themselves in `log_head`, as the change log does: visible in the order of their numbers.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from index.catalog.tables import Key, UtcTime, metadata

incidents = Table(
    "incidents",
    metadata,
    Column("incident_key", Key, primary_key=True, autoincrement=False),  # the change that made it
    Column("incident_id", String(28), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("type", String(64), nullable=False),
    Column("state", String(32), nullable=False),
    Column("criteria", JSON, nullable=False),
    Column("protocol", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),  # counts its changes: what an ETag is made of
    Column("created_by", String(64)),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("confirmed_at", UtcTime),
    Column("concluded_at", UtcTime),
    Column("first_match_at", UtcTime),  # since it was confirmed
)

incident_banks = Table(
    "incident_banks",
    metadata,
    Column("incident_key", Key, ForeignKey("incidents.incident_key", ondelete="CASCADE"), primary_key=True),
    Column("bank_key", Key, ForeignKey("banks.bank_key", ondelete="CASCADE"), primary_key=True),
    UniqueConstraint("bank_key"),  # a bank belongs to one incident at most
)

incident_participants = Table(
    "incident_participants",
    metadata,
    Column("incident_key", Key, ForeignKey("incidents.incident_key", ondelete="CASCADE"), primary_key=True),
    Column("participant", String(64), primary_key=True),
    Column("joined_at", UtcTime, nullable=False),
)

incident_transitions = Table(
    "incident_transitions",
    metadata,
    Column("incident_key", Key, ForeignKey("incidents.incident_key", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("from_state", String(32), nullable=False),
    Column("to_state", String(32), nullable=False),
    Column("participant", String(64)),
    Column("key_id", String(16)),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

incident_confirmations = Table(
    "incident_confirmations",
    metadata,
    Column("incident_key", Key, ForeignKey("incidents.incident_key", ondelete="CASCADE"), primary_key=True),
    Column("participant", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

sightings = Table(
    "sightings",
    metadata,
    Column("sighting_key", Key, primary_key=True, autoincrement=False),
    Column("sighting_id", String(28), nullable=False),
    Column("platform", String(64), nullable=False),
    Column("upload_id", String(256)),
    Column("observed_at", UtcTime, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("publisher", String(256)),
    Column("context", String(255)),
    Column("kind", String(32), nullable=False),
    Column("band", String(32), nullable=False),
    Column("action", String(32), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("incident_key", Key),  # of the best match; kept when the incident is gone
    Column("cluster_key", Key),  # the first sighting of its cluster; None where nothing looks like it
    Column("link_key", Key),  # the earlier sighting that it joined its cluster by, else the nearest there was
    Column("link_score", Float),
    Column("link_distance", Integer),
    Column("index_version", BigInteger, nullable=False),  # what it was compared with: everything up to this change
    Index(None, "received_at"),
    Index(None, "platform", "upload_id"),
    Index(None, "platform", "sighting_key"),
    Index(None, "incident_key", "sighting_key"),
    Index(None, "cluster_key", "sighting_key"),
    Index(None, "link_key"),
)

sighting_frames = Table(
    "sighting_frames",
    metadata,
    Column("sighting_key", Key, ForeignKey("sightings.sighting_key", ondelete="CASCADE"), primary_key=True),
    Column("frame_no", Integer, primary_key=True),
    Column("position_ms", BigInteger, nullable=False),
    Column("pdq", LargeBinary(32)),
    Column("pdq_quality", Integer),
)

sighting_embeddings = Table(
    "sighting_embeddings",
    metadata,
    Column("sighting_key", Key, primary_key=True),
    Column("frame_no", Integer, primary_key=True),
    Column("space_key", Integer, ForeignKey("spaces.space_key"), primary_key=True),
    Column("views", Integer, nullable=False),
    Column("vectors", LargeBinary, nullable=False),  # (views, dim) float16, little-endian: the query's rows
    ForeignKeyConstraint(
        ["sighting_key", "frame_no"], ["sighting_frames.sighting_key", "sighting_frames.frame_no"], ondelete="CASCADE"
    ),
)

sighting_matches = Table(
    "sighting_matches",
    metadata,
    Column("sighting_key", Key, ForeignKey("sightings.sighting_key", ondelete="CASCADE"), primary_key=True),
    Column("item_key", Key, primary_key=True),  # kept when the item is gone
    Column("means", String(32), nullable=False),  # how it was found: match, retro_scan, variant
    Column("band", String(32), nullable=False),
    Column("score", Float),
    Column("distance", Integer),
    Column("verified", Boolean),
    Column("at", UtcTime, nullable=False),
    Index(None, "item_key", "sighting_key"),
)

sighting_edges = Table(
    "sighting_edges",
    metadata,
    # Each sighting and the earlier ones that it looks like.
    Column("sighting_key", Key, ForeignKey("sightings.sighting_key", ondelete="CASCADE"), primary_key=True),
    Column(
        "earlier_key",
        Key,
        ForeignKey("sightings.sighting_key", name="fk_sighting_edges_earlier", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("score", Float),  # None where only their hashes are alike
    Column("distance", Integer),
    Index(None, "earlier_key"),
)

clusters = Table(
    "clusters",
    metadata,
    # Sightings that are near-copies of each other, two at least; counted when they join, kept while any of them is.
    Column("cluster_key", Key, primary_key=True, autoincrement=False),  # the first sighting
    Column("cluster_id", String(28), nullable=False),  # its id
    Column("space_key", Integer),  # of the anchors' embeddings; None where there are only hashes
    Column("anchors", LargeBinary, nullable=False),  # members that hold it together: see index/clusters/anchors.py
    Column("members", BigInteger, nullable=False),
    Column("matched", BigInteger, nullable=False),  # of these, that match something known
    Column("incident_key", Key),  # the first that a member matched
    Column("weakest_key", Key),  # the member that joined by the weakest link
    Column("weakest_strength", Float),
    Column("relative_key", Key),  # the nearest earlier sighting outside, when it began
    Column("relative_score", Float),
    Column("relative_distance", Integer),
    Column("announced", BigInteger, nullable=False),  # members when it was last told that it grows; 0 never
    Column("first_at", UtcTime, nullable=False),  # as the platforms say
    Column("last_at", UtcTime, nullable=False),
    Column("received_at", UtcTime, nullable=False),  # the newest member, by our own clock
    Index(None, "received_at"),
)

cluster_tallies = Table(
    "cluster_tallies",
    metadata,
    Column("cluster_key", Key, ForeignKey("clusters.cluster_key", ondelete="CASCADE"), primary_key=True),
    Column("hour", UtcTime, primary_key=True),
    Column("platform", String(64), primary_key=True),
    Column("band", String(32), primary_key=True),  # as they were answered
    Column("sightings", BigInteger, nullable=False),
    Index(None, "hour"),
)

variant_items = Table(
    "variant_items",
    metadata,
    # Items that were banked from a sighting.
    Column("item_key", Key, ForeignKey("items.item_key", ondelete="CASCADE"), primary_key=True),
    Column("sighting_key", Key, nullable=False),
    Column("cluster_key", Key, nullable=False),  # its cluster's then, or itself
    Column("at", UtcTime, nullable=False),
    Index(None, "sighting_key"),
    Index(None, "cluster_key"),
)

events = Table(
    "events",
    metadata,
    Column("event_key", Key, primary_key=True, autoincrement=False),
    Column("kind", String(64), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("incident_key", Key),
    Column("platform", String(64)),  # whom alone it concerns; None: everyone who may listen
    Column("data", JSON, nullable=False),
    Index(None, "incident_key", "event_key"),
)

tallies = Table(
    "tallies",
    metadata,
    # How many uploads were answered how, whether recorded or not; an hour a row and kind of answer. An upload counts
    # once as itself (no incident, no bank), once for each incident and once for each bank that it matched.
    Column("hour", UtcTime, primary_key=True),
    Column("platform", String(64), primary_key=True),  # empty: nobody said
    Column("incident_key", Key, primary_key=True),  # 0: of none
    Column("bank_key", Key, primary_key=True),  # 0: of none
    Column("means", String(32), primary_key=True),  # how it was found: match, retro_scan, variant
    Column("band", String(32), primary_key=True),
    Column("action", String(32), primary_key=True),
    Column("capped", Boolean, primary_key=True),  # less was suggested, out of public interest
    Column("shadow", Boolean, primary_key=True),  # only counted, not suggested
    Column("uploads", BigInteger, nullable=False),
    Index(None, "incident_key", "bank_key", "hour"),
)

item_tallies = Table(
    "item_tallies",
    metadata,
    Column("item_key", Key, ForeignKey("items.item_key", ondelete="CASCADE"), primary_key=True),
    Column("hour", UtcTime, primary_key=True),
    Column("uploads", BigInteger, nullable=False),  # that were said to be copies of it
    Column("unconfirmed", BigInteger, nullable=False),  # of these, by their scores alone
    Index(None, "hour"),
)

quarantines = Table(
    "quarantines",
    metadata,
    # Why items were put under quarantine, and what was thought of it.
    Column("item_key", Key, ForeignKey("items.item_key", ondelete="CASCADE"), primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("lifted_at", UtcTime),
    Column("accepted", BigInteger, nullable=False),  # unconfirmed matches an hour that somebody looked at and let be
)

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_id", String(28), primary_key=True),
    Column("item_key", Key, nullable=False),
    Column("bank_key", Key, nullable=False),
    Column("incident_key", Key),
    Column("request_id", String(128)),
    Column("sighting_id", String(28)),
    Column("opinion", String(32), nullable=False),
    Column("participant", String(64)),
    Column("note", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Index(None, "item_key", "at"),
    Index(None, "incident_key", "at"),
    Index(None, "bank_key", "at"),
)

duties = Table(
    "duties",
    metadata,
    # Work that one process does for all: linking sightings, looking back, forgetting what is too old.
    Column("name", String(64), primary_key=True),
    Column("owner", String(64)),
    Column("lease_until", UtcTime),
    Column("cursor", BigInteger, nullable=False),  # how far it has come, in the numbers of what it follows
)
