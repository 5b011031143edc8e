"""The HTTP client, against a server that says what it is told to."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.client import UPLOAD_PROBLEMS, Client, NotAfterimage, ServiceProblem, ServiceUnreachable
from service.problem_types import PROBLEMS


@dataclass
class Script:
    """What to answer next, and what was asked."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    def will_answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.answers.append((status, headers or {}, body))


@dataclass
class Server:
    script: Script
    url: str


@pytest.fixture
def server() -> Iterator[Server]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.requests.append((self.command, self.path, body))
            script.connections.add(self.client_address)
            status, headers, answer = script.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = headers.get("Connection") == "close" or "Drop" in headers

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - names that the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name for it
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(script, f"http://127.0.0.1:{listening.server_address[1]}")
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, pauses: list[float]) -> Iterator[Client]:
    client = Client(server.url, timeout_s=5, patience_s=10, sleep=pauses.append)
    yield client
    client.close()


def test_the_bytes_go_as_they_are(server: Server, client: Client) -> None:
    server.script.will_answer(200, {"verdict": {}})
    client.match(b"\x00\xffpicture", {"bank": ("a", "b"), "k": 3})
    assert server.script.requests == [("POST", "/v1/match?bank=a&bank=b&k=3", b"\x00\xffpicture")]


def test_a_bank_of_any_name_is_one_part_of_the_path(server: Server, client: Client) -> None:
    server.script.will_answer(200, {"bank": "a/b ?"})
    client.put_bank("a/b ?", "harmful")
    assert server.script.requests[0][1] == "/v1/banks/a%2Fb%20%3F"


def test_whether_an_item_is_new_is_told_by_the_status(server: Server, client: Client) -> None:
    server.script.will_answer(201, {"item_id": "x"})
    server.script.will_answer(200, {"item_id": "x"})
    assert client.add_item("first", b"picture") == ({"item_id": "x"}, True)
    assert client.add_item("first", b"picture") == ({"item_id": "x"}, False)


def test_a_list_is_followed_to_its_end(server: Server, client: Client) -> None:
    server.script.will_answer(200, {"items": [{"bank": "a"}], "next": "further"})
    server.script.will_answer(200, {"items": [{"bank": "b"}], "next": None})
    assert [bank["bank"] for bank in client.banks()] == ["a", "b"]
    assert server.script.requests[1][1] == "/v1/banks?limit=100&cursor=further"


def test_a_connection_is_kept(server: Server, client: Client) -> None:
    for _ in range(3):
        server.script.will_answer(200, {})
        client.get("/healthz")
    assert len(server.script.connections) == 1


def test_a_connection_that_the_other_side_dropped_is_made_anew(server: Server, client: Client) -> None:
    # "Drop" closes it without saying so, as a server does that is reloaded.
    server.script.will_answer(200, {}, {"Drop": "yes"})
    server.script.will_answer(200, {"second": True})
    client.get("/healthz")
    assert client.get("/healthz") == {"second": True}


def test_a_busy_service_is_asked_again_after_the_time_it_names(
    server: Server, client: Client, pauses: list[float]
) -> None:
    problem = {"type": "/problems/queue-full", "detail": "Too much is waiting already."}
    server.script.will_answer(503, problem, {"Retry-After": "2"})
    server.script.will_answer(503, problem, {"Retry-After": "3"})
    server.script.will_answer(200, {"verdict": {}})
    assert client.match(b"picture") == {"verdict": {}}
    assert pauses == [2.0, 3.0]


def test_a_service_that_stays_busy_is_given_up_on(server: Server, client: Client, pauses: list[float]) -> None:
    for _ in range(6):
        server.script.will_answer(503, {"type": "/problems/queue-full", "detail": "Full."}, {"Retry-After": "4"})
    with pytest.raises(ServiceProblem, match="Full"):
        client.match(b"picture")
    assert sum(pauses) == pytest.approx(10)


def test_a_problem_carries_its_kind_and_its_sentence(server: Server, client: Client) -> None:
    server.script.will_answer(422, {"type": "/problems/corrupt-media", "detail": "The picture is truncated."})
    with pytest.raises(ServiceProblem, match="The picture is truncated") as caught:
        client.match(b"picture")
    assert caught.value.kind == "corrupt-media"
    assert caught.value.upload_at_fault


def test_a_missing_bank_is_not_the_uploads_fault(server: Server, client: Client) -> None:
    server.script.will_answer(404, {"type": "/problems/unknown-bank", "detail": "There is no bank x."})
    with pytest.raises(ServiceProblem) as caught:
        client.match(b"picture", {"bank": "x"})
    assert not caught.value.upload_at_fault


@pytest.mark.parametrize("status", [200, 404])
def test_somebody_elses_server_is_recognised(server: Server, client: Client, status: int) -> None:
    server.script.will_answer(status, b"<html>Welcome to another program</html>")
    with pytest.raises(NotAfterimage, match="Is the URL right"):
        client.match(b"picture")


def test_an_address_where_nobody_listens_gets_advice() -> None:
    # Port 1 is nobody's on a loopback address.
    with pytest.raises(ServiceUnreachable, match="afterimage serve"):
        Client("http://127.0.0.1:1").match(b"picture")


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://", "://", "http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1"]
)
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(ServiceUnreachable, match="not the address of a service"):
        Client(url)


def test_a_host_that_cannot_be_written_on_the_wire_is_not_reached() -> None:
    with pytest.raises(ServiceUnreachable, match="cannot be reached"):
        Client("http://a..b").get("/healthz")


def test_an_address_may_go_without_its_scheme(server: Server) -> None:
    server.script.will_answer(200, {})
    client = Client(server.url.removeprefix("http://"))
    assert client.get("/healthz") == {}
    client.close()


def test_every_problem_of_an_upload_is_one_the_service_knows() -> None:
    assert {problem.slug for problem in PROBLEMS} >= UPLOAD_PROBLEMS


def test_labels_go_beside_the_file(server: Server, client: Client) -> None:
    server.script.will_answer(201, {"item_id": "x"})
    client.add_item("first", b"\r\n--picture", {"source": "list"})
    body = server.script.requests[0][2]
    assert b'name="labels"\r\n\r\n{"source": "list"}\r\n' in body
    assert b"\r\n\r\n\r\n--picture\r\n--" in body
