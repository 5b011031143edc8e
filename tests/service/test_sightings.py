"""Recording uploads, and what is shown of them."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from index.errors import CatalogUnavailable
from index.records.changes import Version
from index.records.keys import NewKey, Role, Scope
from index.records.sightings import NewSighting
from service.app import create_app
from service.keys.budgets import Budgets
from service.keys.doorkeeper import Doorkeeper
from service.keys.keyring import Keyring, make_key
from service.matching.queries import Signature
from service.runtime import Runtime
from service.schemas import Action, Band, Verdict
from service.sightings.recording import Answered, Recorder, Recording

Jpeg = Callable[[int], bytes]


@pytest.fixture
def make(service: Runtime) -> Callable[..., str]:
    """A key with these scopes, as its holder has it."""

    def made(*scopes: Scope, participant: str = "center", role: Role = Role.CENTER) -> str:
        text, secret = make_key()
        service.catalog.keys.create(NewKey(participant, role, frozenset(scopes)), secret)
        return text

    return made


def record(client: FlaskClient, data: bytes, **query: Any) -> Any:
    return client.post("/v1/match", query_string={"record": "true"} | query, data=data, content_type="image/jpeg").json


def seen(client: FlaskClient, **query: Any) -> list[Any]:
    return list(client.get("/v1/sightings", query_string=query).json["items"])


def banked(client: FlaskClient, bank: str, data: bytes) -> str:
    answer = client.post(f"/v1/banks/{bank}/items", data=data, content_type="image/jpeg")
    assert answer.status_code == 201
    return str(answer.json["item_id"])


def test_an_upload_is_recorded_with_what_finds_it_again(
    client: FlaskClient, jpeg: Jpeg, make_bank: Callable[..., str]
) -> None:
    item_id = banked(client, make_bank(), jpeg(1))
    told = {"platform": "alpha", "upload_id": "<b>post 7</b>", "publisher": "someone", "context": "news"}
    answer = record(client, jpeg(1), **told)
    found = client.get(f"/v1/sightings/{answer['sighting_id']}").json
    assert {name: found[name] for name in told} == told
    assert (found["band"], found["suggested_action"]) == ("exact", "block")
    assert (found["frames"], found["kind"]) == (1, "image")
    assert found["spaces"] == [answer["embedder_id"]]
    assert [(match["item_id"], match["bank"], match["means"]) for match in found["matches"]] == [
        (item_id, "first", "match")
    ]
    assert "sha256" not in found


def test_nothing_is_recorded_unasked(client: FlaskClient, jpeg: Jpeg) -> None:
    answer = client.post("/v1/match", query_string={"platform": "alpha"}, data=jpeg(1), content_type="image/jpeg").json
    assert answer["sighting_id"] is None
    assert seen(client) == []


def test_a_signature_and_every_good_file_of_a_batch_are_recorded(client: FlaskClient, jpeg: Jpeg) -> None:
    body = {"pdq": ["f8" * 32, None, "0f" * 32]}
    answer = client.post("/v1/match/embeddings", query_string={"record": "true"}, json=body).json
    found = client.get(f"/v1/sightings/{answer['sighting_id']}").json
    assert (found["kind"], found["frames"], found["spaces"]) == ("signature", 2, [])
    files = [(io.BytesIO(data), "secret-name.jpg") for data in (jpeg(1), b"no picture", jpeg(2))]
    batch = client.post("/v1/match/batch", query_string={"record": "true"}, data={"media": files}).json
    ids = [result.get("sighting_id") for result in batch["results"]]
    assert ids[1] is None
    assert {one["sighting_id"] for one in seen(client)} == {answer["sighting_id"], ids[0], ids[2]}


def test_a_removed_item_is_no_match_of_a_sighting_any_more(
    client: FlaskClient, jpeg: Jpeg, make_bank: Callable[..., str]
) -> None:
    item_id = banked(client, make_bank(), jpeg(1))
    address = f"/v1/sightings/{record(client, jpeg(1))['sighting_id']}"
    client.patch(f"/v1/banks/first/items/{item_id}", json={"state": "disabled"})
    assert client.get(address).json["matches"] == []
    client.patch(f"/v1/banks/first/items/{item_id}", json={"state": "active"})
    assert len(client.get(address).json["matches"]) == 1
    client.delete("/v1/banks/first")
    assert client.get(address).json["matches"] == []


def test_sightings_are_listed_by_what_is_asked_for(
    client: FlaskClient, jpeg: Jpeg, make_bank: Callable[..., str]
) -> None:
    banked(client, make_bank(), jpeg(1))
    first = record(client, jpeg(1), platform="alpha", upload_id="a-1")["sighting_id"]
    second = record(client, jpeg(2), platform="beta")["sighting_id"]
    third = record(client, jpeg(3), platform="alpha")["sighting_id"]

    def ids(**query: Any) -> list[str]:
        return [one["sighting_id"] for one in seen(client, **query)]

    assert ids() == [third, second, first]
    assert ids(order="oldest") == [first, second, third]
    assert ids(platform="alpha") == [third, first]
    assert ids(band="exact") == [first]
    assert ids(upload_id="a-1") == [first]
    assert ids(since="2100-01-01T00:00:00Z") == []
    assert ids(until="2100-01-01T00:00:00Z", since="2026-01-01T00:00:00Z") == [third, second, first]
    page = client.get("/v1/sightings", query_string={"limit": 2}).json
    rest = client.get("/v1/sightings", query_string={"limit": 2, "cursor": page["next"]}).json
    assert [one["sighting_id"] for one in page["items"] + rest["items"]] == [third, second, first]
    assert rest["next"] is None
    assert client.get("/v1/sightings", query_string={"cursor": "x"}).json["type"].endswith("bad-cursor")
    other = client.get("/v1/sightings", query_string={"order": "oldest", "cursor": page["next"]})
    assert other.json["type"].endswith("bad-cursor"), "one of the other order"


@pytest.mark.parametrize(
    ("said", "kept"), [(timedelta(days=400), 0), (timedelta(days=-400), -7), (timedelta(hours=-6), -0.25)]
)
def test_a_platform_whose_clock_is_wrong_shifts_no_sighting_beyond_what_is_kept(
    client: FlaskClient, jpeg: Jpeg, said: timedelta, kept: float
) -> None:
    observed = (datetime.now(UTC) + said).isoformat()
    found = client.get(f"/v1/sightings/{record(client, jpeg(1), observed_at=observed)['sighting_id']}").json
    received = datetime.fromisoformat(found["received_at"])
    assert abs(datetime.fromisoformat(found["observed_at"]) - received - timedelta(days=kept)) < timedelta(seconds=30)


def test_a_match_is_answered_where_it_cannot_be_recorded(
    service: Runtime, client: FlaskClient, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise CatalogUnavailable("The catalog's disk is full.")

    monkeypatch.setattr(service.catalog.sightings, "record", full)
    answer = record(client, jpeg(1))
    assert answer["sighting_id"] is None
    assert answer["verdict"]["band"] == "none"
    assert 'afterimage_recordings_total{outcome="unavailable"} 1.0' in service.metrics.exposition().decode()


def test_what_is_asked_in_shadow_or_to_compare_is_not_recorded_twice(client: FlaskClient, jpeg: Jpeg) -> None:
    record(client, jpeg(1))
    client.post("/v1/match", data=jpeg(1), content_type="image/jpeg")
    assert len(seen(client)) == 1


def test_a_platform_that_floods_is_answered_and_not_recorded(service: Runtime, jpeg: Jpeg) -> None:
    limited = service.settings.model_copy(update={"key_recordings_per_day": 2})
    service.doorkeeper = Doorkeeper(Keyring(service.catalog.keys), Budgets(limited.data_dir / "budgets"), limited)
    client = create_app(service).test_client()
    recorded = [record(client, jpeg(1))["sighting_id"] is not None for _ in range(4)]
    assert recorded == [True, True, False, False]


def test_a_sighting_that_is_not_there_is_said_to_be_unknown(client: FlaskClient) -> None:
    for sighting_id in ("0" * 28, "x", "0" * 27 + "g"):
        assert client.get(f"/v1/sightings/{sighting_id}").json["type"].endswith("unknown-sighting")


def test_a_sighting_keeps_no_field_that_names_media_or_people() -> None:
    kept = set(NewSighting.__dataclass_fields__)
    assert kept.isdisjoint({"sha256", "file_name", "user", "media", "ip"})


def test_a_catalog_that_is_away_is_waited_for_once(service: Runtime) -> None:
    tried: list[float] = []
    now = [0.0]

    class Away:
        def record(self, *_: object) -> str:
            tried.append(now[0])
            raise CatalogUnavailable("The catalog is away.")

    recorder = Recorder(Away(), timedelta(days=7), service.metrics, service.log, lambda: now[0])  # type: ignore[arg-type]
    answered = Answered(
        service.matcher._asker.about_signature(Signature("", [], ["f8" * 32])),  # noqa: SLF001 - a query of any kind
        Verdict(band=Band.NONE, suggested_action=Action.NONE, reasons=[]),
        [],
        Version(0),
    )
    for now[0] in (0.0, 1.0, 4.9, 5.0):
        assert recorder.record(Recording(), answered) is None
    assert tried == [0.0, 5.0]


def test_a_key_records_for_its_own_platform_and_sees_its_own(
    client: FlaskClient, make: Callable[..., str], jpeg: Jpeg
) -> None:
    scopes = (Scope.MATCH, Scope.RECORD, Scope.READ)
    alpha, beta = (make(*scopes, participant=name, role=Role.PLATFORM) for name in ("alpha", "beta"))
    center = make(Scope.READ)

    def ask(key: str, path: str, **query: str) -> Any:
        return client.get(path, query_string=query, headers={"Authorization": f"Bearer {key}"})

    def match(key: str, query: str) -> Any:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg"}
        return client.post(f"/v1/match?record=true{query}", data=jpeg(1), headers=headers)

    mine = match(alpha, "").json["sighting_id"]
    theirs = match(beta, "&platform=beta&upload_id=b-1").json["sighting_id"]
    assert match(alpha, "&platform=beta").json["type"].endswith("forbidden")
    assert [one["sighting_id"] for one in ask(alpha, "/v1/sightings").json["items"]] == [mine]
    assert ask(alpha, "/v1/sightings", platform="beta").json["items"] == []
    assert ask(alpha, "/v1/sightings", upload_id="b-1").json["items"] == []
    assert ask(alpha, f"/v1/sightings/{theirs}").status_code == 404
    assert [one["platform"] for one in ask(center, "/v1/sightings").json["items"]] == ["beta", "alpha"]
    assert ask(center, f"/v1/sightings/{theirs}").json["upload_id"] == "b-1"
    assert match(make(Scope.MATCH, participant="gamma", role=Role.PLATFORM), "").status_code == 403
