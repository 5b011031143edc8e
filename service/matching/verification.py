"""
A closer look at the few candidates that need one: does the original lie in the upload, and where?

It costs milliseconds a candidate, so the clearly near and the clearly far are spared it: most uploads are far from
everything, and cost nothing here.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import models
from index.catalog import Catalog
from index.records.items import ItemId
from index.records.spaces import SpaceId
from index.views.reading import Reading
from models.calibration import FILE as CALIBRATION_FILE
from models.calibration import CalibrationRecord
from models.features import EXTRACTOR, Features, extract_query
from models.geometry import Location, locate_each
from models.perceptual import PDQ_BYTES, pdq_forms
from models.verification import FILE, Evidence, VerificationRecord
from service.matching.answering import query_frame
from service.matching.evidence import Query, Reach
from service.matching.local_features import FeatureCache, PlacedFeatures
from service.matching.policy import Judged, Look
from service.metrics import Metrics
from service.schemas import Band, Verify

AT_ONCE = 4
"""Candidates between two looks at the clock."""
FOUND_WEIGHT = 2.0
"""Chance brings such an arrangement less than once in a hundred times; a likelier one counts, but shows nothing."""
TOLD_WEIGHT = 6.0
"""The same of one that did not convince: once in a million times. Fainter ones would be read as more than chance."""
FRAMES_OF_ONE = 2
"""Frames of an animated original that share one position are looked at up to this many."""
ANY_DISTANCE = 256


@dataclass(frozen=True, slots=True)
class LookRules:
    """What the operator allows a closer look to cost."""

    candidates: int = 20
    budget_s: float = 0.25
    cache_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of comparing features with one candidate."""

    location: Location | None
    low_texture: bool

    @property
    def told(self) -> tuple[Location | None, bool]:
        return self.location, self.low_texture


@dataclass(frozen=True, slots=True)
class Weighing:
    """
    How evidence is weighed.

    Args:
        record: fitted in one space.
        calibration: of the same space. A band means the same rate in every calibrated space, so the band of another is
            worth the score that innocent uploads reach at this rate here; without calibration it is worth nothing.
    """

    record: VerificationRecord
    calibration: CalibrationRecord | None

    def score(self, match: Judged) -> float | None:
        """In the space of the record; where that has none, what another space's band is worth there."""
        own = next((each.hit.score for each in match.findings if each.space == self.record.embedder_id), None)
        if own is not None or self.calibration is None:
            return own
        return {
            Band.VARIANT: self.calibration.variant.score,
            Band.RELATED: self.calibration.related.score,
        }.get(match.semantic_band)


def bundled_weighing() -> Weighing | None:
    """
    What was measured with the bundled model; the weight it gives to PDQ and geometry holds for any.

    Raises:
        BadCalibration: a record is damaged.
    """
    folder = Path(models.__file__).parent / "bundled"
    if not (folder / FILE).is_file():
        return None
    calibration = folder / CALIBRATION_FILE
    return Weighing(
        VerificationRecord.load(folder / FILE), CalibrationRecord.load(calibration) if calibration.is_file() else None
    )


class Verifier:
    """
    Safe from any thread.

    Args:
        catalog: has the features of what is banked.
        rules: the operator's.
        metrics: where looks are counted.
        fallback: weighs the evidence in spaces that have no record of their own, with their bands in place of scores.
    """

    def __init__(self, catalog: Catalog, rules: LookRules, metrics: Metrics, fallback: Weighing | None = None) -> None:
        self._rules = rules
        self._metrics = metrics
        # A record of other features weighs what is not compared here.
        self._fallback = fallback if fallback is not None and fallback.record.extractor == EXTRACTOR else None
        self._kept = FeatureCache(catalog, EXTRACTOR, rules.cache_bytes)

    def reach(self, query: Query, verify: Verify, reading: Reading) -> Reach | None:
        """How far to look for candidates; None where no look will be taken."""
        weighing = self._weighing(query)
        if verify is Verify.NEVER or weighing is None or not query.frames:
            return None
        record = weighing.record
        if verify is Verify.ALWAYS:
            return Reach(self._rules.candidates, dict.fromkeys(query.spaces, -1.0), ANY_DISTANCE)
        space = SpaceId(record.embedder_id)
        scores = {space: record.far_at(reading.embeddings_in(space))} if space in query.spaces else {}
        return Reach(self._rules.candidates, scores, record.pdq_far)

    def looks(
        self, query: Query, candidates: Sequence[Judged], verify: Verify, reading: Reading, deadline: float | None
    ) -> dict[ItemId, Look]:
        """
        What a closer look at each candidate shows; those that need none, have nothing to be compared with, or whose
        turn did not come in time are left out.

        Args:
            query: with its frames.
            candidates: with all the evidence there is of each.
            verify: whether the clearly near and the clearly far are spared.
            reading: where they were found.
            deadline: the request's, a `time.monotonic()` instant.

        Raises:
            CatalogUnavailable
        """
        weighing = self._weighing(query)
        if weighing is None or verify is Verify.NEVER or not query.frames:
            return {}
        record = weighing.record
        frames = _frames(reading, SpaceId(record.embedder_id))
        worth = [match for match in candidates if verify is Verify.ALWAYS or _worth(weighing, match, frames)]
        worth = sorted(worth, key=lambda match: match.rank, reverse=True)[: self._rules.candidates]
        if not worth:
            return {}
        self._metrics.uploads_looked_at.inc()
        ends = time.monotonic() + self._rules.budget_s
        seen = self._seen(query, worth, ends if deadline is None else min(ends, deadline))
        distances = _distances(query, list(seen), reading)
        looks: dict[ItemId, Look] = {}
        for match in worth:
            item_id = match.item.item_id
            found = seen.get(item_id)
            look = None
            if found is not None:
                evidence = Evidence(weighing.score(match), distances.get(item_id), True, *found.told)
                look = _weighed(record, evidence, frames)
            self._metrics.looks.labels(_outcome(found, look)).inc()
            if look is not None:
                looks[item_id] = look
        return looks

    def _weighing(self, query: Query) -> Weighing | None:
        """By the record of the leading space that has one."""
        for served in query.asked.asked:
            record = served.space.verification
            if record is not None and record.extractor == EXTRACTOR:
                return Weighing(record, served.space.calibration)
        return self._fallback

    def _seen(self, query: Query, worth: Sequence[Judged], ends: float) -> dict[ItemId, Seen]:
        """By item; without those whose turn did not come, or that have no features."""
        kept = self._kept.of([match.item.item_id for match in worth])
        by_frame: dict[int, list[tuple[ItemId, Features]]] = {}
        for match in worth:
            references = _at(kept.get(match.item.item_id, ()), match)
            pairs = [(match.item.item_id, features) for features in references]
            if pairs:
                by_frame.setdefault(query_frame(match, query), []).extend(pairs)
        found: dict[ItemId, Seen] = {}
        for number, pairs in by_frame.items():
            if time.monotonic() >= ends:
                break
            upload = extract_query(query.frames[number])
            for start in range(0, len(pairs), AT_ONCE):
                if time.monotonic() >= ends:
                    break
                some = pairs[start : start + AT_ONCE]
                locations = locate_each(upload, [features for _, features in some])
                for (item_id, features), location in zip(some, locations, strict=True):
                    low = upload.low_texture or features.low_texture
                    found[item_id] = _better(found.get(item_id), Seen(location, low))
        return found


def _frames(reading: Reading, space: SpaceId) -> int | None:
    """How many embeddings candidates are drawn from; None where the space that was measured is not served."""
    return reading.embeddings_in(space) if space in reading.semantic else None


def _worth(weighing: Weighing, match: Judged, frames: int | None) -> bool:
    if match.band is Band.EXACT:
        return False
    if match.under_quarantine:
        return True  # what is found in the upload is as sure as ever, what is only near is for people to look at
    record, score = weighing.record, weighing.score(match)
    distance = None if match.perceptual is None else match.perceptual.distance
    by_another = match.semantic is not None and match.semantic.space != record.embedder_id
    if by_another and match.semantic_band is not Band.NONE:
        return score is None or score < record.near  # near in meaning, perhaps, and no copy
    return record.worth_looking(score, distance, frames or 1)


def _distances(query: Query, item_ids: Collection[ItemId], reading: Reading) -> dict[ItemId, int]:
    """PDQ's least, over the eight turns and mirror images of the query."""
    if not item_ids:
        return {}
    forms = b"".join(form for frame in query.frames for form in pdq_forms(frame))
    rows = np.frombuffer(forms, np.uint8).reshape(-1, PDQ_BYTES)
    return {item_id: hit.distance for item_id, hit in reading.distances_of(rows, item_ids).items()}


def _at(kept: Sequence[PlacedFeatures], match: Judged) -> list[Features]:
    """Those of the frame that the other evidence lies in; of the first where that has none."""
    hits = [match.perceptual, None if match.semantic is None else match.semantic.hit]
    positions = {hit.position_ms for hit in hits if hit is not None}
    there = [each.features for each in kept if each.position_ms in positions]
    return (there or [each.features for each in kept])[:FRAMES_OF_ONE]


def _better(one: Seen | None, other: Seen) -> Seen:
    if one is None or one.location is None:
        return other
    return one if other.location is None or one.location.weight >= other.location.weight else other


def _weighed(record: VerificationRecord, evidence: Evidence, frames: int | None) -> Look | None:
    """None where the picture has too little texture to be found even if it is there: that says nothing."""
    band = Band(record.judged(evidence))
    if evidence.low_texture and band is not Band.VARIANT:
        return None
    rate = None
    if band is not Band.NONE and frames is not None:
        rate = record.expected_fpr(record.variant if band is Band.VARIANT else record.related, frames)
    location = evidence.location
    there = location is not None and location.weight >= (FOUND_WEIGHT if band is Band.VARIANT else TOLD_WEIGHT)
    return Look(band, location if there else None, record.probability(evidence), rate, record.variant.score)


def _outcome(seen: Seen | None, look: Look | None) -> str:
    if seen is None:
        return "not_compared"
    if look is None:
        return "unclear"
    return "confirmed" if look.confirmed else "not_confirmed"
