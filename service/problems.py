"""Turns errors into RFC 9457 answers. Nothing else in the service knows how an error looks on the wire."""

import http
from collections.abc import Sequence

from flask import Flask, Response, g
from structlog.typing import FilteringBoundLogger
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from service.errors import BodyTooLarge, BudgetSpent, Fault, NotAuthenticated, NotReady, ScopeMissing
from service.keys.budgets import fields_of
from service.logs import where
from service.metrics import Metrics
from service.problem_types import (
    BAD_REQUEST,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    ProblemType,
    problem_type_of,
)
from service.schemas import Problem, ProblemFault

CONTENT_TYPE = "application/problem+json"
_HTTP = {
    NotFound: NOT_FOUND,
    MethodNotAllowed: METHOD_NOT_ALLOWED,
    RequestEntityTooLarge: problem_type_of(BodyTooLarge("")),
}


def problem_of(error: Exception, request_id: str) -> Problem:
    """
    What a caller is told about an error.

    The sentence of an error that was raised on purpose is safe to show; of any other, only that it happened.
    """
    kind = problem_type_of(error)
    detail = kind.remedy if kind is INTERNAL else str(error)
    checks = error.checks if isinstance(error, NotReady) and error.checks else None
    return _problem(kind, detail, request_id, getattr(error, "faults", ()), checks)


def response_of(problem: Problem, retry_after_s: int | None = None) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    response = Response(body, status=problem.status, content_type=CONTENT_TYPE)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def handle_errors(app: Flask, log: FilteringBoundLogger, metrics: Metrics) -> None:
    """Errors rise through the routes and become answers here."""

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        status = error.code or 500
        kind = next((kind for cls, kind in _HTTP.items() if isinstance(error, cls)), None)
        if kind is None:
            title = http.HTTPStatus(status).phrase
            kind = BAD_REQUEST if status == BAD_REQUEST.status else ProblemType("", status, title, title)
        response = response_of(_problem(kind, kind.remedy, g.request_id))
        for name, value in error.get_headers():
            if name.lower() not in {"content-type", "content-length"}:
                response.headers[name] = value
        return _closing(response)

    @app.errorhandler(Exception)
    def of_ours(error: Exception) -> Response:
        kind = problem_type_of(error)
        if kind is INTERNAL:
            log.error("unforeseen error", **where(error))
        if kind.retry_after_s is not None:
            metrics.refused.labels(kind.slug).inc()
        response = response_of(problem_of(error, g.request_id), kind.retry_after_s)
        response.headers.update(_fields_of(error))
        return _closing(response)


def _fields_of(error: Exception) -> dict[str, str]:
    """What the headers say of a caller who is not let in."""
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": 'Bearer realm="afterimage"'}
    if isinstance(error, ScopeMissing):
        return {"WWW-Authenticate": f'Bearer realm="afterimage", error="insufficient_scope", scope="{error.scope}"'}
    if isinstance(error, BudgetSpent):
        return {"Retry-After": str(error.standing.wait_s), **fields_of(error.standing)}
    return {}


def _closing(response: Response) -> Response:
    """What is left of a body that is too large or too slow is not worth reading."""
    if response.status_code in {408, 413}:
        response.headers["Connection"] = "close"
    return response


def _problem(
    kind: ProblemType,
    detail: str,
    request_id: str,
    faults: Sequence[Fault] = (),
    checks: dict[str, str] | None = None,
) -> Problem:
    return Problem(
        type=kind.uri if kind.slug else "about:blank",
        title=kind.title,
        status=kind.status,
        detail=detail or kind.title,
        instance=request_id,
        errors=[ProblemFault(pointer=fault.pointer, detail=fault.detail, where=fault.where) for fault in faults],
        checks=checks,
    )
