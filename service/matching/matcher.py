"""Is this a re-upload of something known? From bytes, or from embeddings and hashes, to the pinned answer."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from index.catalog import Catalog
from index.errors import IndexBehind, UnknownIncident
from index.records.banks import Purpose
from index.records.changes import Version
from index.records.items import ItemId
from index.records.sightings import SightingId
from index.views.reading import Reading
from index.views.views import Views
from models.errors import DeadlinePassed, MediaError
from models.media.sandbox import Decoder
from models.media.types import Media
from service.incidents.tallying import Counted, Tallying
from service.keys.viewer import Viewer
from service.matching.answering import answered
from service.matching.asked_banks import BankChoice, banks_of, chosen
from service.matching.candidates import CandidateFinder, Inquiry
from service.matching.evidence import Findings, Query
from service.matching.explanations import Explainer
from service.matching.policy import Judged, PublicInterest
from service.matching.public_interest import InterestFinder
from service.matching.queries import Asker, Signature
from service.matching.stage_clock import StageClock
from service.matching.verdicts import verdict
from service.matching.verification import Verifier
from service.metrics import Metrics
from service.schemas import Answer, Band, Verdict, Verify
from service.sightings.recording import Answered, Recorder, Recording
from service.spaces.space_set import SpaceSet


def new_request_id() -> str:
    return secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """How to look. `deadline` is a `time.monotonic()` instant."""

    choice: BankChoice = field(default_factory=BankChoice)
    k: int = 5
    min_band: Band = Band.RELATED
    min_index_version: int | None = None
    publisher: str | None = None
    platform: str | None = None
    """Where the upload was seen, as it is counted; empty where nobody said, None where it is not to be counted."""
    verify: Verify = Verify.AUTO
    recording: Recording | None = None
    """What is said of the upload, where it is to be recorded."""
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
        recorder: Recorder | None = None,
        tallying: Tallying | None = None,
    ) -> None:
        self._decoder = decoder
        self._asker = asker
        self._catalog = catalog
        self._views = views
        self._candidates = CandidateFinder(catalog, verifier)
        self._interest = InterestFinder(self._candidates, rules.trusted_publishers)
        self._explainer = explainer
        self._rules = rules
        self._metrics = metrics
        self._observe = observe
        self._recorder = recorder
        self._tallying = tallying

    def match(self, data: bytes, options: MatchOptions) -> Answer:
        """
        What is known about an upload.

        Raises:
            MediaError, EmbeddingError, UnknownBank, IndexBehind, CatalogUnavailable
        """
        clock = StageClock()
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
        found = self._found(self._request(query, self._views.reading(), options, StageClock()), options)
        best = found.matches[0].item.item_id if found.matches else None
        return _verdict(found.matches, found.interest, query), best

    def match_embeddings(self, given: Signature, options: MatchOptions) -> Answer:
        """
        The same, for who decodes and embeds elsewhere.

        Raises:
            SpaceMismatch, InvalidEmbedding, InvalidHash, InvalidField: they are not what they are said to be.
            UnknownBank, IndexBehind, CatalogUnavailable
        """
        return self._answer(lambda: self._asker.about_signature(given), options, StageClock())

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

    def _answer(self, ask: Callable[[], Query], options: MatchOptions, clock: StageClock) -> Answer:
        query, reading = self._asked(ask, options)
        self._metrics.index_is_current(reading.version)
        found = self._found(self._request(query, reading, options, clock), options)
        matches = found.matches
        made_of_it = Answered(query, _verdict(matches, found.interest, query), matches, reading.version)
        leading = query.asked.leading
        answer = Answer(
            request_id=options.request_id,
            index_version=reading.version,
            embedder_id=leading.space.embedder_id,
            calibrated=query.calibrated,
            device=leading.batcher.device,
            degraded=any(served.batcher.degraded for served in query.asked.asked),
            media=query.media,
            verdict=made_of_it.verdict,
            matches=[answered(match, query, reading) for match in matches[: options.k]],
            sighting_id=self._recorded(made_of_it, options),
            explanation=self._explainer.explanation(query, matches, options.deadline) if options.explain else None,
            timings_ms=clock.timings(),
        )
        self._metrics.answered(answer)
        if self._tallying is not None and options.platform is not None:
            counted = Counted(answer.verdict, [*matches, *found.in_shadow], found.interest, found.tried, reading)
            self._tallying.count(options.platform, counted)
        return answer

    def _request(self, query: Query, reading: Reading, options: MatchOptions, clock: StageClock) -> Inquiry:
        """
        Raises:
            UnknownBank, UnknownIncident: there is none of that name that concerns whoever asks.
        """
        rules = chosen(reading.banks, options.choice)
        if options.choice.incident is not None and not banks_of(rules, options.choice):
            self._refuse_unknown_incident(options.choice)
        return Inquiry(query, reading, rules, options.k, options.min_band, options.looking, options.deadline, clock)

    def _refuse_unknown_incident(self, choice: BankChoice) -> None:
        """One without banks is known to the catalog alone."""
        incident = self._catalog.incidents.get(choice.incident or "")
        if not Viewer(choice.platform).takes_part(incident.participants):
            raise UnknownIncident("There is no incident of that id.")

    def _recorded(self, answered: Answered, options: MatchOptions) -> SightingId | None:
        if self._recorder is None or options.recording is None:
            return None
        return self._recorder.record(options.recording, answered)

    def _found(self, request: Inquiry, options: MatchOptions) -> "_Found":
        """What is at or over the least band, best first, and what public interest there is in the upload."""
        reading, query = request.reading, request.query
        digest = query.media.sha256
        same_bytes = () if digest is None else self._catalog.active_items_by_sha256(digest)
        findings = Findings()
        findings.same_bytes.update({item.item_id: item for item in same_bytes if item.bank in request.bank_names})
        seen = self._candidates.near(request, findings, request.rules)
        kept = [match for match in seen if match.band.strength >= options.min_band.strength]
        findings.complete(reading, query, [match.item.item_id for match in kept])
        matches = [replace(findings.judged(query, match.item, match.rule), look=match.look) for match in kept]
        matches.sort(key=lambda match: match.item.item_id)
        matches.sort(key=lambda match: match.rank, reverse=True)
        holders = {item.bank for item in same_bytes}
        # News speaks for an upload also where it is under the least band that was asked for.
        faint = [match for match in seen if match.rule.purpose is Purpose.PUBLIC_INTEREST and match not in kept]
        weighed = request, [*matches, *faint], holders, options.publisher
        interest, tried = self._interest.interest(*weighed), self._interest.tried(*weighed)
        # Whoever asks for a bank by name sees what is in its shadow; for everyone else it is as if it were not there.
        hidden = [match for match in matches if match.in_shadow and not options.choice.by_name]
        shown = [match for match in matches if match not in hidden] if hidden else matches
        return _Found(shown, hidden, interest, tried)


@dataclass(frozen=True, slots=True)
class _Found:
    matches: list[Judged]
    in_shadow: list[Judged]
    """What is only counted."""
    interest: PublicInterest
    tried: PublicInterest


def _verdict(matches: Sequence[Judged], interest: PublicInterest, query: Query) -> Verdict:
    found = [match for match in matches if match.band is not Band.NONE]
    return verdict(found, interest, low_information=query.media.low_information)
