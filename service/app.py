"""The Flask application of an open runtime."""

import re
import time
from typing import Final

import structlog
from flask import Flask, Response, g, request
from structlog.typing import FilteringBoundLogger

from service.admission import Admission
from service.auth import protect
from service.incidents.types import IncidentTypes
from service.jobs.kinds import job_kinds
from service.matching.matcher import new_request_id
from service.metrics import Metrics
from service.openapi import Description
from service.problems import handle_errors
from service.routes.audit import audit_blueprint
from service.routes.banks import banks_blueprint
from service.routes.bodies import BodyLimits, MemoryRequest
from service.routes.docs import docs_blueprint
from service.routes.events import events_blueprint
from service.routes.feedback import feedback_blueprint
from service.routes.health import health_blueprint
from service.routes.incident_figures import figures_blueprint
from service.routes.incidents import incidents_blueprint
from service.routes.items import items_blueprint
from service.routes.jobs import jobs_blueprint
from service.routes.keys import keys_blueprint
from service.routes.match import Doors, match_blueprint
from service.routes.sightings import sightings_blueprint
from service.routes.spaces import spaces_blueprint
from service.routes.variants import variants_blueprint
from service.runtime import Runtime
from service.variants.lists import Variants

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def create_app(runtime: Runtime) -> Flask:
    settings = runtime.settings
    app = Flask("afterimage", static_folder=None, template_folder=None)
    app.request_class = MemoryRequest
    description = Description("Afterimage", "Catches edited re-uploads of known pictures.")
    limits = BodyLimits.of(settings)
    doors = Doors(Admission(settings.in_flight), limits, settings.request_timeout_ms / 1000)
    _identify(app)
    _measure(app, runtime.metrics, runtime.log)
    protect(app, runtime.doorkeeper, trust_network=settings.trust_network)
    handle_errors(app, runtime.log, runtime.metrics)
    app.register_blueprint(match_blueprint(runtime.matcher, doors, runtime.together, description))
    app.register_blueprint(banks_blueprint(runtime.catalog, runtime.views, limits, description))
    app.register_blueprint(items_blueprint(runtime.banker, runtime.catalog, runtime.views, doors, description))
    types = IncidentTypes.load(settings.incident_types)
    app.register_blueprint(feedback_blueprint(runtime.catalog.feedback, limits, description))
    app.register_blueprint(figures_blueprint(runtime.catalog, runtime.tallying, description))
    app.register_blueprint(incidents_blueprint(runtime.catalog, runtime.views, types, limits, description))
    app.register_blueprint(spaces_blueprint(runtime.mover, doors, description))
    variants = Variants(runtime.catalog, runtime.views.follow)
    app.register_blueprint(variants_blueprint(variants, runtime.catalog, limits, description))
    app.register_blueprint(sightings_blueprint(runtime.catalog.sightings, description))
    app.register_blueprint(keys_blueprint(runtime.catalog.keys, limits, description))
    app.register_blueprint(audit_blueprint(runtime.catalog.audit, description))
    app.register_blueprint(events_blueprint(runtime.events, runtime.catalog.events, description))
    kinds = job_kinds(runtime, settings.ingest_roots)
    app.register_blueprint(jobs_blueprint(runtime.catalog.jobs, kinds, settings.jobs_dir, limits, description))
    app.register_blueprint(health_blueprint(runtime.readiness, runtime.metrics, description))
    app.register_blueprint(docs_blueprint(description))
    return app


def _identify(app: Flask) -> None:
    """Every request has an id: the one it came with where that can be shown, or a new one."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else new_request_id()
        g.began = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def show(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        structlog.contextvars.clear_contextvars()


def _measure(app: Flask, metrics: Metrics, log: FilteringBoundLogger) -> None:
    """Counts and logs each request by the rule of its route: the address itself may name somebody's things."""

    @app.before_request
    def begin() -> None:
        metrics.in_flight.inc()

    @app.after_request
    def answered(response: Response) -> Response:
        rule = request.url_rule.rule if request.url_rule is not None else "none"
        method = request.method if request.method in _METHODS else "other"  # a visitor must not invent labels
        took_s = time.perf_counter() - g.began
        metrics.requests.labels(rule, method, response.status_code).observe(took_s)
        log.info(
            "request",
            method=method,
            route=rule,
            status=response.status_code,
            bytes_in=request.content_length,
            ms=round(took_s * 1000, 2),
        )
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        metrics.in_flight.dec()
