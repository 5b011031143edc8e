"""`/healthz`, `/readyz` and `/metrics`: for what watches over the service."""

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST

from service.metrics import Metrics
from service.openapi import Description, Operation, Reply
from service.readiness import ReadinessCheck
from service.routes.operations import Operations, answer
from service.schemas import Health, Readiness

_TAG = "Operation"

_HEALTH = Operation(
    method="get",
    path="/healthz",
    name="health",
    tag=_TAG,
    summary="Whether the process answers",
    replies={200: Reply("It does.", Health)},
    problems=("unknown-host",),
)
_READY = Operation(
    method="get",
    path="/readyz",
    name="ready",
    tag=_TAG,
    summary="Whether it can do its work: a canary picture through decoder, queue, models and index",
    replies={200: Reply("It can.", Readiness)},
    problems=("unknown-host", "not-ready"),
)
_METRICS = Operation(
    method="get",
    path="/metrics",
    name="metrics",
    tag=_TAG,
    summary="Figures for Prometheus",
    replies={200: Reply("In Prometheus' text format.", content_type="text/plain")},
    problems=("unknown-host",),
)


def health_blueprint(readiness: ReadinessCheck, metrics: Metrics, description: Description) -> Blueprint:
    routes = Blueprint("health", __name__)
    operations = Operations(routes, description)

    @operations.on(_HEALTH)
    def health() -> ResponseReturnValue:
        return answer(Health(status="ok"))

    @operations.on(_READY)
    def ready() -> ResponseReturnValue:
        return answer(readiness.check())

    @operations.on(_METRICS)
    def figures() -> ResponseReturnValue:
        return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    return routes
