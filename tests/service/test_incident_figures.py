"""What is counted of incidents, what is said of matches, and what comes of it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from index.catalog.incidents.quarantines import Rush
from index.errors import CatalogUnavailable
from service.app import create_app
from service.duties.every_duty import duty_keeper
from service.incidents.quarantine import FALSE_IN_AN_HOUR, LEAST, Expectation, excess
from service.incidents.tallying import Counted, Tallying
from service.matching.policy import PublicInterest
from service.runtime import Runtime
from service.schemas import Action, Band, Verdict

Jpeg = Callable[[int], bytes]
Encoded = Callable[..., bytes]
Picture = Callable[..., Image.Image]


def match(client: FlaskClient, data: bytes, query: str = "") -> Any:
    answer = client.post(f"/v1/match{query}", data=data, content_type="image/jpeg")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def got(client: FlaskClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


@pytest.fixture
def incident(client: FlaskClient, make_bank: Callable[..., str], jpeg: Jpeg) -> str:
    """Confirmed, with a bank of one picture and a public-interest bank of another."""
    client.post(f"/v1/banks/{make_bank('footage')}/items", data=jpeg(1), content_type="image/jpeg")
    client.post(f"/v1/banks/{make_bank('news', 'public_interest')}/items", data=jpeg(2), content_type="image/jpeg")
    body = {"name": "attack", "type": "exercise", "banks": ["footage", "news"]}
    made = client.post("/v1/incidents", json=body).get_json()["incident_id"]
    for to, participant in (("assessing", None), ("confirmed", "north"), ("confirmed", "south")):
        wish = {"to": to, "reason": f"{to} & <b>so</b>", "participant": participant}
        assert client.post(f"/v1/incidents/{made}/transitions", json=wish).status_code in {200, 202}
    return str(made)


def test_a_report_has_what_a_debrief_publishes(client: FlaskClient, incident: str, jpeg: Jpeg) -> None:
    for platform in ("vid", "vid", "pics"):
        match(client, jpeg(1), f"?platform={platform}")
    trusted = match(client, jpeg(1), "?platform=vid&publisher=broadcaster.example")
    assert trusted["verdict"]["suggested_action"] == "review"
    match(client, jpeg(3), "?platform=vid")
    item = trusted["matches"][0]["item_id"]
    for opinion, participant in (("positive", "vid"), ("positive", "north"), ("negative", "pics")):
        said = {"item_id": item, "opinion": opinion, "participant": participant, "request_id": trusted["request_id"]}
        assert client.post("/v1/feedback", json=said).status_code == 201
    report = got(client, f"/v1/incidents/{incident}/report")
    assert report["uploads"] == {
        "total": 4,
        "by_platform": {"pics": 1, "vid": 3},
        "by_band": {"exact": 4},
        "by_action": {"block": 3, "review": 1},
        "by_means": {"match": 4},
    }
    assert report["public_interest"] == {"capped": 1, "by_platform": {"vid": 1}}
    assert (report["platforms"], report["confirmed_by"]) == (2, ["north", "south"])
    assert (report["banked"]["items"], report["banked"]["public_interest_items"]) == (1, 1)
    assert report["banked"]["matched_items"] == 1
    assert report["feedback"]["false_alarm_rate"] == pytest.approx(1 / 3, abs=1e-6)
    assert 0 <= report["times"]["confirmed_to_first_match_s"] < 60
    assert report["transitions"][-1]["reason"] == "confirmed & <b>so</b>", "kept as data"
    timeline = got(client, f"/v1/incidents/{incident}/timeline")
    assert {(row["platform"], row["band"], row["means"]): row["uploads"] for row in timeline["items"]} == {
        ("vid", "exact", "match"): 3,
        ("pics", "exact", "match"): 1,
    }
    figures = got(client, "/v1/banks/footage/figures")
    assert (figures["uploads"]["total"], figures["feedback"]["positive"]) == (4, 2)


def test_shadow_is_counted_as_what_it_would_have_done(
    client: FlaskClient, make_bank: Callable[..., str], jpeg: Jpeg
) -> None:
    client.post(f"/v1/banks/{make_bank('tried', shadow=True)}/items", data=jpeg(1), content_type="image/jpeg")
    for _ in range(3):
        assert match(client, jpeg(1))["verdict"]["suggested_action"] == "none"
    figures = got(client, "/v1/banks/tried/figures")
    assert (figures["uploads"]["total"], figures["shadow"]["by_action"]) == (0, {"block": 3})


def test_workers_count_for_themselves_and_the_catalog_adds_up(open_service: Callable[..., Runtime], jpeg: Jpeg) -> None:
    runtimes = [open_service(), open_service()]
    clients = [create_app(runtime).test_client() for runtime in runtimes]
    clients[0].put("/v1/banks/first", json={"purpose": "harmful"})
    clients[0].post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg")
    for client in clients:
        match(client, jpeg(1))
    for runtime in runtimes:
        runtime.tallying.tick()
    assert got(clients[1], "/v1/banks/first/figures")["uploads"]["total"] == 2


def test_what_cannot_be_written_is_counted_later(service: Runtime, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    client = create_app(service).test_client()
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg")
    with monkeypatch.context() as away:

        def refuse(_: object) -> None:
            raise CatalogUnavailable("It is away.")

        away.setattr(service.catalog.tallies, "add", refuse)
        match(client, jpeg(1))
        service.tallying.tick()
        match(client, jpeg(1))
        assert client.get("/v1/banks/first/figures").status_code == 503
    assert got(client, "/v1/banks/first/figures")["uploads"]["total"] == 2


def test_feedback_is_listed_with_its_text_as_it_was(client: FlaskClient, incident: str, jpeg: Jpeg) -> None:
    item = match(client, jpeg(1))["matches"][0]["item_id"]
    note = '<script>alert("x")</script>\x1b[31m\u202e'
    body = {"item_id": item, "opinion": "disputed", "note": note, "participant": "vid"}
    given = client.post("/v1/feedback", json=body)
    assert (given.status_code, given.get_json()["note"]) == (201, note)
    (listed,) = got(client, f"/v1/feedback?incident={incident}&opinion=disputed")["items"]
    assert (listed["note"], listed["bank"], listed["participant"]) == (note, "footage", "vid")
    assert got(client, "/v1/feedback?opinion=positive")["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"item_id": "0" * 28, "opinion": "positive"}, 404, "unknown-item"),
        ({"item_id": "<b>", "opinion": "positive"}, 404, "unknown-item"),
        ({"item_id": "0" * 28, "opinion": "perhaps"}, 422, "invalid-field"),
        ({"item_id": "0" * 28, "opinion": "positive", "note": "a\x00b"}, 422, "invalid-field"),
        ({"item_id": "0" * 28, "opinion": "positive", "note": "a" * 5000}, 422, "invalid-field"),
        ({"opinion": "positive"}, 422, "invalid-field"),
    ],
)
def test_feedback_that_is_none_is_refused(client: FlaskClient, body: dict[str, Any], status: int, problem: str) -> None:
    answer = client.post("/v1/feedback", json=body)
    assert (answer.status_code, answer.get_json()["type"]) == (status, f"/problems/{problem}")


def rush(unconfirmed: int, confirmed: int = 0, **changes: Any) -> Rush:
    given = {"item_key": 1, "rows": 1, "accepted": 0, "confirmed_incident": False}
    return Rush(uploads=unconfirmed + confirmed, unconfirmed=unconfirmed, **{**given, **changes})


EXPECTED = Expectation(lambda frames: 1e-5 * frames, 10_000)


@pytest.mark.parametrize(
    ("seen", "asked", "over"),
    [
        (rush(LEAST - 1), 100, False),
        (rush(LEAST), 100, True),
        (rush(40), 3_000_000, False),
        (rush(90), 3_000_000, True),
        (rush(40), 100, True),
        (rush(40, confirmed=40), 100, False),
        (rush(130, confirmed=40), 100, True),
        (rush(130, confirmed=40, confirmed_incident=True), 100, False),
        (rush(400, confirmed=40, confirmed_incident=True), 100, True),
        (rush(70, accepted=40), 100, False),
        (rush(150, accepted=40), 100, True),
        (rush(40, rows=300), 10_000, False),
    ],
)
def test_an_item_is_over_what_is_expected_only_where_chance_and_its_copies_do_not_explain_it(
    seen: Rush, asked: int, *, over: bool
) -> None:
    found = excess(seen, asked, EXPECTED)
    assert (found is not None) is over
    assert found is None or found.probability < FALSE_IN_AN_HOUR / EXPECTED.frames


def look_now(service: Runtime) -> None:
    """As whoever has the duties next would."""
    keeper = duty_keeper(service)
    keeper.work_through()
    keeper.close()


@pytest.fixture
def rushed(
    client: FlaskClient, service: Runtime, make_bank: Callable[..., str], picture: Picture, encoded: Encoded
) -> str:
    """An item that uploads are said to be copies of by score alone, more often than its calibration expects."""
    bank = make_bank("known", block_on_semantic=True)
    answer = client.post(f"/v1/banks/{bank}/items", data=encoded(picture(1)), content_type="image/jpeg")
    for turn in range(LEAST + 2):
        found = match(client, encoded(picture(1).rotate(4 + turn / 40)), "?verify=never")
        assert (found["verdict"]["band"], found["verdict"]["suggested_action"]) == ("variant", "block")
    service.tallying.flush()
    return str(answer.get_json()["item_id"])


def test_a_rush_of_look_alikes_is_for_people_to_look_at_until_somebody_lifts_it(
    client: FlaskClient, service: Runtime, rushed: str, picture: Picture, encoded: Encoded
) -> None:
    look_now(service)
    assert got(client, f"/v1/banks/known/items/{rushed}")["quarantine"] == "unconfirmed"
    alike, same = encoded(picture(1).rotate(4)), encoded(picture(1))
    said = match(client, alike, "?verify=never")["verdict"]
    assert (said["suggested_action"], said["reasons"][-1]) == ("review", "quarantined")
    assert match(client, same)["verdict"]["suggested_action"] == "block", "nobody disarms it by look-alikes"
    events = [event for event in service.catalog.events.after(0, 99).events if event.kind == "quarantine"]
    assert [(event.data["item_id"], event.data["by"]) for event in events] == [(rushed, "rate")]
    (entry,) = [row for row in service.catalog.audit.rows(0) if row.action == "item.quarantined"]
    assert re.fullmatch(rf"banks/known/items/{rushed}", entry.subject)
    lifted = client.patch(f"/v1/banks/known/items/{rushed}", json={"quarantine": "none"})
    assert lifted.get_json()["quarantine"] == "none"
    assert match(client, alike, "?verify=never")["verdict"]["suggested_action"] == "block"
    service.tallying.flush()
    look_now(service)
    assert got(client, f"/v1/banks/known/items/{rushed}")["quarantine"] == "none", "what was let be is expected now"


def test_hours_are_kept_apart(service: Runtime) -> None:
    """The clock is the counter's: what is told at one minute to and one minute past is of two hours."""
    minutes = iter((59, 61))
    start = datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()
    written: list[Any] = []

    class Table:
        def add(self, tallied: Any) -> None:
            written.extend(tallied.tallies)

    tallying = Tallying(
        Table(),  # type: ignore[arg-type]
        service.log,
        lambda: datetime.fromtimestamp(start + 60 * next(minutes), UTC),
    )
    nothing = Verdict(band=Band.NONE, suggested_action=Action.NONE, reasons=[])
    counted = Counted(nothing, [], PublicInterest(), PublicInterest(), service.views.reading())
    tallying.count("vid", counted)
    tallying.count("vid", counted)
    tallying.flush()
    assert [tally.hour.hour for tally in written] == [10, 11]
