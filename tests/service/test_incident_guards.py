"""What nobody can do to an incident, its items and its figures, by mistake or on purpose."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.catalog.duties import Step
from index.catalog.incidents import quarantines
from index.catalog.incidents.tallies import ItemTally, Tallied
from index.identifiers import item_key_of
from index.records.items import ItemId
from index.records.keys import USUAL_SCOPES, NewKey, Role, Scope
from service.app import create_app
from service.keys.keyring import make_key
from service.runtime import Runtime

Jpeg = Callable[[int], bytes]
MakeBank = Callable[..., str]
Headers = dict[str, str]
Holder = Callable[..., Headers]


@pytest.fixture
def client(service: Runtime) -> FlaskClient:
    return create_app(service).test_client()


@pytest.fixture
def holder(service: Runtime) -> Holder:
    """The header of a new key."""

    def made(participant: str, role: Role, *scopes: Scope) -> Headers:
        text, secret = make_key()
        service.catalog.keys.create(NewKey(participant, role, frozenset(scopes) or USUAL_SCOPES[role]), secret)
        return {"Authorization": f"Bearer {text}"}

    return made


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, str(answer.get_json()["type"]).rpartition("/")[2]


def banked(client: FlaskClient, bank: str, data: bytes, headers: Headers | None = None) -> str:
    answer = client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg", headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["item_id"])


def action(client: FlaskClient, data: bytes, query: str = "", headers: Headers | None = None) -> str:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/jpeg", headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["verdict"]["suggested_action"])


def opened(client: FlaskClient, states: tuple[tuple[str, str | None], ...], **body: Any) -> str:
    """Taken through these states, where no key is needed."""
    made = client.post("/v1/incidents", json={"name": "attack", "type": "exercise", **body}).get_json()["incident_id"]
    for to, participant in states:
        wish = {"to": to, "reason": "tested", "participant": participant}
        assert client.post(f"/v1/incidents/{made}/transitions", json=wish).status_code in {200, 202}
    return str(made)


CONFIRMED = (("assessing", None), ("confirmed", "north"), ("confirmed", "south"))
WITHDRAWN = (*CONFIRMED, ("withdrawn", "north"))


def feedback(client: FlaskClient, item: str, participant: str, opinion: str = "negative", **more: Any) -> None:
    body = {"item_id": item, "opinion": opinion, "participant": participant, **more}
    assert client.post("/v1/feedback", json=body).status_code == 201


def test_what_a_curator_lifted_is_not_put_back_by_what_was_said_before(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    item = banked(client, make_bank(), jpeg(1))
    feedback(client, item, "vid", request_id="1")
    feedback(client, item, "pics", request_id="1")
    assert action(client, jpeg(1)) == "review"
    client.patch(f"/v1/banks/first/items/{item}", json={"quarantine": "none"})
    for turn in range(3):
        feedback(client, item, "vid", request_id=f"again-{turn}")
    assert action(client, jpeg(1)) == "block", "one organisation alone puts back what somebody looked at"
    feedback(client, item, "pics", request_id="2")
    assert action(client, jpeg(1)) == "review"


def test_what_an_organisation_says_of_an_item_at_large_counts_once(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    item = banked(client, make_bank(), jpeg(1))
    for _ in range(5):
        feedback(client, item, "vid")
    feedback(client, item, "pics", "positive")
    figures = client.get("/v1/banks/first/figures").get_json()["feedback"]
    assert (figures["negative"], figures["positive"], figures["false_alarm_rate"]) == (1, 1, 0.5)


def test_a_platform_that_takes_no_part_sees_and_touches_nothing_of_an_incidents_banks(
    client: FlaskClient, holder: Holder, jpeg: Jpeg
) -> None:
    north = holder("north", Role.CENTER)
    inside, outside = (holder(name, Role.PLATFORM, *set(Scope) - {Scope.ADMIN}) for name in ("vid", "pics"))
    for bank in ("footage", "common"):
        client.put(f"/v1/banks/{bank}", json={"purpose": "harmful"}, headers=north)
    item = banked(client, "footage", jpeg(1), north)
    body = {"name": "attack", "type": "exercise", "banks": ["footage"], "participants": ["vid"]}
    assert client.post("/v1/incidents", json=body, headers=north).status_code == 201
    assert action(client, jpeg(1), "?bank=footage", inside) == "review"
    path = "/v1/banks/footage"
    for read in (path, f"{path}/figures", f"{path}/items", f"{path}/items/{item}"):
        assert problem(client.get(read, headers=outside)) == (404, "unknown-bank")
        assert client.get(read, headers=inside).status_code == 200
    listed = [client.get("/v1/banks", headers=who).get_json()["items"] for who in (inside, outside)]
    assert [[each["bank"] for each in names] for names in listed] == [["common", "footage"], ["common"]]
    said = {"item_id": item, "opinion": "negative"}
    assert problem(client.post("/v1/feedback", json=said, headers=outside)) == (404, "unknown-item")
    assert client.post("/v1/feedback", json=said, headers=inside).status_code == 201
    disabled = client.patch(f"{path}/items/{item}", json={"state": "disabled"}, headers=outside)
    deleted = client.delete(path, headers=outside)
    added = client.post(f"{path}/items", data=jpeg(2), content_type="image/jpeg", headers=outside)
    for refused in (disabled, deleted, added):
        assert problem(refused) == (404, "unknown-bank")


def test_a_banks_figures_show_a_platform_what_it_said_itself(client: FlaskClient, holder: Holder, jpeg: Jpeg) -> None:
    north, vid = holder("north", Role.CENTER), holder("vid", Role.PLATFORM, Scope.MATCH, Scope.READ)
    client.put("/v1/banks/known", json={"purpose": "harmful"}, headers=north)
    item = banked(client, "known", jpeg(1), north)
    for who in (north, vid, holder("pics", Role.PLATFORM)):
        assert (
            client.post("/v1/feedback", json={"item_id": item, "opinion": "negative"}, headers=who).status_code == 201
        )
    seen = [
        client.get("/v1/banks/known/figures", headers=who).get_json()["feedback"]["negative"] for who in (vid, north)
    ]
    assert seen == [1, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"variant_score": -1.0}},
        {"protocol": {"related": "block"}},
        {"participants": ["vid"]},
        {"shadow": True},
    ],
)
def test_what_two_organisations_confirmed_is_changed_by_who_may_confirm(
    client: FlaskClient, holder: Holder, change: dict[str, Any]
) -> None:
    north, south = holder("north", Role.CENTER), holder("south", Role.CENTER)
    leads = holder("east", Role.CENTER, Scope.INCIDENT, Scope.CURATE)
    body = {"name": "attack", "type": "exercise"}
    made = client.post("/v1/incidents", json=body, headers=leads).get_json()["incident_id"]
    path = f"/v1/incidents/{made}"
    free = {"If-Match": "*"}
    assert client.patch(path, json=change, headers={**leads, **free}).status_code == 200
    client.patch(
        path, json={"thresholds": {}, "protocol": {}, "participants": [], "shadow": False}, headers={**leads, **free}
    )
    for who, to in ((leads, "assessing"), (north, "confirmed"), (south, "confirmed")):
        assert client.post(f"{path}/transitions", json={"to": to, "reason": "so"}, headers=who).status_code in {
            200,
            202,
        }
    assert problem(client.patch(path, json=change, headers={**leads, **free})) == (403, "forbidden")
    assert client.patch(path, json={"name": "Attack", "criteria": []}, headers={**leads, **free}).status_code == 200
    assert client.patch(path, json=change, headers={**north, **free}).status_code == 200


def test_one_organisation_is_one_however_its_name_is_written(client: FlaskClient) -> None:
    made = opened(client, (("assessing", None), ("confirmed", "north")))
    wish = {"to": "confirmed", "reason": "so", "participant": "North"}
    answer = client.post(f"/v1/incidents/{made}/transitions", json=wish)
    assert problem(answer) == (409, "same-organisation")


@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01T00:00:00%2B23:59",
        "until=0001-01-01T00:00:00Z",
        "until=0001-01-01T00:00:00%2B23:59",
        "until=9999-12-31T23:59:59-23:59",
        "since=9999-12-31T23:59:59-23:59",
        "since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z",
        "since=2026-11-22T10:00:00Z&until=2026-11-21T10:00:00Z",
    ],
)
def test_a_timeline_of_times_that_never_were_is_empty_or_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/v1/incidents/{opened(client, ())}/timeline?{query}")
    assert answer.status_code in {200, 422}, answer.text
    assert answer.status_code == 422 or answer.get_json()["items"] == []


def test_the_hours_of_a_timeline_are_those_of_utc_however_they_are_asked_for(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    banked(client, make_bank("footage"), jpeg(1))
    made = opened(client, CONFIRMED, banks=["footage"])
    assert action(client, jpeg(1)) == "block"
    (row,) = client.get(f"/v1/incidents/{made}/timeline").get_json()["items"]
    # Ten to the full hour there: half an hour and forty minutes into that of UTC.
    local = row["hour"].replace(":00:00Z", ":40:00Z")
    asked = f"{local[:11]}{(int(local[11:13]) + 5) % 24:02}:10:00%2B04:30"
    answer = client.get(f"/v1/incidents/{made}/timeline?since={asked}")
    assert answer.get_json()["items"] == [row] or int(local[11:13]) + 5 >= 24


def test_an_unknown_incident_is_said_also_where_a_bank_is_named(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    make_bank()
    answer = client.post("/v1/match?bank=first&incident=nothing", data=jpeg(1), content_type="image/jpeg")
    assert problem(answer) == (404, "unknown-incident")


@pytest.mark.parametrize("quiet", ["bank in shadow", "incident in shadow", "incident withdrawn"])
def test_news_that_is_only_tried_or_was_withdrawn_holds_nothing_back(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg, quiet: str
) -> None:
    banked(client, make_bank("known"), jpeg(1))
    banked(client, make_bank("news", "public_interest", shadow=quiet == "bank in shadow"), jpeg(1))
    if quiet != "bank in shadow":
        states = WITHDRAWN if quiet == "incident withdrawn" else CONFIRMED
        opened(client, states, banks=["news"], shadow=quiet == "incident in shadow")
    assert action(client, jpeg(1)) == "block"


def test_what_shadow_would_have_done_counts_its_own_news(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    banked(client, make_bank("footage"), jpeg(1))
    banked(client, make_bank("news", "public_interest"), jpeg(1))
    made = opened(client, CONFIRMED, banks=["footage", "news"], shadow=True)
    assert action(client, jpeg(1)) == "none"
    shadow = client.get(f"/v1/incidents/{made}/report").get_json()["shadow"]
    assert shadow["by_action"] == {"review": 1}


def test_only_what_was_lowered_is_said_to_be_capped(client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg) -> None:
    banked(client, make_bank("footage"), jpeg(1))
    opened(client, CONFIRMED, banks=["footage"], protocol={"exact": "review"})
    answer = client.post("/v1/match?publisher=broadcaster.example", data=jpeg(1), content_type="image/jpeg").get_json()
    assert answer["verdict"]["suggested_action"] == "review"
    assert "public_interest_cap" not in answer["verdict"]["reasons"]


def test_one_bank_in_shadow_is_no_part_of_what_an_incident_did(
    client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg
) -> None:
    banked(client, make_bank("footage"), jpeg(1))
    banked(client, make_bank("tried", shadow=True), jpeg(1))
    made = opened(client, CONFIRMED, banks=["footage", "tried"], protocol={"exact": "review"})
    assert action(client, jpeg(1), "?publisher=broadcaster.example") == "review"
    report = client.get(f"/v1/incidents/{made}/report").get_json()
    assert (report["uploads"]["total"], report["shadow"]["uploads"]) == (1, 0)


def test_old_counts_of_items_are_deleted_some_at_a_time(
    service: Runtime, client: FlaskClient, make_bank: MakeBank, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantines, "_AT_ONCE", 2)
    key = item_key_of(ItemId(banked(client, make_bank(), jpeg(1))))
    assert key is not None
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [*(now - timedelta(days=91, hours=hour) for hour in range(5)), now]
    counts = [ItemTally(key, hour, 1, 0) for hour in hours]
    service.catalog.tallies.add(Tallied({}, counts))
    turn = service.catalog.duties.take_turn("me", 30)
    assert turn is not None
    step = Step(turn, "quarantine", 0)
    assert [service.catalog.quarantines.forget(step) for _ in range(4)] == [True, True, False, False]
    holdings = service.catalog.figures.of_bank("first").holdings
    assert holdings.matched == 1, "what is not old is kept"
