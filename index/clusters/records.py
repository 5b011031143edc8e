"""Clusters: sightings that are near-copies of each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from index.clusters.graph import Anchored, Link, Look


@dataclass(frozen=True, slots=True)
class Seen:
    """A sighting, as far as clustering goes."""

    key: int
    sighting_id: str
    platform: str
    observed_us: int
    """Microseconds since 1970."""
    received_us: int
    incident_key: int | None
    band: str
    """As it was answered."""
    known: bool
    """Whether it matches anything that is banked."""
    cluster_key: int | None = None


@dataclass(slots=True)
class Cluster:
    """A cluster while it grows; two members at least."""

    key: int
    cluster_id: str
    space_key: int | None
    anchored: Anchored
    members: int = 0
    matched: int = 0
    incident_key: int | None = None
    weakest_key: int | None = None
    weakest_strength: float | None = None
    relative: Link | None = None
    announced: int = 0
    first_us: int = 0
    last_us: int = 0
    received_us: int = 0
    platforms: set[str] = field(default_factory=set)
    packed: bytes | None = None
    """Its anchors as they are kept, where they are of a space that is not looked at now."""
    known: bool = False
    """Whether a member matches something that can still be found."""
    fresh: bool = True
    """Whether it is not in the catalog yet."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sightings to find clusters for, oldest first, with all that is needed for it."""

    upto: int
    """The last number that was looked at, whether there is still a sighting of it or not."""
    sightings: Sequence[Seen]
    links: Mapping[int, Sequence[Link]]
    """Of each, to earlier ones."""
    earlier: Mapping[int, Seen]
    """The other ends, where they are still kept."""
    clusters: Mapping[int, Cluster]
    """Those that the other ends are in."""
    looks: Mapping[int, Look]
    """Of the sightings, and of the other ends that are in no cluster yet."""
    space_key: int | None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a sighting was put."""

    sighting: Seen
    cluster_key: int | None
    link: Link | None
    """What it joined by; else the nearest earlier one there is."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """That the neighbourhood of an incident has something new in it."""

    sighting: Seen
    incident_key: int
    cluster_key: int | None
    link: Link | None
    caught: bool
    """Whether it matched the incident by itself; else it is only like one that did."""


@dataclass(frozen=True, slots=True)
class Clustered:
    """What became of a batch."""

    placed: Sequence[Placed]
    """The first members of clusters that began are among them."""
    clusters: Sequence[Cluster]
    """Those that are new or have grown."""
    novelties: Sequence[Novelty] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Near-copies, or one sighting that has none, as far as it takes to order many of them."""

    key: int
    members: int
    recent: int
    """Of these, since the full hour before this one began."""
    last_us: int
    banked: bool
    platforms: int = 1
    single: bool = False


@dataclass(frozen=True, slots=True)
class Relative:
    """The nearest earlier sighting outside of a cluster."""

    sighting_id: str | None
    """None where it is forgotten."""
    platform: str | None
    score: float | None
    distance: int | None


@dataclass(frozen=True, slots=True)
class Outlier:
    """A sighting that belongs to a cluster or is near it, and that nothing caught."""

    sighting_id: str
    platform: str
    observed_us: int
    inside: bool
    """Whether it is a member; else it is only near one."""
    score: float | None
    distance: int | None


@dataclass(frozen=True, slots=True)
class BankedFrom:
    """An item that was banked from one of its sightings."""

    item_id: str
    bank: str
    sighting_key: int


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Near-copies, as they are shown."""

    group: Group
    cluster_id: str
    first_platform: str
    first_us: int
    matched: int
    """Members that match something known."""
    weakest_id: str | None
    weakest_strength: float | None
    relative: Relative | None
    counts: Sequence[tuple[int, str, int]]
    """Hour in microseconds since 1970, platform, sightings."""
    bands: Mapping[str, int]
    """Members by what they were answered."""
    banked: Sequence[BankedFrom]
    frontier: Sequence[Outlier]
