"""`/v1/spaces`: moving to another model."""

from typing import Final

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from index.records.spaces import SpaceId
from service.inputs import Boolean, Parameters
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.bodies import read_upload
from service.routes.match import Doors
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import ListOf
from service.spaces.moving import Mover
from service.spaces.shapes import SpaceComparison, SpaceDropped, SpaceMoved, SpaceReport, SpaceResource

_PATH: Final = {"space": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,255}$"}}
"""Its `embedder_id`."""
_TAG: Final = "Spaces"
_KNOWN: Final = (*described.QUERY_PROBLEMS, "unknown-space", "catalog-unavailable")
_DECIDING: Final = (*_KNOWN, "wrong-stage", "storage-full")


class PromoteParameters(Parameters):
    keep_old: Boolean = Field(default=False, description="The space it replaces goes on answering beside it.")
    leave_behind: Boolean = Field(
        default=False, description="Items that only the old space finds may be lost to semantic search."
    )


class RollbackParameters(Parameters):
    leave_behind: Boolean = Field(
        default=False, description="Items that only this space finds may be lost to semantic search."
    )


_LIST = Operation(
    method="get",
    path="/v1/spaces",
    name="listSpaces",
    tag=_TAG,
    summary="Every space there is or was, the oldest first",
    replies={200: Reply("All of them.", ListOf[SpaceResource])},
    problems=(*described.QUERY_PROBLEMS, "catalog-unavailable"),
)
_GET = Operation(
    method="get",
    path="/v1/spaces/{space}",
    name="getSpace",
    tag=_TAG,
    summary="A space: how far it is filled, where it is open, and how it agrees with the one it may replace",
    description="Counts every item: for people, not for every minute.",
    path_schemas=_PATH,
    replies={200: Reply("The space.", SpaceReport)},
    problems=_KNOWN,
)
_PROMOTE = Operation(
    method="post",
    path="/v1/spaces/{space}/promote",
    name="promoteSpace",
    tag=_TAG,
    summary="Answer from this space from now on",
    description="It must wait in shadow. Every answer at the version returned or later comes from it.",
    path_schemas=_PATH,
    parameters=PromoteParameters,
    replies={200: Reply("It answers.", SpaceMoved)},
    problems=(*_DECIDING, "items-left-behind", "space-not-open"),
)
_ROLLBACK = Operation(
    method="post",
    path="/v1/spaces/{space}/rollback",
    name="rollbackSpace",
    tag=_TAG,
    summary="Answer from the space it took over from again",
    description="It waits in shadow itself from then on, and can be promoted again.",
    path_schemas=_PATH,
    parameters=RollbackParameters,
    replies={200: Reply("The other one answers.", SpaceMoved)},
    problems=(*_DECIDING, "items-left-behind", "space-not-open"),
)
_DROP = Operation(
    method="delete",
    path="/v1/spaces/{space}",
    name="dropSpace",
    tag=_TAG,
    summary="Give a space up",
    description="One that answers cannot be dropped. A job deletes its embeddings; there is no way back.",
    path_schemas=_PATH,
    replies={202: Reply("It is given up.", SpaceDropped)},
    problems=_DECIDING,
)
_COMPARE = Operation(
    method="post",
    path="/v1/spaces/{space}/compare",
    name="compareSpace",
    tag=_TAG,
    summary="What is answered about an upload, and what would be if this space took over",
    path_schemas=_PATH,
    bodies=described.ONE_FILE,
    replies={200: Reply("Both.", SpaceComparison)},
    problems=(
        *described.MEDIA_PROBLEMS,
        *_KNOWN,
        "wrong-stage",
        "not-ready",
        "queue-full",
        "deadline-passed",
        "shutting-down",
    ),
)


def spaces_blueprint(mover: Mover, doors: Doors, description: Description) -> Blueprint:
    routes = Blueprint("spaces", __name__)
    operations = Operations(routes, description)

    @operations.on(_LIST)
    def list_spaces() -> ResponseReturnValue:
        no_parameters()
        return answer(ListOf[SpaceResource](items=mover.spaces(), next=None))

    @operations.on(_GET)
    def get_space(space: str) -> ResponseReturnValue:
        no_parameters()
        return answer(mover.report(SpaceId(space)))

    @operations.on(_PROMOTE)
    def promote(space: str) -> ResponseReturnValue:
        asked = parameters(PromoteParameters)
        return answer(mover.promote(SpaceId(space), keep_old=asked.keep_old, leave_behind=asked.leave_behind))

    @operations.on(_ROLLBACK)
    def rollback(space: str) -> ResponseReturnValue:
        return answer(mover.rollback(SpaceId(space), leave_behind=parameters(RollbackParameters).leave_behind))

    @operations.on(_DROP)
    def drop(space: str) -> ResponseReturnValue:
        no_parameters()
        dropped = mover.drop(SpaceId(space))
        response = answer(dropped, 202)
        response.headers["Location"] = f"/v1/jobs/{dropped.job_id}"
        return response

    @operations.on(_COMPARE)
    def compare(space: str) -> ResponseReturnValue:
        no_parameters()
        with doors.admission.place():
            upload = read_upload(doors.limits)
            return answer(mover.compare(SpaceId(space), upload.data, doors.deadline()))

    return routes
