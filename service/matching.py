"""Is this a re-upload of something known? From bytes, or from embeddings and hashes, to the pinned answer."""

import secrets
import time
from dataclasses import dataclass, field

from index.catalog import Catalog
from index.errors import IndexBehind, UnknownBank
from index.reading import Reading
from index.records import ItemState, Version
from index.views import Views
from models.errors import DeadlinePassed, MediaError
from models.media.sandbox import Decoder
from service.evidence import Findings, Query, groups_of, public_interest
from service.metrics import Metrics
from service.policy import PDQ_EXACT_DISTANCE, Judged, PublicInterest, SemanticFinding, calls_for_action, verdict
from service.queries import Asker, Signature
from service.schemas import Answer, Band, Match, PerceptualEvidence, SemanticEvidence, Timings


def new_request_id() -> str:
    return secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """How to look. `deadline` is a `time.monotonic()` instant."""

    banks: frozenset[str] = frozenset()
    k: int = 5
    min_band: Band = Band.RELATED
    min_index_version: int | None = None
    publisher: str | None = None
    request_id: str = field(default_factory=new_request_id)
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What the operator decided about matching."""

    trusted_publishers: frozenset[str] = frozenset()
    index_wait_s: float = 2.0


class Matcher:
    """Safe from any thread; everything a request needs is in its arguments."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        asker: Asker,
        catalog: Catalog,
        views: Views,
        rules: MatchRules,
        metrics: Metrics,
    ) -> None:
        self._decoder = decoder
        self._asker = asker
        self._catalog = catalog
        self._views = views
        self._rules = rules
        self._metrics = metrics

    def match(self, data: bytes, options: MatchOptions) -> Answer:
        """
        What is known about an upload.

        Raises:
            MediaError, EmbeddingError, UnknownBank, IndexBehind, CatalogUnavailable
        """
        clock = _Clock()
        try:
            media = self._decoder.decode(data, options.deadline)
        except MediaError as error:
            self._metrics.undecodable(error)
            raise
        clock.lap("decode")
        query = self._asker.about_media(media, options.deadline)
        clock.lap("embed")
        return self._answer(query, options, clock)

    def match_embeddings(self, given: Signature, options: MatchOptions) -> Answer:
        """
        The same, for who decodes and embeds elsewhere.

        Raises:
            SpaceMismatch, InvalidEmbedding, InvalidHash, InvalidField: they are not what they are said to be.
            UnknownBank, IndexBehind, CatalogUnavailable
        """
        return self._answer(self._asker.about_signature(given), options, _Clock())

    def _reading(self, options: MatchOptions) -> Reading:
        """One state of the views for the whole request, at or after the version that was asked for."""
        reading = self._views.reading()
        if options.min_index_version is not None and reading.version < options.min_index_version:
            wait_s = self._rules.index_wait_s
            if options.deadline is not None:
                wait_s = min(wait_s, max(options.deadline - time.monotonic(), 0.0))
            self._views.reach(Version(options.min_index_version), wait_s)
            reading = self._views.reading()
            if reading.version < options.min_index_version:
                raise IndexBehind("The index did not reach the version in time.")
        return reading

    def _answer(self, query: Query, options: MatchOptions, clock: "_Clock") -> Answer:
        if options.deadline is not None and time.monotonic() > options.deadline:
            raise DeadlinePassed("The request's time ran out before its turn.")
        reading = self._reading(options)
        self._metrics.index_is_current(reading.version)
        unknown = options.banks - reading.banks.keys()
        if unknown:
            raise UnknownBank("There is no bank of that name.")
        matches, interest = self._matches(reading, query, options)
        leading = self._asker.spaces[0]
        clock.lap("search")
        answer = Answer(
            request_id=options.request_id,
            index_version=reading.version,
            embedder_id=leading.space.embedder_id,
            calibrated=query.calibrated,
            device=leading.batcher.device,
            degraded=any(served.batcher.degraded for served in self._asker.spaces),
            media=query.media,
            verdict=verdict(
                [match for match in matches if match.band is not Band.NONE],
                interest,
                low_information=query.media.low_information,
            ),
            matches=[_shown(match, query, reading) for match in matches[: options.k]],
            sighting_id=None,
            timings_ms=clock.timings(),
        )
        self._metrics.answered(answer)
        return answer

    def _matches(self, reading: Reading, query: Query, options: MatchOptions) -> tuple[list[Judged], PublicInterest]:
        """What is at or over the least band, best first, and what public interest there is in the upload."""
        digest = query.media.sha256
        same_bytes = () if digest is None else self._catalog.active_items_by_sha256(digest)
        findings = Findings()
        findings.same_bytes.update(
            {item.item_id: item for item in same_bytes if not options.banks or item.bank in options.banks}
        )
        for group in groups_of(reading.banks, options.banks):
            findings.gather(reading, query, group, options.k, options.min_band)
        kept = self._judged(reading, query, findings, options.min_band)
        findings.complete(reading, query, [match.item.item_id for match in kept])
        matches = [findings.judged(query, match.item, match.rule) for match in kept]
        matches.sort(key=lambda match: match.item.item_id)
        matches.sort(key=lambda match: match.rank, reverse=True)
        if not calls_for_action(matches):
            return matches, PublicInterest()
        if options.publisher in self._rules.trusted_publishers:
            return matches, PublicInterest(trusted_publisher=True)
        return matches, public_interest(reading, query, {item.bank for item in same_bytes})

    def _judged(self, reading: Reading, query: Query, findings: Findings, least: Band) -> list[Judged]:
        """The candidates that still exist and reach the least band; most uploads have none and cost no look-up."""
        item_ids = findings.item_ids
        items = self._catalog.items_by_id(item_ids) if item_ids else {}
        judged = [
            findings.judged(query, item, reading.banks[item.bank])
            for item in items.values()
            if item.state is ItemState.ACTIVE and item.bank in reading.banks
        ]
        return [match for match in judged if match.band.strength >= least.strength]


def _shown(match: Judged, query: Query, reading: Reading) -> Match:
    query_ms, reference_ms = _positions(match, query)
    return Match(
        item_id=match.item.item_id,
        bank=match.item.bank,
        incident=None,
        kind=match.item.kind,
        labels=dict(match.item.labels),
        band=match.band,
        semantic=None if match.semantic is None else _semantic(match.semantic, reading),
        perceptual=None
        if match.perceptual is None
        else PerceptualEvidence(algorithm="pdq", distance=match.perceptual.distance, threshold=PDQ_EXACT_DISTANCE),
        geometry=None,
        edits=[],
        query_ms=query_ms,
        reference_ms=reference_ms,
        segments=[],
    )


def _semantic(finding: SemanticFinding, reading: Reading) -> SemanticEvidence:
    frames = reading.embeddings_in(finding.space)
    return SemanticEvidence(
        embedder_id=finding.space,
        score=round(finding.hit.score, 6),
        threshold=round(finding.thresholds.deciding(finding.band), 6),
        expected_fpr=finding.thresholds.expected_fpr(finding.band, frames),
    )


def _positions(match: Judged, query: Query) -> tuple[int, int]:
    """Where in the upload and in the item the evidence lies that decided."""
    if match.perceptual is not None and (match.perceptual_exact or match.semantic is None):
        return query.hashes.positions_ms[match.perceptual.query_row], match.perceptual.position_ms
    if match.semantic is not None:
        rows = query.spaces[match.semantic.space]
        return rows.positions_ms[match.semantic.hit.query_row], match.semantic.hit.position_ms
    return 0, 0


class _Clock:
    """How long each stage took, in milliseconds."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def timings(self) -> Timings:
        laps = self._laps
        return Timings(
            decode=round(laps.get("decode", 0.0), 3),
            embed=round(laps.get("embed", 0.0), 3),
            search=round(laps.get("search", 0.0), 3),
            total=round((time.perf_counter() - self._start) * 1000, 3),
        )
