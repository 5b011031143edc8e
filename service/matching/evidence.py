"""What is asked about, and what the views know about it: neighbours gathered into evidence an item."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from index.records.banks import BankRule, BankSettings, Purpose
from index.records.hits import PerceptualHit, SemanticHit
from index.records.items import Item, ItemId
from index.records.rows import Embeddings, PdqRows
from index.records.spaces import SpaceId
from index.views.reading import Reading
from models.media.types import Frame
from service.matching.policy import (
    PDQ_EXACT_DISTANCE,
    PDQ_LEAST_QUALITY,
    Judged,
    PublicInterest,
    SemanticFinding,
    Thresholds,
    pdq_is_exact,
)
from service.schemas import Band, MediaFacts
from service.spaces.space_set import SpaceSet


@dataclass(frozen=True, slots=True)
class SpaceRows:
    """The query's embeddings in one space, and where the bands begin for each."""

    embeddings: Embeddings
    positions_ms: tuple[int, ...]
    thresholds: tuple[Thresholds, ...]
    frames: tuple[int, ...] = ()
    """Which of the query's frames each row is of."""

    @property
    def offsets(self) -> NDArray[np.float32] | None:
        """What a score of each row must be measured against; None when it is the same for all."""
        variant = [threshold.variant for threshold in self.thresholds]
        return None if min(variant) == max(variant) else np.asarray(variant, np.float32)


@dataclass(frozen=True, slots=True)
class HashRows:
    """The query's PDQ hashes; a quality is None where nobody said."""

    hashes: PdqRows
    positions_ms: tuple[int, ...]
    qualities: tuple[int | None, ...]
    frames: tuple[int, ...] = ()
    """Which of the query's frames each hash is of; empty where each is the next one's."""

    @property
    def trusted(self) -> list[int]:
        """The rows that are good enough to make a match exact."""
        return [row for row, quality in enumerate(self.qualities) if quality is None or quality >= PDQ_LEAST_QUALITY]


@dataclass(frozen=True, slots=True)
class Query:
    """What is being asked about. Frames with too little to see are in no row: they would match too much."""

    media: MediaFacts
    spaces: Mapping[SpaceId, SpaceRows]
    hashes: HashRows
    calibrated: bool
    asked: SpaceSet
    """The spaces that answer, from the beginning of the request to its end."""
    frames: tuple[Frame, ...] = ()
    """The pixels themselves, in the order of the hashes; none of a signature."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far candidates for a closer look may be, beyond those that reach a band anyway."""

    candidates: int
    """At least so many neighbours are asked for."""
    scores: Mapping[SpaceId, float]
    """The least score in a space; where a space is missing, only its bands count."""
    distance: int
    """The largest of PDQ."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which neighbours are taken."""

    k: int
    """So many, for the answer."""
    least: Band
    """Of this band and over; of any where it is `none`."""
    reach: Reach | None = None
    """And what is worth a closer look."""


@dataclass(slots=True)
class Findings:
    """Evidence as it comes in, for each item; belongs to one request."""

    semantic: dict[ItemId, dict[SpaceId, SemanticHit]] = field(default_factory=lambda: defaultdict(dict))
    perceptual: dict[ItemId, PerceptualHit] = field(default_factory=dict)
    same_bytes: dict[ItemId, Item] = field(default_factory=dict)
    highest: dict[tuple[SpaceId, ItemId], float] = field(default_factory=dict)
    """Scores of any row, where rows have thresholds of their own."""

    @property
    def item_ids(self) -> set[ItemId]:
        return {*self.semantic, *self.perceptual, *self.same_bytes}

    def gather(self, reading: Reading, query: Query, group: "BankGroup", wanted: "Wanted") -> None:
        """Of a group of banks, the nearest in every space and by PDQ, without those that nobody wants."""
        everything, reach = wanted.least is Band.NONE, wanted.reach
        k = wanted.k if reach is None else max(wanted.k, reach.candidates)
        for space, rows in query.spaces.items():
            offsets = None if group.settings.variant_score is not None else rows.offsets
            for hit in reading.search(space, rows.embeddings, k, group.banks, offsets=offsets):
                thresholds = rows.thresholds[hit.query_row].for_bank(group.settings)
                near = reach is not None and hit.score >= reach.scores.get(space, math.inf)
                if everything or near or thresholds.band(hit.score) is not Band.NONE:
                    self.semantic[hit.item_id][space] = hit
        trusted = query.hashes.trusted
        if trusted:
            within = None if everything else max(PDQ_EXACT_DISTANCE, 0 if reach is None else reach.distance)
            self._perceptual(reading.search_pdq(query.hashes.hashes[trusted], k, within, group.banks), trusted)

    def complete(self, reading: Reading, query: Query, item_ids: Collection[ItemId]) -> None:
        """What the other views say of items that one view found."""
        for space, rows in query.spaces.items():
            missing = [item_id for item_id in item_ids if space not in self.semantic.get(item_id, {})]
            if missing:
                for item_id, hit in reading.scores_of(space, rows.embeddings, missing, offsets=rows.offsets).items():
                    self.semantic[item_id][space] = hit
            if item_ids and rows.offsets is not None:
                scores = reading.scores_of(space, rows.embeddings, item_ids)
                self.highest |= {(space, item_id): hit.score for item_id, hit in scores.items()}
        missing = [item_id for item_id in item_ids if item_id not in self.perceptual]
        if missing and len(query.hashes.hashes):
            hits = reading.distances_of(query.hashes.hashes, missing).values()
            self._perceptual(hits, range(len(query.hashes.hashes)))

    def judged(self, query: Query, item: Item, rule: BankRule) -> Judged:
        perceptual = self.perceptual.get(item.item_id)
        quality = None if perceptual is None else query.hashes.qualities[perceptual.query_row]
        findings = tuple(
            SemanticFinding(
                space,
                hit,
                query.spaces[space].thresholds[hit.query_row].for_bank(rule.settings),
                self.highest.get((space, item.item_id)),
            )
            for space, hit in self.semantic.get(item.item_id, {}).items()
        )
        return Judged(
            item=item,
            rule=rule,
            same_bytes=item.item_id in self.same_bytes,
            perceptual=perceptual,
            perceptual_exact=perceptual is not None and pdq_is_exact(perceptual, quality),
            findings=findings,
        )

    def _perceptual(self, hits: Iterable[PerceptualHit], rows: Sequence[int]) -> None:
        """Rows of a search are rows of what was searched for: say which rows of the query they were."""
        for hit in hits:
            self.perceptual[hit.item_id] = PerceptualHit(
                item_id=hit.item_id,
                query_row=rows[hit.query_row],
                distance=hit.distance,
                quality=hit.quality,
                position_ms=hit.position_ms,
            )


@dataclass(frozen=True, slots=True)
class BankGroup:
    """
    Banks that are searched together: one purpose, one set of settings, one incident or none.

    Searched apart, so that neither the k nearest of one bank's looser threshold nor those of the other purpose, nor
    those that only call for review, push a match out of the list before it is judged.
    """

    banks: tuple[str, ...] | None
    """None is every bank."""
    settings: BankSettings


def groups_of(chosen: Collection[BankRule], everything: int) -> list[BankGroup]:
    """
    The banks to search, in as few searches as that takes.

    Args:
        chosen: their rules.
        everything: how many banks there are.
    """
    grouped: dict[tuple[Purpose, BankSettings, str | None], list[BankRule]] = defaultdict(list)
    for rule in chosen:
        incident = None if rule.incident is None else rule.incident.incident_id
        alike = replace(rule.settings, tiles=0)  # says how it is filled, not how it is searched
        grouped[(rule.purpose, alike, incident)].append(rule)
    whole = len(grouped) == 1 and len(chosen) == everything
    return [
        BankGroup(None if whole else tuple(rule.name for rule in group), group[0].settings)
        for group in grouped.values()
    ]


def public_interest(
    reading: Reading, query: Query, names: Sequence[str], holders_of_same_bytes: Collection[str]
) -> PublicInterest:
    """How near the query is to these banks of public interest, one at least, whichever banks were asked about."""
    scores: dict[SpaceId, float] = {}
    for space, rows in query.spaces.items():
        for hit in reading.search(space, rows.embeddings, 1, names):
            scores[space] = hit.score
    trusted = query.hashes.hashes[query.hashes.trusted]
    hits = reading.search_pdq(trusted, 1, PDQ_EXACT_DISTANCE, names) if len(trusted) else []
    return PublicInterest(
        same_bytes=not set(names).isdisjoint(holders_of_same_bytes),
        distance=min((hit.distance for hit in hits), default=None),
        scores=scores,
    )
