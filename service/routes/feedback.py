"""`/v1/feedback`: whether matches were right, from those who looked."""

from typing import Final

from flask import Blueprint
from flask.typing import ResponseReturnValue

from index.catalog.incidents.feedback import FeedbackTable
from index.records.feedback import FeedbackQuery
from service.auth import organisation, viewer
from service.incidents.feedback_shapes import FeedbackBody, FeedbackParameters, FeedbackResource, feedback_resource
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import ListOf

_TAG: Final = "Feedback"

_GIVE = Operation(
    method="post",
    path="/v1/feedback",
    name="giveFeedback",
    tag=_TAG,
    summary="Say whether a match was right",
    description="It reaches the item, its bank and the incident's report. Two organisations that call an item's "
    "matches wrong, while none calls them right, put the item under quarantine: it suggests no more than a review.",
    bodies={JSON: FeedbackBody},
    replies={201: Reply("It is kept.", FeedbackResource)},
    problems=(
        *described.JSON_PROBLEMS,
        *described.QUERY_PROBLEMS,
        "unknown-item",
        "catalog-unavailable",
        "storage-full",
    ),
)
_LIST = Operation(
    method="get",
    path="/v1/feedback",
    name="listFeedback",
    tag=_TAG,
    summary="What was said, newest first; a platform sees what it said itself",
    parameters=FeedbackParameters,
    replies={200: Reply("A piece of the list.", ListOf[FeedbackResource])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)


def feedback_blueprint(table: FeedbackTable, limits: BodyLimits, description: Description) -> Blueprint:
    routes = Blueprint("feedback", __name__)
    operations = Operations(routes, description)

    @operations.on(_GIVE)
    def give_feedback() -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(FeedbackBody, limits)
        given = table.give(body.given(organisation(body.participant)), seen_by=viewer().platform)
        return answer(feedback_resource(given), 201)

    @operations.on(_LIST)
    def list_feedback() -> ResponseReturnValue:
        asked = parameters(FeedbackParameters)
        query = FeedbackQuery(asked.item_id, asked.bank, asked.incident, asked.opinion, viewer().platform)
        page = table.page(query, asked.limit, asked.cursor)
        return answer(ListOf[FeedbackResource](items=[feedback_resource(each) for each in page.items], next=page.next))

    return routes
