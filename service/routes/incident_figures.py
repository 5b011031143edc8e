"""`/v1/incidents/{id}/timeline`, `…/report` and `/v1/banks/{bank}/figures`: what was counted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint
from flask.typing import ResponseReturnValue

from index.catalog import Catalog
from service.auth import viewer
from service.errors import Fault, InvalidParameter
from service.incidents.report import (
    BankFigures,
    IncidentReport,
    Timeline,
    TimelineParameters,
    bank_figures,
    report_of,
    timeline_of,
)
from service.incidents.tallying import Tallying
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.banks import BANK_PATH, seen_bank
from service.routes.incidents import INCIDENT_PATH, seen_incident
from service.routes.operations import Operations, answer, no_parameters, parameters

_TAG = "Incidents"
_LONGEST: Final = timedelta(days=92)
_PROBLEMS: Final = (*described.QUERY_PROBLEMS, "unknown-incident", "catalog-unavailable", "storage-full")
_COUNTED = "Uploads are counted whether they were recorded or not, to the second: what a process has counted since it "
_COUNTED += "last wrote it down is missing for so long, and lost where it is killed before."

_TIMELINE = Operation(
    method="get",
    path="/v1/incidents/{incident_id}/timeline",
    name="incidentTimeline",
    tag=_TAG,
    summary="Matching uploads by hour, platform, band and means of discovery",
    description=_COUNTED,
    path_schemas=INCIDENT_PATH,
    parameters=TimelineParameters,
    replies={200: Reply("What was counted; at most 92 days of it.", Timeline)},
    problems=_PROBLEMS,
)
_REPORT = Operation(
    method="get",
    path="/v1/incidents/{incident_id}/report",
    name="incidentReport",
    tag=_TAG,
    summary="The figures that a debrief publishes",
    description=_COUNTED,
    path_schemas=INCIDENT_PATH,
    replies={200: Reply("The figures as they are now.", IncidentReport)},
    problems=_PROBLEMS,
)
_BANK = Operation(
    method="get",
    path="/v1/banks/{bank}/figures",
    name="bankFigures",
    tag="Banks",
    summary="What a bank matched, would have matched in shadow, and what was said of it; a platform sees its uploads",
    description=_COUNTED,
    path_schemas=BANK_PATH,
    replies={200: Reply("The figures as they are now.", BankFigures)},
    problems=(*described.QUERY_PROBLEMS, "unknown-bank", "catalog-unavailable", "storage-full"),
)


def figures_blueprint(catalog: Catalog, tallying: Tallying, description: Description) -> Blueprint:
    routes = Blueprint("figures", __name__)
    operations = Operations(routes, description)

    @operations.on(_TIMELINE)
    def timeline(incident_id: str) -> ResponseReturnValue:
        asked = parameters(TimelineParameters)
        incident = seen_incident(catalog, incident_id)
        since, until = _span(asked, incident.created_at)
        tallying.flush()
        rows = catalog.figures.timeline(incident.key, since, until)
        return answer(timeline_of(incident, rows, since, until))

    @operations.on(_REPORT)
    def report(incident_id: str) -> ResponseReturnValue:
        no_parameters()
        seen_incident(catalog, incident_id)
        tallying.flush()
        incident = catalog.incidents.get(incident_id)
        return answer(report_of(incident, catalog.figures.of_incident(incident.key), datetime.now(UTC)))

    @operations.on(_BANK)
    def of_bank(bank: str) -> ResponseReturnValue:
        no_parameters()
        tallying.flush()
        eyes = viewer()
        figures = catalog.figures.of_bank(seen_bank(catalog, bank), said_by=eyes.platform)
        own = [outcome for outcome in figures.outcomes if eyes.owns(outcome.platform)]
        return answer(bank_figures(bank, replace(figures, outcomes=own)))

    return routes


def _span(asked: TimelineParameters, opened: datetime) -> tuple[datetime, datetime]:
    """From a full hour of UTC on, until an instant."""
    try:
        until = (asked.until or datetime.now(UTC)).astimezone(UTC)
        since = (asked.since or opened).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    except OverflowError:
        fault = Fault("/since" if asked.until is None else "/until", "not in the years 1 to 9999 of UTC", "query")
        raise InvalidParameter("There is no such time.", [fault]) from None
    if until - since <= _LONGEST:
        return since, until
    if asked.since is None:
        return until - _LONGEST, until
    fault = Fault("/since", "more than 92 days before `until`", "query")
    raise InvalidParameter("A timeline has at most 92 days.", [fault])
