"""The description of our own HTTP interface: OpenAPI 3.1, made from the operations as the routes declare them."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.keys.access import access_of
from service.problem_types import BAD_REQUEST, INTERNAL, ProblemType, problem_type
from service.schemas import Problem

_REF = "#/components/schemas/{model}"
_ALWAYS = (BAD_REQUEST, INTERNAL)
_AT_THE_DOOR = tuple(
    problem for slug in ("unauthenticated", "forbidden", "budget-spent") if (problem := problem_type(slug)) is not None
)
_KEY = "key"
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of this service. On a loopback address none is needed until one exists.",
}

Schema = Mapping[str, Any]
MediaType = Mapping[str, Any]
Method = Literal["get", "put", "post", "patch", "delete"]


@dataclass(frozen=True, slots=True)
class Header:
    name: str
    description: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Reply:
    """One way to be answered well."""

    description: str
    model: type[BaseModel] | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address: what it takes and how it answers."""

    method: Method
    path: str
    name: str
    tag: str
    summary: str
    replies: Mapping[int, Reply]
    description: str = ""
    parameters: type[BaseModel] | None = None
    path_schemas: Mapping[str, Schema] = field(default_factory=dict)
    headers: Sequence[Header] = ()
    bodies: Mapping[str, MediaType | type[BaseModel]] = field(default_factory=dict)
    """By content type: a model, or the media type object as it is. Raw bytes have an empty one in 3.1."""
    problems: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = [slug for slug in self.problems if problem_type(slug) is None]
        if unknown:
            raise ValueError(f"{self.name} names problems that do not exist: {unknown}")


class Description:
    """Collects operations while the routes are made; describes them once all are known."""

    def __init__(self, title: str, summary: str) -> None:
        self._title = title
        self._summary = summary
        self._operations: list[Operation] = []

    def add(self, operation: Operation) -> None:
        self._operations.append(operation)

    def to_json(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for operation in self._operations:
            paths.setdefault(operation.path, {})[operation.method] = _described(operation)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": self._title,
                "summary": self._summary,
                "version": _own_version(),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in self._operations)],
            "paths": paths,
            "components": {"schemas": self._schemas(), "securitySchemes": {_KEY: _SCHEME}},
        }

    def _schemas(self) -> dict[str, Any]:
        takes = [body for operation in self._operations for body in operation.bodies.values() if isinstance(body, type)]
        answers: list[type[BaseModel]] = [Problem]
        for operation in self._operations:
            answers += [reply.model for reply in operation.replies.values() if reply.model]
        wanted: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
        wanted += [(model, "validation") for model in dict.fromkeys(takes)]
        wanted += [(model, "serialization") for model in dict.fromkeys(answers)]
        _, document = models_json_schema(wanted, ref_template=_REF)
        schemas: dict[str, Any] = document.get("$defs", {})
        return schemas


def _own_version() -> str:
    try:
        return importlib.metadata.version("afterimage")
    except importlib.metadata.PackageNotFoundError:
        return "0+not.installed"


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    scope = access_of(operation.name).scope
    if scope is not None:
        described["security"] = [{_KEY: [scope.value]}, {}]
    if operation.description:
        described["description"] = operation.description
    parameters = [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.bodies:
        content = {kind: _media_type(body) for kind, body in operation.bodies.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _media_type(body: MediaType | type[BaseModel]) -> dict[str, Any]:
    return {"schema": _reference(body)} if isinstance(body, type) else dict(body)


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": dict(schema)}
        for name, schema in operation.path_schemas.items()
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.parameters is None:
        return []
    document = operation.parameters.model_json_schema(ref_template=_REF)
    definitions = document.get("$defs", {})
    parameters = []
    for name, schema in document.get("properties", {}).items():
        plain = _plain(schema, definitions)
        parameter = {"name": name, "in": "query", "required": False, "schema": plain}
        description = plain.pop("description", "")
        if description:
            parameter["description"] = description
        parameters.append(parameter)
    return parameters


def _plain(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema without references and without null, which a query cannot say."""
    plain = {key: value for key, value in schema.items() if key != "title" and not (key == "default" and value is None)}
    if "$ref" in plain:
        named = definitions[plain.pop("$ref").rsplit("/", 1)[-1]]
        plain = {**{key: value for key, value in named.items() if key not in {"title", "description"}}, **plain}
    if "anyOf" in plain:
        options = [_plain(option, definitions) for option in plain.pop("anyOf") if option.get("type") != "null"]
        plain = {**options[0], **plain} if len(options) == 1 else {"anyOf": options, **plain}
    return plain


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": header.name,
            "in": "header",
            "required": False,
            "description": header.description,
            "schema": dict(header.schema),
        }
        for header in operation.headers
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {str(status): _reply(reply) for status, reply in operation.replies.items()}
    by_status: dict[int, list[ProblemType]] = {}
    named = [problem for slug in operation.problems if (problem := problem_type(slug)) is not None]
    at_the_door = _AT_THE_DOOR if access_of(operation.name).scope is not None else ()
    for problem in [*at_the_door, *named, *_ALWAYS]:
        by_status.setdefault(problem.status, []).append(problem)
    for status, problems in sorted(by_status.items()):
        headers = dict(_REQUEST_ID)
        if any(problem.retry_after_s is not None for problem in problems):
            headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        responses[str(status)] = {
            "description": "\n".join(f"`{problem.uri}`: {problem.title}." for problem in problems),
            "headers": headers,
            "content": {"application/problem+json": {"schema": _reference(Problem)}},
        }
    return responses


_REQUEST_ID: Mapping[str, Any] = {
    "X-Request-ID": {"schema": {"type": "string"}, "description": "The request's id: the one sent, or a new one."}
}


def _reply(reply: Reply) -> dict[str, Any]:
    schema = {"type": "string"} if reply.model is None else _reference(reply.model)
    return {
        "description": reply.description,
        "headers": dict(_REQUEST_ID),
        "content": {reply.content_type: {"schema": schema}},
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    """Pydantic names a component after its class; brackets of a generic become underscores."""
    return {"$ref": _REF.format(model=_component(model))}


def _component(model: type[BaseModel]) -> str:
    return model.__name__.replace("[", "_").replace("]", "_")
