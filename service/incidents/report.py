"""What a debrief publishes of an incident: figures alone."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from pydantic import Field

from index.catalog.incidents.figures import Figures, Outcome, TimelineRow
from index.records.feedback import Opinion, Opinions
from index.records.incidents import Incident, IncidentState
from service.incidents.shapes import TransitionResource
from service.inputs import Instant, Parameters
from service.schemas import Shape

UNNAMED: Final = "unnamed"
"""The platform of uploads that nobody named one for."""


class TimelineParameters(Parameters):
    since: Instant | None = Field(default=None, description="From this hour on; else from when it was opened.")
    until: Instant | None = Field(default=None, description="Before this instant; else up to now.")


class TimelinePoint(Shape):
    hour: datetime = Field(description="In which the uploads came; in UTC.")
    platform: str
    band: str
    means: str = Field(
        description="`match`: when it was asked about; `retro_scan`: afterwards; `variant`: by its likes."
    )
    uploads: int


class Timeline(Shape):
    incident_id: str
    since: datetime
    until: datetime
    items: list[TimelinePoint] = Field(description="By hour, platform, band and means.")


class ReportTimes(Shape):
    """When what happened, and how long it took, in seconds; null where it has not happened."""

    opened_at: datetime
    assessing_at: datetime | None
    confirmed_at: datetime | None
    first_match_at: datetime | None
    concluding_at: datetime | None
    concluded_at: datetime | None
    opened_to_confirmed_s: float | None
    confirmed_to_first_match_s: float | None
    confirmed_to_concluded_s: float | None


class ReportHoldings(Shape):
    items: int = Field(description="Active items of its harmful banks.")
    by_kind: dict[str, int]
    public_interest_items: int
    disabled_items: int
    quarantined_items: int
    matched_items: int = Field(description="Those that at least one upload was said to be a copy of.")


class ReportUploads(Shape):
    total: int
    by_platform: dict[str, int]
    by_band: dict[str, int]
    by_action: dict[str, int]
    by_means: dict[str, int]


class ReportPublicInterest(Shape):
    capped: int = Field(description="Uploads for which less was suggested, out of public interest.")
    by_platform: dict[str, int]


class ReportShadow(Shape):
    """What would have been suggested."""

    uploads: int
    by_band: dict[str, int]
    by_action: dict[str, int]


class ReportFeedback(Shape):
    positive: int
    negative: int
    disputed: int
    investigate: int
    false_alarm_rate: float | None = Field(
        description="The share of `negative` in what is `positive` or `negative`; null where nobody said either."
    )


class BankFigures(Shape):
    """What a bank matched, and what was said of that."""

    bank: str
    uploads: ReportUploads
    public_interest: ReportPublicInterest
    shadow: ReportShadow
    feedback: ReportFeedback
    quarantined_items: int
    matched_items: int


class IncidentReport(Shape):
    incident_id: str
    name: str
    type: str
    state: IncidentState
    made_at: datetime
    times: ReportTimes
    confirmed_by: list[str] = Field(description="The organisations that confirmed it, in their order.")
    participants: list[str]
    platforms: int = Field(description="How many platforms had matching uploads.")
    banked: ReportHoldings
    uploads: ReportUploads
    public_interest: ReportPublicInterest
    shadow: ReportShadow
    feedback: ReportFeedback
    transitions: list[TransitionResource]


def report_of(incident: Incident, figures: Figures, made_at: datetime) -> IncidentReport:
    seen = [outcome for outcome in figures.outcomes if not outcome.shadow]
    uploads = _uploads(seen)
    holdings = figures.holdings
    return IncidentReport(
        incident_id=incident.incident_id,
        name=incident.name,
        type=incident.type,
        state=incident.state,
        made_at=made_at,
        times=_times(incident),
        confirmed_by=[each.participant for each in incident.confirmations],
        participants=list(incident.participants),
        platforms=len(uploads.by_platform),
        banked=ReportHoldings(
            items=sum(holdings.by_kind.values()),
            by_kind=holdings.by_kind,
            public_interest_items=holdings.public_interest,
            disabled_items=holdings.disabled,
            quarantined_items=holdings.quarantined,
            matched_items=holdings.matched,
        ),
        uploads=uploads,
        public_interest=_public_interest(seen),
        shadow=_shadow(figures.outcomes),
        feedback=_feedback(figures.opinions),
        transitions=[
            TransitionResource(
                from_state=each.from_state,
                to_state=each.to_state,
                participant=each.participant,
                reason=each.reason,
                at=each.at,
            )
            for each in incident.transitions
        ],
    )


def bank_figures(bank: str, figures: Figures) -> BankFigures:
    seen = [outcome for outcome in figures.outcomes if not outcome.shadow]
    return BankFigures(
        bank=bank,
        uploads=_uploads(seen),
        public_interest=_public_interest(seen),
        shadow=_shadow(figures.outcomes),
        feedback=_feedback(figures.opinions),
        quarantined_items=figures.holdings.quarantined,
        matched_items=figures.holdings.matched,
    )


def timeline_of(incident: Incident, rows: Iterable[TimelineRow], since: datetime, until: datetime) -> Timeline:
    points = [
        TimelinePoint(
            hour=row.hour, platform=row.platform or UNNAMED, band=row.band, means=row.means, uploads=row.uploads
        )
        for row in rows
    ]
    return Timeline(incident_id=incident.incident_id, since=since, until=until, items=points)


def _times(incident: Incident) -> ReportTimes:
    reached = {each.to_state: each.at for each in incident.transitions}
    confirmed, concluded = incident.confirmed_at, incident.concluded_at
    return ReportTimes(
        opened_at=incident.created_at,
        assessing_at=reached.get(IncidentState.ASSESSING),
        confirmed_at=confirmed,
        first_match_at=incident.first_match_at,
        concluding_at=reached.get(IncidentState.CONCLUDING),
        concluded_at=concluded,
        opened_to_confirmed_s=_seconds(incident.created_at, confirmed),
        confirmed_to_first_match_s=_seconds(confirmed, incident.first_match_at),
        confirmed_to_concluded_s=_seconds(confirmed, concluded),
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds(), 3)


def _uploads(outcomes: Iterable[Outcome]) -> ReportUploads:
    found = list(outcomes)
    return ReportUploads(
        total=sum(outcome.uploads for outcome in found),
        by_platform=_by(found, lambda outcome: outcome.platform or UNNAMED),
        by_band=_by(found, lambda outcome: outcome.band),
        by_action=_by(found, lambda outcome: outcome.action),
        by_means=_by(found, lambda outcome: outcome.means),
    )


def _public_interest(outcomes: Iterable[Outcome]) -> ReportPublicInterest:
    capped = [outcome for outcome in outcomes if outcome.capped]
    by_platform = _by(capped, lambda outcome: outcome.platform or UNNAMED)
    return ReportPublicInterest(capped=sum(by_platform.values()), by_platform=by_platform)


def _shadow(outcomes: Iterable[Outcome]) -> ReportShadow:
    counted = [outcome for outcome in outcomes if outcome.shadow]
    return ReportShadow(
        uploads=sum(outcome.uploads for outcome in counted),
        by_band=_by(counted, lambda outcome: outcome.band),
        by_action=_by(counted, lambda outcome: outcome.action),
    )


def _feedback(opinions: Opinions) -> ReportFeedback:
    right, wrong = opinions[Opinion.POSITIVE], opinions[Opinion.NEGATIVE]
    return ReportFeedback(
        **{opinion.value: count for opinion, count in opinions.items()},
        false_alarm_rate=round(wrong / (right + wrong), 6) if right + wrong else None,
    )


def _by(outcomes: Iterable[Outcome], what: Callable[[Outcome], str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts[what(outcome)] += outcome.uploads
    return dict(sorted(counts.items()))
