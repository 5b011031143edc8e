"""`afterimage reindex`, against a service."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from service.app import create_app
from service.cli import main

OLD, NEW = "old-000000000000", "new-111111111111"
Worker = Any  # of conftest.py
Clock = Any
Jpeg = Callable[[int], bytes]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its own name for it
        pass


@pytest.fixture
def run(worker: Worker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `afterimage reindex` with the arguments, on the worker's service."""
    server = make_server("127.0.0.1", 0, create_app(worker.runtime), threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("AFTERIMAGE_URL", f"http://127.0.0.1:{server.server_port}")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["afterimage", "reindex", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    try:
        yield run
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_move_from_its_beginning_to_its_end(
    run: Run, worker: Worker, clock: Clock, jpeg: Jpeg, tmp_path: Path
) -> None:
    worker.bank(jpeg(1))
    begun = json.loads(run("--model", "new", "--no-wait", "--json").out)
    assert worker.work_through(begun["job_id"])["state"] == "succeeded"
    clock.pass_by(5)
    worker.tend()
    status = run("status")
    assert status.code == 0
    assert "1 items filled, 0 to be filled, 0 without an original" in status.out
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "known.jpg").write_bytes(jpeg(1))
    (tmp_path / "asked" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    compared = run("compare", tmp_path / "asked")
    assert (compared.code, compared.out) == (1, "1 verdicts are the same, 0 would change.\n")
    assert "broken.jpg" in compared.err
    assert run("promote").code == 0
    assert worker.match(jpeg(1))["embedder_id"] == NEW
    assert run("rollback").code == 0
    assert worker.match(jpeg(1))["embedder_id"] == OLD
    assert json.loads(run("promote", "new", "--json").out)["stage"] == "served"
    dropped = json.loads(run("drop", "--no-wait", "--json").out)
    assert (dropped["kind"], dropped["options"]) == ("purge", {"space": OLD})
    listed = json.loads(run("status", "--json").out)["spaces"]
    assert {space["embedder_id"]: space["stage"] for space in listed} == {OLD: "dropped", NEW: "served"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("promote",), "Say which space is meant"),
        (("promote", "nobody"), "is no space, or several"),
        (("drop", OLD), "is served, not"),
        (("rollback",), "Say which space is meant"),
        (("compare", "nothing"), "Say which space is meant"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(run: Run, arguments: tuple[str, ...], says: str) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_who_does_not_wait_has_done_what_was_asked_and_who_stops_waiting_has_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = run("--model", "new", "--no-wait")
    assert (begun.code, "is queued" in begun.err) == (0, True)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.cli.job_watch.time.sleep", interrupted)
    stopped = run("--model", "new", "--json")
    assert (stopped.code, json.loads(stopped.out)["state"]) == (130, "queued")


def test_without_a_model_it_says_how_it_is_used(run: Run) -> None:
    ended = run()
    assert ended.code == 2
    assert "--model" in ended.out
