"""Who may see and decide what of an incident, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.records.keys import USUAL_SCOPES, NewKey, Role, Scope
from service.app import create_app
from service.keys.keyring import make_key
from service.runtime import Runtime

Jpeg = Callable[[int], bytes]
Holder = Callable[..., dict[str, str]]


@pytest.fixture
def holder(service: Runtime) -> Holder:
    """The header of a new key."""

    def made(participant: str, role: Role, *scopes: Scope) -> dict[str, str]:
        text, secret = make_key()
        service.catalog.keys.create(NewKey(participant, role, frozenset(scopes) or USUAL_SCOPES[role]), secret)
        return {"Authorization": f"Bearer {text}"}

    return made


@pytest.fixture
def client(service: Runtime) -> FlaskClient:
    return create_app(service).test_client()


@pytest.fixture
def north(holder: Holder) -> dict[str, str]:
    return holder("north", Role.CENTER)


@pytest.fixture
def incident(client: FlaskClient, north: dict[str, str], jpeg: Jpeg) -> dict[str, Any]:
    """For the platform `vid` alone, with a bank of one picture."""
    client.put("/v1/banks/footage", json={"purpose": "harmful"}, headers=north)
    client.post("/v1/banks/footage/items", data=jpeg(1), content_type="image/jpeg", headers=north)
    body = {"name": "attack", "type": "exercise", "banks": ["footage"], "participants": ["vid"]}
    answer = client.post("/v1/incidents", json=body, headers=north)
    assert answer.status_code == 201
    made: dict[str, Any] = answer.get_json()
    return made


def advance(client: FlaskClient, incident: str, headers: dict[str, str], **wish: Any) -> Any:
    return client.post(f"/v1/incidents/{incident}/transitions", json={"reason": "so", **wish}, headers=headers)


def problem(answer: Any) -> str:
    return str(answer.get_json()["type"]).rpartition("/")[2]


def confirmed(client: FlaskClient, incident: str, north: dict[str, str], holder: Holder) -> None:
    assert advance(client, incident, north, to="assessing").status_code == 200
    assert advance(client, incident, north, to="confirmed").status_code == 202
    other = holder("vid", Role.PLATFORM, Scope.CONFIRM)
    assert advance(client, incident, other, to="confirmed").status_code == 200


def test_a_key_confirms_for_its_own_organisation_and_another_key_of_it_not_again(
    client: FlaskClient, incident: dict[str, Any], north: dict[str, str], holder: Holder
) -> None:
    own = incident["incident_id"]
    assert incident["opened_by"] == "north"
    advance(client, own, north, to="assessing")
    stranger = advance(client, own, north, to="confirmed", participant="south")
    assert (stranger.status_code, problem(stranger)) == (403, "forbidden")
    assert advance(client, own, north, to="confirmed").status_code == 202
    again = advance(client, own, holder("north", Role.CENTER), to="confirmed")
    assert (again.status_code, problem(again)) == (409, "same-organisation")


def test_confirming_and_leading_are_scopes_of_their_own(
    client: FlaskClient, incident: dict[str, Any], holder: Holder
) -> None:
    own = incident["incident_id"]
    leads, confirms = holder("south", Role.CENTER, Scope.INCIDENT), holder("east", Role.CENTER, Scope.CONFIRM)
    assert advance(client, own, confirms, to="assessing").status_code == 403
    assert advance(client, own, leads, to="assessing").status_code == 200
    assert advance(client, own, leads, to="confirmed").status_code == 403
    assert advance(client, own, confirms, to="confirmed").status_code == 202
    banks = client.post("/v1/incidents", json={"name": "x", "type": "y", "banks": ["footage"]}, headers=leads)
    assert (banks.status_code, problem(banks)) == (403, "forbidden"), "it would take a bank out of general matching"
    assert client.get(f"/v1/incidents/{own}", headers=leads).status_code == 403


def test_a_platform_that_takes_no_part_sees_nothing_of_it_and_is_not_matched_against_it(
    client: FlaskClient, incident: dict[str, Any], north: dict[str, str], holder: Holder, jpeg: Jpeg
) -> None:
    own = incident["incident_id"]
    confirmed(client, own, north, holder)
    inside = holder("vid", Role.PLATFORM, Scope.MATCH, Scope.READ)
    outside = holder("pics", Role.PLATFORM, Scope.MATCH, Scope.READ)
    for path in (f"/v1/incidents/{own}", f"/v1/incidents/{own}/report", f"/v1/incidents/{own}/timeline"):
        assert client.get(path, headers=inside).status_code == 200
        assert problem(client.get(path, headers=outside)) == "unknown-incident"
    assert [len(client.get("/v1/incidents", headers=who).get_json()["items"]) for who in (inside, outside)] == [1, 0]

    def ask(who: dict[str, str], query: str = "") -> Any:
        return client.post(f"/v1/match{query}", data=jpeg(1), content_type="image/jpeg", headers=who)

    assert ask(inside).get_json()["verdict"]["suggested_action"] == "block"
    assert ask(outside).get_json()["matches"] == []
    assert problem(ask(outside, "?bank=footage")) == "unknown-bank"
    assert problem(ask(outside, f"?incident={own}")) == "unknown-incident"
    report = client.get(f"/v1/incidents/{own}/report", headers=north).get_json()
    assert report["uploads"]["by_platform"] == {"vid": 1}


def test_feedback_is_of_whose_key_it_is_and_a_platform_sees_its_own(
    client: FlaskClient, incident: dict[str, Any], north: dict[str, str], holder: Holder, jpeg: Jpeg
) -> None:
    del incident
    vid = holder("vid", Role.PLATFORM, Scope.MATCH, Scope.READ)
    found = client.post("/v1/match?bank=footage", data=jpeg(1), content_type="image/jpeg", headers=vid).get_json()
    body = {"item_id": found["matches"][0]["item_id"], "opinion": "negative", "request_id": found["request_id"]}
    given = client.post("/v1/feedback", json=body, headers=vid)
    assert (given.status_code, given.get_json()["participant"]) == (201, "vid")
    client.post("/v1/feedback", json=body, headers=north)
    seen = [len(client.get("/v1/feedback", headers=who).get_json()["items"]) for who in (vid, north)]
    assert seen == [1, 2]
    auditor = holder("court", Role.AUDITOR)
    assert client.post("/v1/feedback", json=body, headers=auditor).status_code == 403


def test_two_analysts_cannot_overwrite_one_another(
    client: FlaskClient, incident: dict[str, Any], north: dict[str, str]
) -> None:
    path = f"/v1/incidents/{incident['incident_id']}"
    tag = client.get(path, headers=north).headers["ETag"]
    unsaid = client.patch(path, json={"name": "a"}, headers=north)
    assert (unsaid.status_code, problem(unsaid)) == (428, "if-match-needed")
    first = client.patch(path, json={"name": "a"}, headers={**north, "If-Match": tag})
    assert (first.status_code, first.get_json()["name"]) == (200, "a")
    second = client.patch(path, json={"name": "b"}, headers={**north, "If-Match": tag})
    assert (second.status_code, problem(second)) == (412, "incident-changed")
    late = client.post(
        f"{path}/transitions", json={"to": "assessing", "reason": "x"}, headers={**north, "If-Match": tag}
    )
    assert (late.status_code, problem(late)) == (412, "incident-changed")
    odd = client.patch(path, json={"name": "b"}, headers={**north, "If-Match": "W/3"})
    assert (odd.status_code, problem(odd)) == (422, "invalid-parameter")
    newest = client.patch(path, json={"name": "b"}, headers={**north, "If-Match": first.headers["ETag"]})
    assert newest.get_json()["name"] == "b"


STRANGE = '<img src=x onerror="alert(1)">\x07\x1b[2J\u202e\n{{7*7}}'


def test_whatever_is_written_is_kept_as_data(client: FlaskClient, north: dict[str, str]) -> None:
    made = client.post(
        "/v1/incidents",
        json={
            "name": STRANGE,
            "type": "exercise",
            "criteria": [{"name": "own", "met": True, "evidence": STRANGE}],
            "protocol": {"tell": [STRANGE]},
        },
        headers=north,
    ).get_json()
    wish = {"to": "assessing", "reason": STRANGE}
    after = client.post(f"/v1/incidents/{made['incident_id']}/transitions", json=wish, headers=north).get_json()
    kept = (after["name"], after["criteria"][0]["evidence"], after["protocol"]["tell"][0])
    assert (*kept, after["transitions"][0]["reason"]) == (STRANGE,) * 4
    shown = client.get(f"/v1/incidents/{made['incident_id']}", headers=north)
    assert shown.content_type == "application/json"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "x"}, "/name"),
        ({"name": "a", "type": "two words"}, "/type"),
        ({"name": "a\x00", "type": "x"}, "/name"),
        ({"name": "a" * 256, "type": "x"}, "/name"),
        ({"name": "a", "type": "x", "banks": ["a", "a"]}, ""),
        ({"name": "a", "type": "x", "protocol": {"exact": "delete"}}, "/protocol/exact"),
        ({"name": "a", "type": "x", "protocol": {"announce": "none"}}, "/protocol/announce"),
        ({"name": "a", "type": "x", "thresholds": {"variant_score": 1.5}}, "/thresholds/variant_score"),
        ({"name": "a", "type": "x", "shadow": "yes"}, "/shadow"),
    ],
)
def test_an_incident_that_is_none_is_refused(
    client: FlaskClient, north: dict[str, str], body: dict[str, Any], pointer: str
) -> None:
    answer = client.post("/v1/incidents", json=body, headers=north)
    assert (answer.status_code, problem(answer)) == (422, "invalid-field")
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == [pointer]


def test_the_criteria_of_a_type_are_listed_and_must_be_met(client: FlaskClient, north: dict[str, str]) -> None:
    types = {each["name"]: each for each in client.get("/v1/incident-types", headers=north).get_json()["items"]}
    required = [each["name"] for each in types["perpetrator-content"]["criteria"] if each["required"]]
    given = [{"name": required[0], "met": True, "evidence": "three reports"}, {"name": "own", "met": False}]
    body = {"name": "a", "type": "perpetrator-content", "criteria": given}
    made = client.post("/v1/incidents", json=body, headers=north)
    listed = {each["name"]: (each["met"], each["required"]) for each in made.get_json()["criteria"]}
    assert listed[required[0]] == (True, True)
    assert (listed[required[1]], listed["own"]) == ((None, True), (False, False))
    path = f"/v1/incidents/{made.get_json()['incident_id']}"
    advance(client, made.get_json()["incident_id"], north, to="assessing")
    unmet = advance(client, made.get_json()["incident_id"], north, to="confirmed")
    assert (unmet.status_code, problem(unmet)) == (409, "criteria-unmet")
    met = [{"name": name, "met": True} for name in required]
    assert client.patch(path, json={"criteria": met}, headers={**north, "If-Match": "*"}).status_code == 200
    assert advance(client, made.get_json()["incident_id"], north, to="confirmed").status_code == 202
