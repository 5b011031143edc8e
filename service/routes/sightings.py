"""`/v1/sightings`: uploads that were recorded."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from index.catalog.sightings.sightings import SightingTable
from index.records.sightings import SightingQuery
from service.auth import viewer
from service.inputs import SightingParameters
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import ListOf
from service.sightings.shapes import SightingDetailResource, SightingResource, detail_resource, sighting_resource

_TAG = "Sightings"

_LIST = Operation(
    method="get",
    path="/v1/sightings",
    name="listSightings",
    tag=_TAG,
    summary="Uploads that were recorded",
    description="A platform's key sees its own; the center sees all. What is older than sightings are kept is gone.",
    parameters=SightingParameters,
    replies={200: Reply("A piece of the list.", ListOf[SightingResource])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_GET = Operation(
    method="get",
    path="/v1/sightings/{sighting_id}",
    name="getSighting",
    tag=_TAG,
    path_schemas={"sighting_id": {"type": "string", "pattern": "^[0-9a-f]{28}$"}},
    summary="One of them: what it matches, and what looks like it",
    replies={200: Reply("The sighting.", SightingDetailResource)},
    problems=(*described.QUERY_PROBLEMS, "unknown-sighting", "catalog-unavailable"),
)


def sightings_blueprint(table: SightingTable, description: Description) -> Blueprint:
    routes = Blueprint("sightings", __name__)
    operations = Operations(routes, description)

    @operations.on(_LIST)
    def list_sightings() -> ResponseReturnValue:
        asked, seen = parameters(SightingParameters), viewer()
        if asked.platform is not None and not seen.owns(asked.platform):
            return answer(ListOf[SightingResource](items=[], next=None))
        query = SightingQuery(
            platform=asked.platform or seen.platform,
            incident_id=asked.incident,
            cluster_id=asked.cluster,
            band=None if asked.band is None else asked.band.value,
            upload_id=asked.upload_id,
            since=asked.since,
            until=asked.until,
            newest_first=asked.order == "newest",
        )
        page = table.page(query, asked.limit, asked.cursor)
        return answer(ListOf[SightingResource](items=[sighting_resource(one) for one in page.items], next=page.next))

    @operations.on(_GET)
    def get_sighting(sighting_id: str) -> ResponseReturnValue:
        no_parameters()
        return answer(detail_resource(table.get(sighting_id, viewer().platform)))

    return routes
