"""What is asked and answered about clusters and variants, as types."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from index.catalog.storage.instants import from_us
from index.clusters.graph import SAME_DISTANCE
from index.clusters.records import ClusterFacts, Outlier, Relative
from service.inputs import BankName, Body, Integer, LabelSet, ListParameters, Parameters
from service.keys.viewer import Viewer
from service.schemas import Shape

SIGHTING_ID: Final = r"^[0-9a-f]{28}$"
SightingName = Annotated[str, StringConstraints(pattern=SIGHTING_ID)]


class ClusterListParameters(ListParameters):
    limit: Integer = Field(default=20, ge=1, le=100, description="The most to answer at once.")


class CutParameters(Parameters):
    threshold: float | None = Field(
        default=None, ge=-1, le=1, description="Also say what it falls into when only links this strong hold."
    )


class BankVariantBody(Body):
    bank: BankName | None = Field(
        default=None, description="Of the incident's banks; needed where it has several harmful ones."
    )
    labels: LabelSet = Field(default={})


class BankClusterBody(Body):
    bank: BankName
    sighting_id: SightingName | None = Field(default=None, description="Which of them; the first unless it is said.")
    labels: LabelSet = Field(default={})


class HourCount(Shape):
    hour: datetime = Field(description="The full hour in which they were seen, as their platforms say.")
    platform: str | None = Field(description="null: other platforms together.")
    sightings: int


class FirstSeen(Shape):
    at: datetime
    platform: str | None


class Growth(Shape):
    since: datetime = Field(description="The full hour before the present one began then.")
    sightings: int = Field(description="Seen since.")


class WeakestLink(Shape):
    """Where it would fall apart first."""

    sighting_id: str | None = Field(description="Who joined by it; null where that is forgotten.")
    strength: float = Field(description="Cosine, or what the likeness of the hashes is worth.")


class RelativeResource(Shape):
    """The nearest earlier upload outside, and how this differs as far as can be told without the media."""

    sighting_id: str | None = Field(description="null where it is forgotten.")
    platform: str | None
    score: float | None
    distance: int | None
    differs: str = Field(
        description="`little`: the hashes agree, as after encoding anew; `visibly`: the hashes do not, the content "
        "does; `unknown`: one of the two has no hash."
    )


class BankedResource(Shape):
    item_id: str
    bank: str


class OutlierResource(Shape):
    """An upload that nothing caught, in the cluster or near it."""

    sighting_id: str
    platform: str
    observed_at: datetime
    inside: bool = Field(description="Whether it is a member; else it is only near one.")
    score: float | None = Field(description="Of its nearest relative, or of what it joined by.")
    distance: int | None


class ClusterResource(Shape):
    """Uploads that are near-copies of each other; or one by itself, that has none yet."""

    cluster_id: str = Field(description="The id of its first sighting.")
    sightings: int
    matched: int = Field(description="Of these, that match something known.")
    first_seen: FirstSeen
    last_seen: datetime
    counts: list[HourCount]
    growth: Growth
    bands: dict[str, int] = Field(description="Its sightings, by what they were answered.")
    banked: list[BankedResource] = Field(description="What was banked from one of its sightings.")
    weakest_link: WeakestLink | None
    relative: RelativeResource | None
    frontier: list[OutlierResource] = Field(description="The newest that nothing caught; of an incident's alone.")


class ClusterList(Shape):
    items: list[ClusterResource]
    next: str | None = Field(description="The cursor to go on from; null at the end.")
    behind: int = Field(description="Recorded uploads that were not looked at yet.")


class ClusterPart(Shape):
    """What holds together at the threshold."""

    first_sighting_id: str | None
    sightings: int
    first_seen: datetime
    last_seen: datetime


class ClusterDetail(ClusterResource):
    parts: list[ClusterPart] = Field(description="The largest first; empty unless a threshold was given.")


def cluster_resource(facts: ClusterFacts, since: datetime, eyes: Viewer) -> ClusterResource:
    """
    As this viewer may see it. Whoever takes part in an incident sees where it is seen; of what nobody has banked yet,
    a platform sees its own part by name and the others' together.
    """
    weakest = None
    if facts.weakest_strength is not None:
        weakest = WeakestLink(sighting_id=facts.weakest_id, strength=round(facts.weakest_strength, 6))
    return ClusterResource(
        cluster_id=facts.cluster_id,
        sightings=facts.group.members,
        matched=facts.matched,
        first_seen=FirstSeen(at=from_us(facts.first_us), platform=_named(facts.first_platform, eyes)),
        last_seen=from_us(facts.group.last_us),
        counts=_counts(facts, eyes),
        growth=Growth(since=since, sightings=facts.group.recent),
        bands=dict(facts.bands),
        banked=[BankedResource(item_id=one.item_id, bank=one.bank) for one in facts.banked],
        weakest_link=weakest,
        relative=None if facts.relative is None else _relative(facts.relative, eyes),
        frontier=[_outlier(one) for one in facts.frontier if eyes.owns(one.platform)],
    )


def _counts(facts: ClusterFacts, eyes: Viewer) -> list[HourCount]:
    together: dict[tuple[int, str | None], int] = {}
    for hour, platform, sightings in facts.counts:
        place = hour, _named(platform, eyes)
        together[place] = together.get(place, 0) + sightings
    return [HourCount(hour=from_us(hour), platform=name, sightings=n) for (hour, name), n in together.items()]


def _relative(relative: Relative, eyes: Viewer) -> RelativeResource:
    differs = "unknown"
    if relative.distance is not None:
        differs = "little" if relative.distance <= SAME_DISTANCE else "visibly"
    return RelativeResource(
        sighting_id=relative.sighting_id,
        platform=None if relative.platform is None else _named(relative.platform, eyes),
        score=None if relative.score is None else round(relative.score, 6),
        distance=relative.distance,
        differs=differs,
    )


def _outlier(one: Outlier) -> OutlierResource:
    return OutlierResource(
        sighting_id=one.sighting_id,
        platform=one.platform,
        observed_at=from_us(one.observed_us),
        inside=one.inside,
        score=None if one.score is None else round(one.score, 6),
        distance=one.distance,
    )


def _named(platform: str, eyes: Viewer) -> str | None:
    return platform if eyes.owns(platform) else None
