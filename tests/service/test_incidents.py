"""Incidents over HTTP: what they decide, and what a match goes by."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from service.app import create_app
from service.runtime import Runtime

Jpeg = Callable[[int], bytes]
ORGANISATIONS = ("north", "south")


def opened(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/incidents", json={"name": "attack", "type": "exercise", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.get_json()
    return made


def advance(client: FlaskClient, incident: str, to: str, participant: str | None = None, status: int = 200) -> Any:
    body = {"to": to, "reason": f"because {to}", "participant": participant}
    answer = client.post(f"/v1/incidents/{incident}/transitions", json=body)
    assert answer.status_code == status, answer.text
    return answer.get_json()


def confirm(client: FlaskClient, incident: str) -> Any:
    advance(client, incident, "assessing")
    advance(client, incident, "confirmed", ORGANISATIONS[0], 202)
    return advance(client, incident, "confirmed", ORGANISATIONS[1])


def match(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/jpeg")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def banked(client: FlaskClient, bank: str, data: bytes) -> str:
    answer = client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg")
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["item_id"])


@pytest.fixture
def incident(client: FlaskClient, make_bank: Callable[..., str], jpeg: Jpeg) -> str:
    """In the state `awareness`, with a bank `footage` that holds one picture."""
    banked(client, make_bank("footage"), jpeg(1))
    return str(opened(client, banks=["footage"])["incident_id"])


def test_its_banks_match_only_by_name_until_two_organisations_confirm_it(
    client: FlaskClient, incident: str, jpeg: Jpeg
) -> None:
    assert match(client, jpeg(1))["matches"] == []
    for query in ("?bank=footage", f"?incident={incident}"):
        found = match(client, jpeg(1), query)
        assert found["matches"][0]["incident"] == incident
        assert found["verdict"]["suggested_action"] == "review"
        assert "incident_unconfirmed" in found["verdict"]["reasons"]
    confirm(client, incident)
    found = match(client, jpeg(1))
    assert (found["verdict"]["suggested_action"], found["matches"][0]["incident"]) == ("block", incident)


def test_one_organisation_cannot_confirm_twice_and_two_can(client: FlaskClient, incident: str) -> None:
    advance(client, incident, "assessing")
    noted = advance(client, incident, "confirmed", "north", 202)
    assert (noted["state"], [each["participant"] for each in noted["confirmations"]]) == ("assessing", ["north"])
    assert advance(client, incident, "confirmed", "north", 409)["type"] == "/problems/same-organisation"
    assert advance(client, incident, "confirmed", None, 409)["type"] == "/problems/organisation-needed"
    assert advance(client, incident, "confirmed", "south")["state"] == "confirmed"


def test_what_is_concluded_is_for_people_to_look_at_and_still_takes_variants(
    client: FlaskClient, incident: str, jpeg: Jpeg
) -> None:
    confirm(client, incident)
    for state in ("concluding", "concluded", "debriefed"):
        assert advance(client, incident, state)["state"] == state
        found = match(client, jpeg(1))["verdict"]
        assert (found["band"], found["suggested_action"]) == ("exact", "review")
    banked(client, "footage", jpeg(2))
    assert match(client, jpeg(2))["verdict"]["suggested_action"] == "review"


@pytest.mark.parametrize("ending", ["rejected", "withdrawn"])
def test_what_came_to_nothing_suggests_nothing(client: FlaskClient, incident: str, jpeg: Jpeg, ending: str) -> None:
    advance(client, incident, "assessing")
    advance(client, incident, ending)
    assert match(client, jpeg(1))["matches"] == []
    found = match(client, jpeg(1), "?bank=footage")
    assert (found["verdict"]["band"], found["verdict"]["suggested_action"]) == ("exact", "none")


def test_every_process_goes_by_a_confirmation_from_its_next_answer_on(
    open_service: Callable[..., Runtime], jpeg: Jpeg
) -> None:
    one, other = create_app(open_service()).test_client(), create_app(open_service()).test_client()
    one.put("/v1/banks/footage", json={"purpose": "harmful"})
    banked(one, "footage", jpeg(1))
    made = opened(one, banks=["footage"])["incident_id"]
    assert match(other, jpeg(1))["verdict"]["suggested_action"] == "none"
    done = confirm(one, made)
    found = match(other, jpeg(1))
    assert found["index_version"] >= done["index_version"]
    assert found["verdict"]["suggested_action"] == "block"


def test_a_protocol_says_what_is_suggested(client: FlaskClient, make_bank: Callable[..., str], jpeg: Jpeg) -> None:
    banked(client, make_bank("footage"), jpeg(1))
    protocol = {"exact": "review", "variant": "none", "related": "none"}
    confirm(client, opened(client, banks=["footage"], protocol=protocol)["incident_id"])
    assert match(client, jpeg(1))["verdict"]["suggested_action"] == "review"


def test_an_incidents_thresholds_go_over_its_banks(
    client: FlaskClient,
    make_bank: Callable[..., str],
    picture: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
) -> None:
    edited = picture(1).rotate(8)
    banked(client, make_bank("footage", variant_score=0.99), encoded(picture(1)))
    made = opened(client, banks=["footage"], thresholds={"variant_score": 0.2, "related_score": 0.1})
    confirm(client, made["incident_id"])
    found = match(client, encoded(edited))["matches"][0]
    assert found["semantic"]["threshold"] == 0.2
    assert found["semantic"]["expected_fpr"] is None, "nobody measured a rate at that threshold"


def test_what_is_in_shadow_is_counted_and_suggests_nothing(
    client: FlaskClient, make_bank: Callable[..., str], jpeg: Jpeg
) -> None:
    banked(client, make_bank("footage"), jpeg(1))
    made = opened(client, banks=["footage"], shadow=True)["incident_id"]
    confirm(client, made)
    found = match(client, jpeg(1))
    assert (found["matches"], found["verdict"]) == (
        [],
        {"band": "none", "suggested_action": "none", "reasons": []},
    )
    shown = match(client, jpeg(1), "?bank=footage")
    assert (shown["matches"][0]["band"], shown["verdict"]["suggested_action"]) == ("exact", "none")


def test_an_incident_without_banks_matches_nothing_and_an_unknown_one_is_said(client: FlaskClient, jpeg: Jpeg) -> None:
    empty = opened(client)["incident_id"]
    assert match(client, jpeg(1), f"?incident={empty}")["matches"] == []
    answer = client.post("/v1/match?incident=nothing", data=jpeg(1), content_type="image/jpeg")
    assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/unknown-incident")
