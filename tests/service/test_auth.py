"""Who may ask: keys that are wrong in every way, scopes, and what each caller gets to see."""

import contextlib
import hmac
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from index.errors import CatalogUnavailable
from index.records.keys import Allowance, NewKey, Role, Scope
from service.app import create_app
from service.errors import NotAuthenticated, RefusedToStart
from service.keys.access import ACCESS
from service.keys.budgets import Budgets
from service.keys.doorkeeper import Doorkeeper
from service.keys.exposure import refuse_open_doors
from service.keys.keyring import Keyring, make_key
from service.runtime import Runtime
from service.settings import Settings

Jpeg = Callable[[int], bytes]
MakeKey = Callable[..., str]


@pytest.fixture
def make(service: Runtime) -> MakeKey:
    """A key with these scopes, as its holder has it."""

    def made(*scopes: Scope, participant: str = "center", role: Role = Role.CENTER, **rest: Any) -> str:
        text, secret = make_key()
        service.catalog.keys.create(NewKey(participant, role, frozenset(scopes), **rest), secret)
        return text

    return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def key_id_of(key: str) -> Any:
    return key.split("_")[1]


def test_a_loopback_address_needs_no_key_until_one_exists(client: FlaskClient, make: MakeKey) -> None:
    assert client.get("/v1/banks").status_code == 200
    key = make(Scope.READ)
    assert client.get("/v1/banks").status_code == 401
    assert client.get("/v1/banks", headers=bearer(key)).status_code == 200


def test_the_door_stays_shut_when_every_key_has_ended(client: FlaskClient, service: Runtime, make: MakeKey) -> None:
    service.catalog.keys.revoke(key_id_of(make(Scope.READ)))
    assert client.get("/v1/banks").status_code == 401


def test_what_is_for_everyone_needs_no_key(client: FlaskClient, make: MakeKey) -> None:
    make(Scope.READ)
    for address in ("/healthz", "/readyz", "/docs", "/openapi.json", "/problems"):
        assert client.get(address).status_code == 200


def test_every_operation_says_what_it_needs(client: FlaskClient) -> None:
    endpoints = {rule.endpoint.rpartition(".")[2] for rule in client.application.url_map.iter_rules()}
    assert endpoints - set(ACCESS) == set()
    described = client.get("/openapi.json").json
    for path in described["paths"].values():
        for operation in path.values():
            needed = ACCESS[operation["operationId"]].scope
            assert operation.get("security") == (None if needed is None else [{"key": [needed]}, {}])


def test_an_operation_that_the_table_forgot_is_shut(service: Runtime, make: MakeKey) -> None:
    app = create_app(service)
    app.add_url_rule("/v1/forgotten", "forgotten", lambda: "open")
    client = app.test_client()
    assert client.get("/v1/forgotten").text == "open"  # no key exists
    most = make(*(set(Scope) - {Scope.ADMIN}))
    assert client.get("/v1/forgotten", headers=bearer(most)).status_code == 403


WRONG = {
    "none": None,
    "empty": "",
    "no key": "Bearer ",
    "another scheme": "Basic Y2VudGVyOnNlY3JldA==",
    "no scheme": "afterimage_aaaaaaaaaaaa_" + "a" * 52,
    "not a key": "Bearer letmein",
    "unknown": "Bearer afterimage_aaaaaaaaaaaa_" + "a" * 52,
    "long": "Bearer " + "a" * 7000,
    "binary": "Bearer \xff\xfe\x80",
    "two": "Bearer afterimage_aaaaaaaaaaaa_" + "a" * 52 + ", Bearer x",
}


@pytest.mark.parametrize("shown", WRONG.values(), ids=WRONG.keys())
def test_a_key_that_is_none_is_refused(client: FlaskClient, make: MakeKey, shown: str | None) -> None:
    make(*Scope)
    headers = {} if shown is None else {"Authorization": shown}
    answer = client.put("/v1/banks/first", json={"purpose": "harmful"}, headers=headers)
    assert (answer.status_code, answer.json["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "RateLimit" not in answer.headers


def test_the_secret_is_what_counts_not_the_name_of_the_key(client: FlaskClient, make: MakeKey) -> None:
    key = make(Scope.READ)
    for wrong in (key[:-1] + ("a" if key[-1] != "a" else "b"), key.upper(), key + "a", key[:-1], f"x{key}"):
        assert client.get("/v1/banks", headers=bearer(wrong)).status_code == 401
    assert client.get("/v1/banks", headers={"Authorization": f"bearer  {key}"}).status_code == 200


def test_wrong_keys_are_told_apart_by_nothing(client: FlaskClient, make: MakeKey) -> None:
    """Neither by the answer nor by the work: each is digested once and compared once, with as many bytes."""
    key = make(Scope.READ)
    told = set()
    for wrong in ("letmein", "afterimage_aaaaaaaaaaaa_" + "a" * 52, key[:-1] + ("a" if key[-1] != "a" else "b")):
        answer = client.get("/v1/banks", headers=bearer(wrong) | {"X-Request-ID": "same"})
        told.add((answer.status_code, answer.data, answer.headers["WWW-Authenticate"]))
    assert len(told) == 1


def test_every_key_that_is_shown_is_compared_once_and_whole(service: Runtime, make: MakeKey) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    keyring = Keyring(service.catalog.keys, compare=compare)
    right = make(Scope.READ)
    revoked = make(Scope.READ)
    service.catalog.keys.revoke(key_id_of(revoked))
    expired = make(Scope.READ, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    shown = [right, right[:-1] + "a", right[:-1] + "b", revoked, expired, "", "x", "\udcff", right.replace("_", "-")]
    for text in shown:
        with contextlib.suppress(NotAuthenticated):
            keyring.holder(text)
    assert compared == [(32, 32)] * len(shown)


def test_an_expired_key_is_refused_from_its_instant_on(service: Runtime, make: MakeKey) -> None:
    ends = datetime(2026, 12, 1, tzinfo=UTC)
    key = make(Scope.READ, expires_at=ends)
    now = ends - timedelta(microseconds=1)
    keyring = Keyring(service.catalog.keys, clock=lambda: now)
    assert keyring.holder(key).participant == "center"
    now = ends
    with pytest.raises(NotAuthenticated, match="expired"):
        keyring.holder(key)


def test_a_revoked_key_is_refused_from_the_next_request_on_in_every_worker(
    open_service: Callable[..., Runtime], service: Runtime, make: MakeKey
) -> None:
    clients = [create_app(service).test_client(), create_app(open_service()).test_client()]
    key = make(Scope.READ)
    assert [each.get("/v1/banks", headers=bearer(key)).status_code for each in clients] == [200, 200]
    service.catalog.keys.revoke(key_id_of(key))
    answers = [each.get("/v1/banks", headers=bearer(key)) for each in clients]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert "revoked" in answers[0].json["detail"]


def test_a_rotated_key_and_its_successor_both_work_until_the_grace_ends(
    client: FlaskClient, service: Runtime, make: MakeKey
) -> None:
    old = make(Scope.READ, note="desk")
    text, secret = make_key()
    new = service.catalog.keys.rotate(key_id_of(old), secret, datetime.now(UTC) + timedelta(hours=1))
    assert (new.scopes, new.note, new.participant) == (frozenset({Scope.READ}), "desk", "center")
    assert [client.get("/v1/banks", headers=bearer(key)).status_code for key in (old, text)] == [200, 200]
    later = Keyring(service.catalog.keys, clock=lambda: datetime.now(UTC) + timedelta(hours=2))
    assert later.holder(text).key_id == new.key_id
    with pytest.raises(NotAuthenticated, match="expired"):
        later.holder(old)


CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "match": ("POST", "/v1/match/embeddings", {"json": {"pdq": ["0" * 64]}}),
    "read": ("GET", "/v1/banks", {}),
    "curate": ("PUT", "/v1/banks/first", {"json": {"purpose": "harmful"}}),
    "audit": ("GET", "/v1/audit", {}),
}


@pytest.mark.parametrize("held", CALLS)
def test_a_key_allows_what_its_scopes_say_and_nothing_else(client: FlaskClient, make: MakeKey, held: str) -> None:
    key = make(Scope(held))
    for wanted, (method, path, rest) in CALLS.items():
        answer = client.open(path, method=method, headers=bearer(key), **rest)
        if held == wanted:
            assert answer.status_code < 300
        else:
            assert (answer.status_code, answer.json["type"]) == (403, "/problems/forbidden")
            assert f"`{wanted}`" in answer.json["detail"]
            assert f'error="insufficient_scope", scope="{wanted}"' in answer.headers["WWW-Authenticate"]


def test_what_was_refused_was_not_done(client: FlaskClient, make: MakeKey) -> None:
    reader = make(Scope.READ)
    assert client.put("/v1/banks/first", json={"purpose": "harmful"}, headers=bearer(reader)).status_code == 403
    assert client.get("/v1/banks", headers=bearer(reader)).json["items"] == []


@pytest.mark.parametrize(
    ("query", "scope"), [("record=true", "record"), ("min_band=none", "read"), ("explain=true", "read")]
)
def test_some_questions_need_more_than_the_right_to_ask(
    client: FlaskClient, make: MakeKey, jpeg: Jpeg, query: str, scope: str
) -> None:
    asking = make(Scope.MATCH)
    refused = client.post(f"/v1/match?{query}", data=jpeg(1), content_type="image/jpeg", headers=bearer(asking))
    assert (refused.status_code, f"`{scope}`" in refused.json["detail"]) == (403, True)
    allowed = make(Scope.MATCH, Scope(scope))
    answer = client.post(f"/v1/match?{query}", data=jpeg(1), content_type="image/jpeg", headers=bearer(allowed))
    assert answer.status_code == 200


def test_a_loopback_service_with_keys_answers_to_any_name(client: FlaskClient, make: MakeKey) -> None:
    elsewhere = {"Host": "afterimage.example"}
    assert client.get("/v1/banks", headers=elsewhere).status_code == 421
    key = make(Scope.READ)
    assert client.get("/v1/banks", headers=elsewhere | bearer(key)).status_code == 200


def test_others_find_the_door_shut_where_the_keys_are_gone(service: Runtime) -> None:
    """As after a catalog of another day was put in place: it does not fall open."""
    exposed = service.settings.model_copy(update={"host": "0.0.0.0"})  # noqa: S104 - that is the point
    service.doorkeeper = Doorkeeper(Keyring(service.catalog.keys), Budgets(exposed.data_dir / "budgets"), exposed)
    client = create_app(service).test_client()
    assert [client.get(path).status_code for path in ("/v1/banks", "/healthz")] == [401, 200]


def test_an_address_that_others_reach_is_served_once_a_key_exists(settings: Settings, make: MakeKey) -> None:
    exposed = settings.model_copy(update={"host": "0.0.0.0"})  # noqa: S104 - that is the point
    with pytest.raises(RefusedToStart, match="keys create"):
        refuse_open_doors(exposed)
    make(Scope.READ)
    refuse_open_doors(exposed)


def test_nobody_is_let_in_while_nobody_can_say_who_may(
    client: FlaskClient, service: Runtime, make: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make(Scope.READ)

    def gone() -> int:
        raise CatalogUnavailable("The catalog cannot be read.")

    monkeypatch.setattr(service.catalog.keys, "version", gone)
    assert client.get("/v1/banks", headers=bearer(key)).status_code == 503
    assert client.get("/healthz").status_code == 200


def test_when_a_key_was_last_used_is_noted_to_the_minute_and_off_the_way(
    client: FlaskClient, service: Runtime, make: MakeKey
) -> None:
    key = make(Scope.READ)
    before = datetime.now(UTC)
    client.get("/v1/banks", headers=bearer(key))
    (known,) = service.catalog.keys.ring().keys.values()
    assert known.last_used_at is None
    service.doorkeeper.keyring.note_uses()
    (known,) = service.catalog.keys.ring().keys.values()
    assert known.last_used_at is not None
    assert before <= known.last_used_at <= datetime.now(UTC)
    version = service.catalog.keys.version()
    client.get("/v1/banks", headers=bearer(key))
    service.doorkeeper.keyring.note_uses()
    assert service.catalog.keys.ring().keys[known.key_id].last_used_at == known.last_used_at
    assert service.catalog.keys.version() == version


def test_no_key_is_in_the_log_or_in_the_catalog(
    open_service: Callable[..., Runtime], settings: Settings, make: MakeKey
) -> None:
    log = io.StringIO()
    key = make(Scope.READ)
    client = create_app(open_service(log=log)).test_client()
    client.get("/v1/banks", headers=bearer(key))
    client.get("/v1/banks", headers=bearer(key[:-3] + "aaa"))
    secret = key.rpartition("_")[2][:16]  # enough of it that a misspelt one is found too
    assert secret not in log.getvalue()
    assert all(secret.encode() not in path.read_bytes() for path in settings.data_dir.iterdir() if path.is_file())


def test_scores_are_shown_in_steps_to_those_who_may_not_look_into_the_banks(client: FlaskClient, make: MakeKey) -> None:
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    known = np.zeros(48)
    known[0] = 1
    item = {"embedder_id": "toy-0123456789ab", "embeddings": [known.tolist()], "pdq": "0" * 64}
    assert client.post("/v1/banks/first/items", json=item).status_code == 201
    asked = np.zeros(48)
    asked[:2] = 0.8371, np.sqrt(1 - 0.8371**2)
    query = {"embedder_id": "toy-0123456789ab", "embeddings": [asked.tolist()], "pdq": ["0" * 59 + "7ffff"]}
    blind, seeing = make(Scope.MATCH), make(Scope.MATCH, Scope.READ)
    shown = [client.post("/v1/match/embeddings", json=query, headers=bearer(key)).json for key in (blind, seeing)]
    evidence = [answer["matches"][0] for answer in shown]
    assert [each["semantic"]["score"] for each in evidence] == [0.8, pytest.approx(0.8371, abs=1e-3)]
    assert [each["perceptual"]["distance"] for each in evidence] == [31, 19]
    assert shown[0]["verdict"] == shown[1]["verdict"]


def test_a_budget_of_a_key_goes_over_the_settings(client: FlaskClient, make: MakeKey) -> None:
    key = make(Scope.READ, allowance=Allowance(rate_per_s=0.2, queries_per_day=7))
    answer = client.get("/v1/banks", headers=bearer(key))
    assert answer.headers["RateLimit-Policy"] == '"requests";q=2;w=10, "queries";q=7;w=86400'
    assert answer.headers["RateLimit"].startswith('"requests";r=1;t=5, "queries";r=7;t=')


HOSTILE = "<script>alert(1)</script>\x1b[31m\x9b2J\u202eevil\r\nSet-Cookie: a=b\u2028'\"; DROP TABLE keys; --"


def test_html_and_control_characters_are_kept_as_data(client: FlaskClient, service: Runtime, make: MakeKey) -> None:
    key = make(*Scope, note=HOSTILE)
    labels = {"<img src=x onerror=alert(1)>": HOSTILE}
    put = client.put("/v1/banks/first", json={"purpose": "harmful", "labels": labels}, headers=bearer(key))
    assert put.status_code == 201
    answer = client.get("/v1/banks/first", headers=bearer(key))
    assert answer.json["labels"] == labels
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    audited = client.get("/v1/audit", headers=bearer(key))
    details = [entry["details"] for entry in audited.json["items"]]
    assert details[0]["note"] == HOSTILE
    assert details[1]["labels"] == labels
    assert service.catalog.audit.verify().broken is None
    assert service.catalog.keys.ring().keys[key_id_of(key)].note == HOSTILE


@pytest.mark.parametrize("name", ["<b>", "a\nb", "a\x1bb", "é", "x" * 65, "%3Cscript%3E"])
def test_a_name_with_anything_but_letters_and_digits_is_refused(shared_client: FlaskClient, name: str) -> None:
    refused = shared_client.get("/v1/audit", query_string={"participant": name})
    assert refused.status_code == 422
    json.loads(refused.data)
    assert name not in refused.text


def test_two_participants_may_choose_the_same_idempotency_key(client: FlaskClient, make: MakeKey, jpeg: Jpeg) -> None:
    one, other = make(*Scope), make(*Scope, participant="second")
    client.put("/v1/banks/first", json={"purpose": "harmful"}, headers=bearer(one))

    def add(key: str, seed: int) -> Any:
        headers = bearer(key) | {"Idempotency-Key": "1"}
        return client.post("/v1/banks/first/items", data=jpeg(seed), content_type="image/jpeg", headers=headers)

    assert [add(one, 1).status_code, add(other, 2).status_code] == [201, 201]
    assert [add(one, 2).status_code, add(other, 2).status_code] == [422, 201]
