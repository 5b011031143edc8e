"""What is described is what is served: a fuzzer holds one against the other."""

from collections.abc import Callable
from typing import Any, Final

import pytest
import schemathesis
import schemathesis.openapi
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, assume, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.schemas import OpenApiSchema

from index.records.keys import NewKey, Role, Scope
from service.app import create_app
from service.keys.keyring import make_key
from service.routes.bodies import BINARY
from service.routes.described import IMAGE_KINDS
from service.runtime import Runtime

EXAMPLES: Final = 15


@pytest.fixture
def described(service: Runtime, jpeg: Callable[[int], bytes]) -> OpenApiSchema:
    """The description as the fuzzer reads it. A schema cannot say what a picture is, so it is lent some."""
    for kind in (*IMAGE_KINDS, BINARY):
        schemathesis.openapi.media_type(kind, strategies.sampled_from([jpeg(1), jpeg(2), jpeg(3)]))
    app = create_app(service)
    app.test_client().put("/v1/banks/first", json={"purpose": "harmful"})
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    # 503 `index-behind` is the described answer to a version that the index does not reach.
    schema.config.checks.not_a_server_error.expected_statuses = ["2xx", "3xx", "4xx", "503"]
    # 413 is the described answer to a form of too many parts, which is one way of being wrong.
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]
    return schema


@pytest.fixture
def key(service: Runtime) -> dict[str, str]:
    """One that allows everything: the fuzzer makes keys too, and the first one shuts the door."""
    text, secret = make_key()
    service.catalog.keys.create(NewKey("fuzzer", Role.CENTER, frozenset(Scope)), secret)
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_a_fuzzer_finds_nothing_that_is_not_described(
    described: OpenApiSchema, key: dict[str, str], mode: GenerationMode
) -> None:
    found = []
    for result in described.get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not _can_be_wrong(operation):
            continue

        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.explicit, Phase.generate],
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def hold(case: schemathesis.Case) -> None:
            assume(not _wrong_only_before_it_is_sent(case))
            _ending(case)
            case.call_and_validate(headers=key)

        try:
            hold()
        except (FailureGroup, Failure) as failure:
            found.append(f"{operation.label}: {failure}"[:2000])
    assert found == []


def _can_be_wrong(operation: Any) -> bool:
    """A request without parameters and body cannot be malformed."""
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


def _wrong_only_before_it_is_sent(case: schemathesis.Case) -> bool:
    """Parts of a form are bytes on the wire, whatever they were before: no type of theirs can be wrong."""
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    return case.media_type == "multipart/form-data" and body is not None and body.mode is GenerationMode.NEGATIVE


def _ending(case: schemathesis.Case) -> None:
    """A stream of events that waits for what is to come has no end: it is asked for what there is."""
    if case.operation.label == "GET /v1/events" and case.query.get("follow", True) in {"true", True}:
        case.query["follow"] = "false"


def test_every_route_of_the_interface_is_described(client: FlaskClient) -> None:
    described = client.get("/openapi.json").json["paths"]
    rules = {rule.rule.replace("<", "{").replace(">", "}") for rule in client.application.url_map.iter_rules()}
    apart = {"/openapi.json", "/docs", "/docs/{name}", "/problems", "/problems/{slug}"}
    assert rules - apart == set(described)
