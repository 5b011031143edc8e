"""`/v1/incidents`: what organisations decide together about an event."""

import re
from typing import Final

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from index.audit import actor
from index.catalog import Catalog
from index.errors import UnknownIncident
from index.records.incidents import Advance, Incident, IncidentState
from index.records.keys import Scope
from index.views.views import Views
from service.auth import organisation, require, viewer
from service.errors import Fault, InvalidParameter, MatchHeaderNeeded
from service.incidents.changing import change_of, new_incident
from service.incidents.shapes import (
    INCIDENT_ID,
    ChangedIncident,
    IncidentBody,
    IncidentListParameters,
    IncidentPatch,
    IncidentResource,
    TransitionBody,
    changed_incident,
    incident_resource,
)
from service.incidents.types import IncidentType, IncidentTypes
from service.openapi import Description, Header, Operation, Reply
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import ListOf

INCIDENT_PATH: Final = {"incident_id": {"type": "string", "pattern": INCIDENT_ID}}
_TAG = "Incidents"
_STORED: Final = ("catalog-unavailable", "storage-full")
_NEW_BANKS: Final = ("unknown-bank", "bank-of-another-incident")
_MATCHING: Final = {"type": "string", "pattern": r'^(\*|"[0-9]{1,9}")$'}

_TYPES = Operation(
    method="get",
    path="/v1/incident-types",
    name="listIncidentTypes",
    tag=_TAG,
    summary="The types of incident whose criteria are known",
    replies={200: Reply("All of them.", ListOf[IncidentType])},
    problems=described.QUERY_PROBLEMS,
)
_CREATE = Operation(
    method="post",
    path="/v1/incidents",
    name="createIncident",
    tag=_TAG,
    summary="Open an incident",
    description="It begins with the state `awareness`. Until it is confirmed, its banks match only for who asks for "
    "them, or for it, by name. Naming banks takes the scope `curate` as well.",
    bodies={JSON: IncidentBody},
    replies={201: Reply("It is open; `ETag` is its revision.", ChangedIncident)},
    problems=(*described.JSON_PROBLEMS, *described.QUERY_PROBLEMS, *_NEW_BANKS, *_STORED),
)
_LIST = Operation(
    method="get",
    path="/v1/incidents",
    name="listIncidents",
    tag=_TAG,
    summary="Incidents, newest first; a platform sees those it takes part in",
    parameters=IncidentListParameters,
    replies={200: Reply("A piece of the list.", ListOf[IncidentResource])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_GET = Operation(
    method="get",
    path="/v1/incidents/{incident_id}",
    name="getIncident",
    tag=_TAG,
    summary="One incident",
    path_schemas=INCIDENT_PATH,
    replies={200: Reply("The incident; `ETag` is its revision.", IncidentResource)},
    problems=(*described.QUERY_PROBLEMS, "unknown-incident", "catalog-unavailable"),
)
_CHANGE = Operation(
    method="patch",
    path="/v1/incidents/{incident_id}",
    name="changeIncident",
    tag=_TAG,
    summary="Change an incident's criteria, banks, participants, thresholds or protocol",
    description="What two people decide at the same time cannot overwrite one another: `If-Match` says on which "
    "revision it was decided. While it is being assessed, a change takes back the confirmations so far; once it was "
    "confirmed, changing what matching goes by (all but `name` and `criteria`) takes the scope `confirm` as well.",
    path_schemas=INCIDENT_PATH,
    headers=(Header("If-Match", "The ETag it was decided on; `*` is any.", _MATCHING),),
    bodies={JSON: IncidentPatch},
    replies={200: Reply("It is changed; `ETag` is its new revision.", ChangedIncident)},
    problems=(
        *described.JSON_PROBLEMS,
        *described.QUERY_PROBLEMS,
        "unknown-incident",
        "if-match-needed",
        "incident-changed",
        "incident-closed",
        *_NEW_BANKS,
        *_STORED,
    ),
)
_ADVANCE = Operation(
    method="post",
    path="/v1/incidents/{incident_id}/transitions",
    name="advanceIncident",
    tag=_TAG,
    summary="Take an incident to its next state",
    description="`confirmed` takes two different organisations: the first is answered 202, and the state stays as it "
    "is. It needs the scope `confirm`, every other state `incident`.",
    path_schemas=INCIDENT_PATH,
    headers=(Header("If-Match", "The ETag it was decided on; without it, whatever it is by now.", _MATCHING),),
    bodies={JSON: TransitionBody},
    replies={
        200: Reply("It is in that state.", ChangedIncident),
        202: Reply("The confirmation is noted; another organisation's is needed.", ChangedIncident),
    },
    problems=(
        *described.JSON_PROBLEMS,
        *described.QUERY_PROBLEMS,
        "unknown-incident",
        "incident-changed",
        "transition-refused",
        "organisation-needed",
        "same-organisation",
        "criteria-unmet",
        *_STORED,
    ),
)


def incidents_blueprint(
    catalog: Catalog, views: Views, types: IncidentTypes, limits: BodyLimits, description: Description
) -> Blueprint:
    routes = Blueprint("incidents", __name__)
    operations = Operations(routes, description)
    incidents = catalog.incidents

    def changed(incident: Incident, status: int = 200) -> Response:
        views.follow()
        return _tagged(answer(changed_incident(incident, catalog.version()), status), incident)

    @operations.on(_TYPES)
    def list_types() -> ResponseReturnValue:
        no_parameters()
        return answer(ListOf[IncidentType](items=list(types.types.values()), next=None))

    @operations.on(_CREATE)
    def create_incident() -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(IncidentBody, limits)
        require(Scope.CURATE if body.banks else Scope.INCIDENT)
        return changed(incidents.create(new_incident(body, types, organisation(body.participant))), 201)

    @operations.on(_LIST)
    def list_incidents() -> ResponseReturnValue:
        asked = parameters(IncidentListParameters)
        states = frozenset(state.value for state in asked.state)
        page = incidents.page(asked.limit, asked.cursor, states=states, seen_by=viewer().platform)
        return answer(ListOf[IncidentResource](items=[incident_resource(each) for each in page.items], next=page.next))

    @operations.on(_GET)
    def get_incident(incident_id: str) -> ResponseReturnValue:
        no_parameters()
        incident = seen_incident(catalog, incident_id)
        return _tagged(answer(incident_resource(incident)), incident)

    @operations.on(_CHANGE)
    def change_incident(incident_id: str) -> ResponseReturnValue:
        no_parameters()
        patch = read_json_body(IncidentPatch, limits)
        before = seen_incident(catalog, incident_id)
        if patch.banks is not None:
            require(Scope.CURATE)
        if before.state.acts and patch.changes_rules:
            require(Scope.CONFIRM)
        return changed(incidents.change(incident_id, change_of(patch, before, types), _revision_needed(before)))

    @operations.on(_ADVANCE)
    def advance_incident(incident_id: str) -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(TransitionBody, limits)
        require(Scope.CONFIRM if body.to is IncidentState.CONFIRMED else Scope.INCIDENT)
        revision = _revision_asked(seen_incident(catalog, incident_id))
        after = incidents.advance(
            incident_id, Advance(body.to, body.reason, organisation(body.participant), actor().key_id, revision)
        )
        return changed(after, 200 if after.state is body.to else 202)

    return routes


def seen_incident(catalog: Catalog, incident_id: str) -> Incident:
    """
    An incident that the caller may see; another is none.

    Raises:
        UnknownIncident
    """
    if not re.fullmatch(INCIDENT_ID, incident_id, re.ASCII):
        raise UnknownIncident("There is no incident of that id.")
    incident = catalog.incidents.get(incident_id)
    if not viewer().takes_part(incident.participants):
        raise UnknownIncident("There is no incident of that id.")
    return incident


def _revision_asked(incident: Incident) -> int | None:
    """What `If-Match` says; None where there is none."""
    given = request.headers.get("If-Match")
    if given is None:
        return None
    if given.strip() == "*":
        return incident.revision
    form = re.fullmatch(r'"([0-9]{1,9})"', given.strip(), re.ASCII)
    if form is None:
        raise InvalidParameter(
            "The header If-Match is not an ETag of this service.", [Fault("/If-Match", "not an ETag", "header")]
        )
    return int(form[1])


def _revision_needed(incident: Incident) -> int:
    """
    Raises:
        MatchHeaderNeeded: it does not say on which one it was decided.
    """
    revision = _revision_asked(incident)
    if revision is None:
        raise MatchHeaderNeeded("Send the ETag that the change was decided on as `If-Match`.")
    return revision


def _tagged(response: Response, incident: Incident) -> Response:
    response.headers["ETag"] = f'"{incident.revision}"'
    return response
