"""Is this a re-upload of something known? From bytes, or from embeddings and hashes, to the pinned answer."""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from index.catalog import Catalog
from index.errors import IndexBehind, UnknownBank
from index.reading import Reading
from index.records import ItemId, ItemState, Purpose, Version
from index.views import Views
from models.errors import DeadlinePassed, MediaError
from models.media.sandbox import Decoder
from models.media.types import Media
from service.answering import answered
from service.evidence import Findings, Query, Wanted, groups_of, public_interest
from service.explanations import Explainer
from service.metrics import Metrics
from service.policy import Judged, PublicInterest, calls_for_action, verdict
from service.queries import Asker, Signature
from service.schemas import Answer, Band, Timings, Verdict, Verify
from service.spaces import SpaceSet
from service.verification import Verifier


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
    verify: Verify = Verify.AUTO
    explain: bool = False
    """Draws what is verified, and looks at everything that is answered."""
    request_id: str = field(default_factory=new_request_id)
    deadline: float | None = None

    @property
    def looking(self) -> Verify:
        """What is to be explained must be looked at."""
        return Verify.ALWAYS if self.explain else self.verify


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What the operator decided about matching."""

    trusted_publishers: frozenset[str] = frozenset()
    index_wait_s: float = 2.0


Observe = Callable[[Media, MatchOptions, Answer], None]
"""Told of every upload that was answered; must return at once and raise nothing."""


class Matcher:
    """Safe from any thread; everything a request needs is in its arguments."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        asker: Asker,
        catalog: Catalog,
        views: Views,
        verifier: Verifier,
        explainer: Explainer,
        rules: MatchRules,
        metrics: Metrics,
        observe: Observe | None = None,
    ) -> None:
        self._decoder = decoder
        self._asker = asker
        self._catalog = catalog
        self._views = views
        self._verifier = verifier
        self._explainer = explainer
        self._rules = rules
        self._metrics = metrics
        self._observe = observe

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

        def ask() -> Query:
            query = self._asker.about_media(media, options.deadline)
            clock.lap("embed")
            return query

        answer = self._answer(ask, options, clock)
        if self._observe is not None:
            self._observe(media, options, answer)
        return answer

    def outcome(self, spaces: SpaceSet, media: Media, options: MatchOptions) -> tuple[Verdict, ItemId | None]:
        """
        What would be answered if these spaces did, and the best item; no answer is counted.

        Raises:
            EmbeddingError, CatalogUnavailable
        """
        query = self._asker.about_media_in(spaces, media, options.deadline)
        matches, interest = self._matches(_Request(query, self._views.reading(), options, _Clock()))
        return _verdict(matches, interest, query), matches[0].item.item_id if matches else None

    def match_embeddings(self, given: Signature, options: MatchOptions) -> Answer:
        """
        The same, for who decodes and embeds elsewhere.

        Raises:
            SpaceMismatch, InvalidEmbedding, InvalidHash, InvalidField: they are not what they are said to be.
            UnknownBank, IndexBehind, CatalogUnavailable
        """
        return self._answer(lambda: self._asker.about_signature(given), options, _Clock())

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

    def _asked(self, ask: Callable[[], Query], options: MatchOptions) -> tuple[Query, Reading]:
        """The query, and a state of the views; asked again where another space took over between the two."""
        while True:
            query = ask()
            if options.deadline is not None and time.monotonic() > options.deadline:
                raise DeadlinePassed("The request's time ran out before its turn.")
            reading = self._reading(options)
            if self._asker.is_of(query, reading.spaces):
                return query, reading

    def _answer(self, ask: Callable[[], Query], options: MatchOptions, clock: "_Clock") -> Answer:
        query, reading = self._asked(ask, options)
        self._metrics.index_is_current(reading.version)
        unknown = options.banks - reading.banks.keys()
        if unknown:
            raise UnknownBank("There is no bank of that name.")
        matches, interest = self._matches(_Request(query, reading, options, clock))
        leading = query.asked.leading
        answer = Answer(
            request_id=options.request_id,
            index_version=reading.version,
            embedder_id=leading.space.embedder_id,
            calibrated=query.calibrated,
            device=leading.batcher.device,
            degraded=any(served.batcher.degraded for served in query.asked.asked),
            media=query.media,
            verdict=_verdict(matches, interest, query),
            matches=[answered(match, query, reading) for match in matches[: options.k]],
            sighting_id=None,
            explanation=self._explainer.explanation(query, matches, options.deadline) if options.explain else None,
            timings_ms=clock.timings(),
        )
        self._metrics.answered(answer)
        return answer

    def _matches(self, request: "_Request") -> tuple[list[Judged], PublicInterest]:
        """What is at or over the least band, best first, and what public interest there is in the upload."""
        reading, query, options = request.reading, request.query, request.options
        digest = query.media.sha256
        same_bytes = () if digest is None else self._catalog.active_items_by_sha256(digest)
        findings = Findings()
        findings.same_bytes.update(
            {item.item_id: item for item in same_bytes if not options.banks or item.bank in options.banks}
        )
        seen = self._looked_at(request, findings, options.banks)
        kept = [match for match in seen if match.band.strength >= options.min_band.strength]
        findings.complete(reading, query, [match.item.item_id for match in kept])
        matches = [replace(findings.judged(query, match.item, match.rule), look=match.look) for match in kept]
        matches.sort(key=lambda match: match.item.item_id)
        matches.sort(key=lambda match: match.rank, reverse=True)
        if not calls_for_action(matches):
            return matches, PublicInterest()
        if options.publisher in self._rules.trusted_publishers:
            return matches, PublicInterest(trusted_publisher=True)
        interest = public_interest(reading, query, {item.bank for item in same_bytes})
        return matches, replace(interest, weight=self._weight_of_public_interest(request, matches))

    def _looked_at(self, request: "_Request", findings: Findings, banks: Collection[str]) -> list[Judged]:
        """Everything that these banks, or all, have near the upload, with what a closer look showed."""
        reading, query, options = request.reading, request.query, request.options
        reach = self._verifier.reach(query, options.looking, reading)
        wanted = Wanted(options.k, options.min_band, reach)
        for group in groups_of(reading.banks, banks):
            findings.gather(reading, query, group, wanted)
        candidates = self._judged(reading, query, findings)
        request.clock.lap("search")
        if reach is None or not candidates:
            return candidates
        findings.complete(reading, query, [match.item.item_id for match in candidates])
        candidates = [findings.judged(query, match.item, match.rule) for match in candidates]
        looks = self._verifier.looks(query, candidates, options.looking, reading, options.deadline)
        request.clock.lap("verify")
        return [replace(match, look=looks.get(match.item.item_id)) for match in candidates]

    def _weight_of_public_interest(self, request: "_Request", matches: Sequence[Judged]) -> float | None:
        """How surely public-interest material was found in the upload, where that may speak for what is verified."""
        public = {rule.name for rule in request.reading.banks.values() if rule.purpose is Purpose.PUBLIC_INTEREST}
        if not public or not any(match.verified and match.rule.name not in public for match in matches):
            return None
        found = [match for match in matches if match.rule.name in public]
        unasked = public - request.options.banks if request.options.banks else set()
        if unasked:
            found += self._looked_at(request, Findings(), unasked)
        return max((match.look.weight for match in found if match.look is not None), default=None)

    def _judged(self, reading: Reading, query: Query, findings: Findings) -> list[Judged]:
        """The candidates that still exist; most uploads have none and cost no look-up."""
        item_ids = findings.item_ids
        items = self._catalog.items_by_id(item_ids) if item_ids else {}
        return [
            findings.judged(query, item, reading.banks[item.bank])
            for item in items.values()
            if item.state is ItemState.ACTIVE and item.bank in reading.banks
        ]


@dataclass(frozen=True, slots=True)
class _Request:
    """One upload, as it is answered."""

    query: Query
    reading: Reading
    options: MatchOptions
    clock: "_Clock"


def _verdict(matches: Sequence[Judged], interest: PublicInterest, query: Query) -> Verdict:
    found = [match for match in matches if match.band is not Band.NONE]
    return verdict(found, interest, low_information=query.media.low_information)


class _Clock:
    """How long each stage took, in milliseconds."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = self._laps.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now

    def timings(self) -> Timings:
        laps = self._laps
        return Timings(
            decode=round(laps.get("decode", 0.0), 3),
            embed=round(laps.get("embed", 0.0), 3),
            search=round(laps.get("search", 0.0), 3),
            verify=round(laps.get("verify", 0.0), 3),
            total=round((time.perf_counter() - self._start) * 1000, 3),
        )
