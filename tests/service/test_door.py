"""The door itself: no method, address or spelling of it leads past, and nobody is kept out who may come in."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.records.keys import NewKey, Role, Scope
from service.app import create_app
from service.keys.access import ACCESS
from service.keys.keyring import make_key
from service.runtime import Runtime

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda path: path,
    "with a slash": lambda path: path + "/",
    "with two slashes": lambda path: path.replace("/", "//"),
    "with a dot": lambda path: "/." + path,
    "in capitals": lambda path: path.upper(),
    "escaped": lambda path: path.replace("/v1", "/%76%31"),
    "with a parameter": lambda path: path + ";x",
    "as if it were open": lambda path: "/docs/.." + path,
}


def bearer(service: Runtime, *scopes: Scope) -> dict[str, str]:
    text, secret = make_key()
    service.catalog.keys.create(NewKey("center", Role.CENTER, frozenset(scopes)), secret)
    return {"Authorization": f"Bearer {text}"}


def addresses(client: FlaskClient) -> Iterator[tuple[str, str]]:
    """Every address that needs a key, with its operation."""
    for rule in client.application.url_map.iter_rules():
        operation = rule.endpoint.rpartition(".")[2]
        if ACCESS[operation].scope is not None:
            yield operation, "/".join("aaaaaaaaaaaa" if part[:1] == "<" else part for part in rule.rule.split("/"))


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_no_method_and_no_spelling_of_an_address_leads_past_the_door(
    client: FlaskClient, service: Runtime, spelling: Callable[[str], str]
) -> None:
    bearer(service, *Scope)
    asked = 0
    for _, path in addresses(client):
        for method in METHODS:
            answer = client.open(spelling(path), method=method)
            assert answer.status_code in {308, 401, 404, 405}, (method, path)
            asked += answer.status_code == 401
    assert asked >= (len(ACCESS) - 8 if spelling("/v1") == "/v1" else 0)


def test_no_operation_is_open_to_a_key_without_its_scope(client: FlaskClient, service: Runtime) -> None:
    rules = {rule.endpoint.rpartition(".")[2]: rule for rule in client.application.url_map.iter_rules()}
    needed = {(access.scope, access.instead) for access in ACCESS.values() if access.scope is not None}
    without = {either: bearer(service, *(set(Scope) - set(either))) for either in needed}
    for operation, path in addresses(client):
        access = ACCESS[operation]
        assert access.scope is not None
        for method in rules[operation].methods or ():
            answer = client.open(path, method=method, headers=without[access.scope, access.instead])
            assert answer.status_code == 403, (method, path)


def test_a_worker_that_has_just_begun_knows_that_there_are_keys(
    service: Runtime, open_service: Callable[..., Runtime]
) -> None:
    """Behind a proxy of this machine that passes its own name on, a health check is the first to ask."""
    bearer(service, Scope.READ)
    fresh: Any = create_app(open_service()).test_client()
    assert fresh.get("/healthz", headers={"Host": "afterimage.example"}).status_code == 200
