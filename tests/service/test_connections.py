"""One connection does not hold up the others, whatever its other side does."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from gunicorn.http.errors import InvalidRequestLine, LimitRequestLine

from service.connections import Patience, refuse, say_goodbye
from service.logs import open_log

LONG_S = 30.0


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def connect() -> Iterator[Callable[[], Pair]]:
    """Makes connections: our side and theirs."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def connected() -> Pair:
            theirs = stack.enter_context(socket.create_connection(listener.getsockname(), LONG_S))
            ours = stack.enter_context(listener.accept()[0])
            ours.settimeout(LONG_S)
            return ours, theirs

        yield connected


@pytest.fixture
def pair(connect: Callable[[], Pair]) -> Pair:
    return connect()


def test_a_request_that_does_not_arrive_is_cut_off_and_can_still_be_answered(pair: Pair) -> None:
    ours, theirs = pair
    patience = Patience(arrival_s=0.1, whole_s=LONG_S)
    with patience.watch(ours):
        theirs.sendall(b"half")
        assert ours.recv(100) == b"half"
        assert ours.recv(100) == b""
        ours.sendall(b"too late")
    patience.close()
    assert theirs.recv(100) == b"too late"


def test_an_answer_that_nobody_takes_is_given_up(pair: Pair) -> None:
    ours, _ = pair
    patience = Patience(arrival_s=0.05, whole_s=0.1)
    with patience.watch(ours), pytest.raises(BrokenPipeError):
        ours.sendall(bytes(1 << 26))
    patience.close()


def test_a_connection_is_left_alone_after_its_request(connect: Callable[[], Pair]) -> None:
    (ours, theirs), (other, _) = connect(), connect()
    patience = Patience(arrival_s=0.05, whole_s=LONG_S)
    with patience.watch(ours):
        pass
    with patience.watch(other):
        assert other.recv(1) == b""  # its time is up, and so would have been that of the first
    patience.close()
    theirs.sendall(b"next")
    assert ours.recv(4) == b"next"


def test_what_is_left_of_a_body_is_taken_so_that_its_sender_gets_to_the_answer(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(bytes(100_000))
    ours.sendall(b"503")
    theirs.shutdown(socket.SHUT_WR)
    say_goodbye(ours)
    assert ours.recv(1) == b""
    assert theirs.recv(10) == b"503"


def test_after_the_goodbye_nobody_waits_for_a_visitor_who_stays(pair: Pair) -> None:
    ours, _ = pair
    say_goodbye(ours, patience_s=0.05)
    assert ours.recv(1) == b""


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequestLine("GET /secret"), 400, "/problems/bad-request"),
        (LimitRequestLine(9000, 8190), 414, "about:blank"),
        (RuntimeError("secret"), 500, "/problems/internal-error"),
    ],
)
def test_what_is_no_request_is_refused_with_a_problem_that_repeats_nothing(
    pair: Pair, error: Exception, status: int, kind: str
) -> None:
    ours, theirs = pair
    log = io.StringIO()
    refuse(ours, error, open_log("info", log))
    ours.close()
    head, _, body = theirs.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in head
    told = json.loads(body)
    assert (told["status"], told["type"]) == (status, kind)
    assert told["instance"].encode() in head
    assert "secret" not in log.getvalue() + body.decode()
    assert json.loads(log.getvalue())["request_id"] == told["instance"]
