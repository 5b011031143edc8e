"""`/openapi.json`, `/docs` and `/problems`: what this interface is, from files of our own."""

import html
import importlib.resources
import json
from typing import Final

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from service.openapi import Description
from service.problem_types import PROBLEMS, ProblemType, problem_type

_KINDS: Final = {"viewer.js": "text/javascript; charset=utf-8", "viewer.css": "text/css; charset=utf-8"}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'"


def docs_blueprint(description: Description) -> Blueprint:
    routes = Blueprint("docs", __name__)

    @routes.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return Response(json.dumps(description.to_json()), content_type="application/json")

    @routes.get("/docs")
    def docs() -> ResponseReturnValue:
        return _page(_file("viewer.html"))

    @routes.get("/docs/<name>")
    def docs_file(name: str) -> ResponseReturnValue:
        if name not in _KINDS:
            raise NotFound
        return Response(_file(name), content_type=_KINDS[name])

    @routes.get("/problems")
    def problems() -> ResponseReturnValue:
        rows = "".join(
            f'<li>{problem.status} <a href="{problem.uri}"><code>{problem.slug}</code></a> {html.escape(problem.title)}'
            for problem in sorted(PROBLEMS, key=lambda each: (each.status, each.slug))
        )
        return _problem_page("Problems", f"<ul>{rows}</ul>")

    @routes.get("/problems/<slug>")
    def problem(slug: str) -> ResponseReturnValue:
        kind = problem_type(slug)
        if kind is None:
            raise NotFound
        return _problem_page(kind.title, _explained(kind))

    return routes


def _explained(kind: ProblemType) -> str:
    retry = ""
    if kind.retry_after_s is not None:
        retry = "<p>It passes by itself: the answer says in <code>Retry-After</code> when to try again.</p>"
    return (
        f"<p><code>{kind.uri}</code>, status {kind.status}</p><p>{html.escape(kind.remedy)}</p>{retry}"
        '<p><a href="/problems">All problems</a></p>'
    )


def _problem_page(title: str, body: str) -> Response:
    safe = html.escape(title)
    return _page(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{safe}</title>'
        f'<link rel="stylesheet" href="/docs/viewer.css"><main><h1>{safe}</h1>{body}</main></html>'
    )


def _page(text: str) -> Response:
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _file(name: str) -> str:
    return (importlib.resources.files("service") / "viewer" / name).read_text(encoding="utf-8")
