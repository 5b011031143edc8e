"""`/v1/events`: what happens, told at once."""

from typing import Final

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from index.catalog.events import EventLog
from index.errors import UnknownIncident
from index.records.events import EventQuery
from index.records.keys import Scope
from service.auth import caller_is_admitted, caller_may, key_of_caller, viewer
from service.connections import CONNECTION, OpenConnection
from service.events.fan_out import EventHub
from service.events.listeners import AnyConnection, Listener
from service.events.shapes import EVENT_MARK, EventParameters, StreamedEvent
from service.keys.viewer import Viewer
from service.openapi import Description, Header, Operation, Reply
from service.routes import described
from service.routes.operations import Operations, parameters

EVENT_STREAM: Final = "text/event-stream"

_STREAM = Operation(
    method="get",
    path="/v1/events",
    name="streamEvents",
    tag="Events",
    summary="Hear of what happens, at once",
    description="Server-sent events: transitions of incidents, matches, matches of earlier uploads, new variants, "
    "clusters that emerge, quarantines. Ids and facts, no media. Each has an id; whoever connects again with "
    "`Last-Event-ID` hears what came meanwhile. Where that is no longer kept, the first event is a `gap`. A platform "
    "hears what concerns itself, and what concerns all of an incident that it takes part in; with the scope `record` "
    "alone, without scores.",
    parameters=EventParameters,
    headers=(
        Header("Last-Event-ID", "The id of the last event that was heard.", {"type": "string", "pattern": EVENT_MARK}),
    ),
    replies={200: Reply("A stream that ends when one of the two sides wants it to.", StreamedEvent, EVENT_STREAM)},
    problems=(*described.QUERY_PROBLEMS, "unknown-incident", "too-many-streams", "not-ready", "catalog-unavailable"),
)


def events_blueprint(hub: EventHub, log: EventLog, description: Description) -> Blueprint:
    routes = Blueprint("events", __name__)
    operations = Operations(routes, description)

    @operations.on(_STREAM)
    def stream_events() -> ResponseReturnValue:
        asked = parameters(EventParameters)
        listener = _listener(asked, log)
        if request.method == "HEAD":
            return Response(content_type=EVENT_STREAM)
        after = request.headers.get("Last-Event-ID") or asked.last_event_id
        response = Response(hub.stream(listener, after), content_type=EVENT_STREAM)
        response.headers["X-Accel-Buffering"] = "no"  # a proxy that collects an answer before passing it on
        if isinstance(listener.connection, OpenConnection):
            listener.connection.let_last()
        return response

    return routes


def _listener(asked: EventParameters, log: EventLog) -> Listener:
    key, sees_figures = key_of_caller(), caller_may(Scope.READ)
    eyes = viewer() if sees_figures or key is None else Viewer(key.participant)
    incident = None
    if asked.incident is not None:
        incident = log.incident(asked.incident)
        if incident is None or not eyes.takes_part(incident.participants):
            raise UnknownIncident("There is no incident of that name.")
    kinds = frozenset(kind.value for kind in asked.kind) or None
    return Listener(
        query=EventQuery(None if incident is None else incident.key, asked.platform, kinds),
        viewer=eyes,
        admitted=caller_is_admitted(),
        holder=None if key is None else key.key_id,
        figures=sees_figures,
        follow=asked.follow,
        connection=request.environ.get(CONNECTION) or AnyConnection(),
    )
