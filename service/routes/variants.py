"""`/v1/incidents/{id}/variants` and `/v1/clusters`: uploads that are near-copies of each other."""

from typing import Final

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from index.catalog import Catalog
from service.auth import viewer
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body
from service.routes.incidents import INCIDENT_PATH, seen_incident
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import Banked, banked
from service.variants.lists import Variants, recent_since
from service.variants.shapes import (
    SIGHTING_ID,
    BankClusterBody,
    BankVariantBody,
    ClusterDetail,
    ClusterList,
    ClusterListParameters,
    CutParameters,
    cluster_resource,
)

_TAG = "Variants"
_ID: Final = {"type": "string", "pattern": SIGHTING_ID}
_CLUSTER_PATH: Final = {"cluster_id": _ID}
_STORED: Final = ("catalog-unavailable", "storage-full")
_BANKING: Final = (*described.QUERY_PROBLEMS, "unknown-bank", "unknown-sighting", "nothing-to-bank", *_STORED)

_LIST_VARIANTS = Operation(
    method="get",
    path="/v1/incidents/{incident_id}/variants",
    name="listVariants",
    tag=_TAG,
    summary="Clusters of near-copies around an incident's items",
    description="First what nobody has banked and what spreads. Each says where and when it was first seen, how it "
    "grows, its nearest earlier relative, its weakest link, and its frontier: uploads in it or near it that no "
    "threshold caught. An upload that has no near-copy yet is one by itself.",
    path_schemas=INCIDENT_PATH,
    parameters=ClusterListParameters,
    replies={200: Reply("A piece of the list.", ClusterList)},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "unknown-incident", "catalog-unavailable"),
)
_BANK_VARIANT = Operation(
    method="post",
    path="/v1/incidents/{incident_id}/variants/{sighting_id}/bank",
    name="bankVariant",
    tag=_TAG,
    summary="Bank a variant from a sighting, without its media",
    description="What was recorded of the upload becomes an item of the kind `signature`. Earlier uploads like it are "
    "looked for at once. Banked again it is the same item. The body may be left out where the incident has one "
    "harmful bank.",
    path_schemas={**INCIDENT_PATH, "sighting_id": _ID},
    bodies={JSON: BankVariantBody},
    replies={201: Reply("It is banked.", Banked), 200: Reply("It was banked before.", Banked)},
    problems=(*described.JSON_PROBLEMS, *_BANKING, "unknown-incident"),
)
_LIST_CLUSTERS = Operation(
    method="get",
    path="/v1/clusters",
    name="listClusters",
    tag=_TAG,
    summary="Uploads that look alike and match nothing known",
    description="What nobody has banked yet; first what grows on several platforms. A platform sees those that it has "
    "a part in, and the other platforms without their names.",
    parameters=ClusterListParameters,
    replies={200: Reply("A piece of the list.", ClusterList)},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_GET_CLUSTER = Operation(
    method="get",
    path="/v1/clusters/{cluster_id}",
    name="getCluster",
    tag=_TAG,
    summary="One cluster, and what it falls into at a tighter threshold",
    description="Its members: GET /v1/sightings?cluster=",
    path_schemas=_CLUSTER_PATH,
    parameters=CutParameters,
    replies={200: Reply("The cluster.", ClusterDetail)},
    problems=(*described.QUERY_PROBLEMS, "unknown-cluster", "catalog-unavailable"),
)
_BANK_CLUSTER = Operation(
    method="post",
    path="/v1/clusters/{cluster_id}/bank",
    name="bankCluster",
    tag=_TAG,
    summary="Bank one of a cluster's uploads, without its media",
    description="Its first one, unless another is named; otherwise as with a variant of an incident.",
    path_schemas=_CLUSTER_PATH,
    bodies={JSON: BankClusterBody},
    replies={201: Reply("It is banked.", Banked), 200: Reply("It was banked before.", Banked)},
    problems=(*described.JSON_PROBLEMS, *_BANKING, "unknown-cluster"),
)


def _has_body() -> bool:
    """One whose length nobody announced, sent in chunks, is one too."""
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def variants_blueprint(variants: Variants, catalog: Catalog, limits: BodyLimits, description: Description) -> Blueprint:
    routes = Blueprint("variants", __name__)
    operations = Operations(routes, description)

    @operations.on(_LIST_VARIANTS)
    def list_variants(incident_id: str) -> ResponseReturnValue:
        asked = parameters(ClusterListParameters)
        incident = seen_incident(catalog, incident_id)
        return answer(variants.seen_by(incident, asked.limit, asked.cursor, viewer()))

    @operations.on(_BANK_VARIANT)
    def bank_variant(incident_id: str, sighting_id: str) -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(BankVariantBody, limits) if _has_body() else BankVariantBody()
        bank = variants.bank_of(seen_incident(catalog, incident_id), body.bank)
        added = variants.bank(bank, sighting_id, body.labels, viewer())
        return answer(banked(added), 201 if added.created else 200)

    @operations.on(_LIST_CLUSTERS)
    def list_clusters() -> ResponseReturnValue:
        asked = parameters(ClusterListParameters)
        return answer(variants.unknown(asked.limit, asked.cursor, viewer()))

    @operations.on(_GET_CLUSTER)
    def get_cluster(cluster_id: str) -> ResponseReturnValue:
        asked, eyes = parameters(CutParameters), viewer()
        facts = variants.one(cluster_id, eyes)
        parts = [] if asked.threshold is None else variants.parts(facts.group.key, asked.threshold)
        return answer(ClusterDetail(**dict(cluster_resource(facts, recent_since(), eyes)), parts=parts))

    @operations.on(_BANK_CLUSTER)
    def bank_cluster(cluster_id: str) -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(BankClusterBody, limits)
        sighting_id = variants.member(cluster_id, body.sighting_id, viewer())
        added = variants.bank(body.bank, sighting_id, body.labels, viewer())
        return answer(banked(added), 201 if added.created else 200)

    return routes
