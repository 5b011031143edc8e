"""What watches over the service: health, readiness, figures, logs, ids, headers, the pages."""

import io
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.errors import EmbeddingFailed
from service.admission import Admission
from service.app import create_app
from service.errors import Overloaded
from service.logs import ServerLog
from service.readiness import canary
from service.runtime import Runtime

Jpeg = Callable[[int], bytes]


def figures(client: FlaskClient) -> dict[str, float]:
    lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_it_is_healthy_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "ready")
    assert ready.json["checks"] == {"catalog": "ok", "models": "ok", "index": "ok"}


def test_the_canary_is_a_picture_with_enough_to_see(service: Runtime) -> None:
    media = service.decoder.decode(canary())
    assert (media.format.lower(), media.low_information) == ("bmp", False)
    assert media.frames[0].pdq_quality >= 50


def test_a_model_that_fails_makes_it_not_ready_and_says_which_part(
    open_service: Callable[..., Runtime], toy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = toy()

    def fail(_: object) -> None:
        raise EmbeddingFailed("no")

    monkeypatch.setattr(embedder, "embed", fail)
    client = create_app(open_service(embedder)).test_client()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/not-ready")
    assert answer.json["checks"] == {"catalog": "ok", "models": "failed: EmbeddingFailed", "index": "ok"}
    assert client.get("/healthz").status_code == 200


def test_readiness_is_looked_at_once_and_then_remembered(
    open_service: Callable[..., Runtime], toy: Callable[..., Any]
) -> None:
    embedder = toy()
    client = create_app(open_service(embedder)).test_client()
    for _ in range(5):
        assert client.get("/readyz").status_code == 200
    assert embedder.embedded == 1


def test_a_draining_service_is_not_ready(service: Runtime) -> None:
    client = create_app(service).test_client()
    service.readiness.drain()
    assert client.get("/readyz").json["checks"] == {"service": "draining"}


def test_figures_count_what_was_answered(client: FlaskClient, jpeg: Jpeg) -> None:
    client.put("/v1/banks/first", json={"purpose": "harmful"})
    client.post("/v1/banks/first/items", data=jpeg(1), content_type="image/jpeg")
    client.post("/v1/match", data=jpeg(1), content_type="image/jpeg")
    client.post("/v1/match", data=b"nonsense", content_type="image/jpeg")
    seen = figures(client)
    assert seen['afterimage_matches_total{band="exact",bank="first"}'] == 1
    assert seen['afterimage_verdicts_total{band="exact",suggested_action="block"}'] == 1
    assert seen['afterimage_media_failures_total{kind="UnsupportedMedia"}'] == 1
    assert seen['afterimage_stage_seconds_count{stage="embed"}'] == 1
    assert seen['afterimage_request_seconds_count{method="POST",route="/v1/match",status="200"}'] == 1
    assert seen["afterimage_index_version"] == 2
    assert seen["afterimage_index_current_timestamp_seconds"] > 1.7e9
    assert seen["afterimage_requests_in_flight"] == 1  # the one that asks


def test_a_visitor_cannot_invent_figures(client: FlaskClient) -> None:
    before = len(figures(client))
    for method in ("FOO", "BAR", "BREW"):
        client.open("/healthz", method=method)
        client.open(f"/{method}", method=method)
    assert figures(client)['afterimage_request_seconds_count{method="other",route="none",status="404"}'] == 3
    assert not [name for name in figures(client) if "BREW" in name]
    assert len(figures(client)) < before + 100


def test_a_full_house_refuses_at_once_with_retry_after(service: Runtime, jpeg: Jpeg) -> None:
    entered, leave = threading.Semaphore(0), threading.Event()
    match = service.matcher.match

    def slow(data: bytes, options: Any) -> Any:
        entered.release()
        leave.wait(10)
        return match(data, options)

    service.matcher.match = slow  # type: ignore[method-assign]
    app = create_app(service)

    def ask(answers: list[int]) -> None:
        answers.append(app.test_client().post("/v1/match", data=jpeg(1), content_type="image/jpeg").status_code)

    answers: list[int] = []
    callers = [threading.Thread(target=ask, args=(answers,)) for _ in range(service.settings.in_flight)]
    for caller in callers:
        caller.start()
        assert entered.acquire(timeout=10)
    refused = app.test_client().post("/v1/match", data=jpeg(1), content_type="image/jpeg")
    assert (refused.status_code, refused.json["type"]) == (503, "/problems/queue-full")
    assert int(refused.headers["Retry-After"]) >= 1
    assert figures(app.test_client())['afterimage_refused_total{why="queue-full"}'] == 1
    assert app.test_client().get("/healthz").status_code == 200
    leave.set()
    for caller in callers:
        caller.join()
    assert answers == [200] * len(callers)


def test_a_place_is_free_again_whatever_happened_in_it() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission.place():
        raise ZeroDivisionError
    with admission.place(), pytest.raises(Overloaded), admission.place():
        pass


@pytest.mark.parametrize("given", ["r-1", "a" * 128, "0af7651916cd43dd8448eb211c80319c", "A.b:c_d"])
def test_a_request_id_comes_back(client: FlaskClient, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "<script>", "é", "{}"])
def test_a_request_id_that_cannot_be_shown_is_replaced(client: FlaskClient, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] not in {given, ""}


def test_logs_are_json_and_hold_no_content(open_service: Callable[..., Runtime], jpeg: Jpeg) -> None:
    log = io.StringIO()
    client = create_app(open_service(log=log)).test_client()
    name = "somebody"
    client.put(f"/v1/banks/{name}", json={"purpose": "harmful", "labels": {"x": name}})
    upload = {"media": (io.BytesIO(jpeg(1)), f"{name}.jpg")}
    client.post(f"/v1/banks/{name}/items", data=upload, headers={"X-Request-ID": "r-7"})
    client.get(f"/v1/{name}?{name}={name}")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert name not in log.getvalue()
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v1/banks/<bank>", 201),
        ("/v1/banks/<bank>/items", 201),
        ("none", 404),
    ]
    assert lines[1]["request_id"] == "r-7"


@pytest.mark.parametrize(("level", "lines"), [("info", 2), ("error", 1)])
def test_the_server_s_own_words_keep_to_the_level_that_was_set(
    level: str, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log = ServerLog(SimpleNamespace(loglevel=level))
    log.info("listening")
    log.error("gone")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_an_unforeseen_error_is_answered_and_logged_without_its_message(
    open_service: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    service = open_service(log=log)

    def fail(*_: object) -> None:
        raise RuntimeError("secret.jpg")

    monkeypatch.setattr(service.catalog, "banks", fail)
    answer = create_app(service).test_client().get("/v1/banks")
    assert (answer.status_code, answer.json["type"]) == (500, "/problems/internal-error")
    assert "secret" not in answer.text + log.getvalue()
    assert "RuntimeError" in log.getvalue()


def test_answers_are_neither_guessed_at_nor_kept_nor_framed(client: FlaskClient) -> None:
    for path in ("/healthz", "/docs", "/v1/banks", "/nothing"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY"


def test_a_page_of_another_site_cannot_ask_a_service_that_trusts_its_machine(client: FlaskClient) -> None:
    strange = client.put("/v1/banks/x", json={"purpose": "harmful"}, headers={"Sec-Fetch-Site": "cross-site"})
    renamed = client.get("/v1/banks", headers={"Host": "rebound.example:8080"})
    assert (strange.status_code, renamed.status_code) == (421, 421)
    assert renamed.json["type"] == "/problems/unknown-host"
    for host in ("127.0.0.1:8080", "localhost", "LocalHost:8080", "[::1]:8080"):
        assert client.get("/v1/banks", headers={"Host": host}).status_code == 200


def test_the_docs_page_takes_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in ("viewer.js", "viewer.css"):
        assert f"/docs/{name}" in page.text
        text = client.get(f"/docs/{name}").text
        assert "http://" not in text
        assert "https://" not in text
    assert client.get("/docs/other.js").status_code == 404


def test_the_description_is_openapi_3_1(client: FlaskClient) -> None:
    description = client.get("/openapi.json").json
    assert description["openapi"].startswith("3.1")
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert {"operationId", "summary", "responses"} <= set(operation), (method, path)
