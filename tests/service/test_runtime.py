"""What a runtime opens is closed, whatever happens; what goes on beside the requests goes on."""

import io
import json
import shutil
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from index.data_directory import DataDirectory
from service import runtime
from service.errors import BadSettings
from service.logs import open_log
from service.runtime import Runtime
from service.server import _opened
from service.settings import Settings
from service.spaces.space_set import LiveSpaces
from service.upkeep import Ticker


class NoDecoder:
    """Decodes nothing, and notes which threads are alive when it is closed."""

    def __init__(self) -> None:
        self.closed_beside: list[set[threading.Thread]] = []

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.closed_beside.append(set(threading.enumerate()))


@pytest.fixture
def decoder_of_none(monkeypatch: pytest.MonkeyPatch, settings: Settings, empty_catalog: Path) -> NoDecoder:
    """Whoever opens a runtime has this decoder, and no model."""
    decoder = NoDecoder()
    monkeypatch.setattr(runtime, "_decoder", lambda _: decoder)
    monkeypatch.setattr(runtime, "open_spaces", lambda *_: LiveSpaces(()))
    shutil.copy(empty_catalog, settings.data_dir / "catalog.db")
    return decoder


@pytest.mark.parametrize(
    "failing", ["open_views", "open_originals", "bundled_weighing", "duty_keeper", "SpaceKeeper", "Ticker"]
)
def test_what_was_opened_is_closed_when_the_next_part_fails(
    failing: str, settings: Settings, decoder_of_none: NoDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BadSettings("It cannot be opened.")

    monkeypatch.setattr(runtime, failing, fail)
    before = set(threading.enumerate())
    with pytest.raises(BadSettings):
        Runtime.open(settings)
    assert len(decoder_of_none.closed_beside) == 1
    assert set(threading.enumerate()) <= before
    DataDirectory(settings.data_dir).close()


def test_work_beside_the_requests_has_ended_when_the_parts_are_closed(
    settings: Settings, decoder_of_none: NoDecoder
) -> None:
    before = set(threading.enumerate())
    opened = Runtime.open(settings)
    opened.work_on_jobs()
    opened.work_on_duties()
    at_work = {thread.name for thread in set(threading.enumerate()) - before}
    assert at_work >= {"follower", "jobs", "duties"}
    opened.close()
    opened.close()
    (beside,) = decoder_of_none.closed_beside
    assert {thread.name for thread in beside - before} & at_work == set()
    DataDirectory(settings.data_dir).close()


def test_what_fails_once_beside_the_requests_is_told_and_done_again() -> None:
    said, again, times = io.StringIO(), threading.Event(), iter(range(10**9))

    def tick() -> None:
        if next(times) == 0:
            raise KeyError("a secret")
        again.set()

    ticker = Ticker(tick, 0.001, open_log("info", said))
    assert again.wait(10)
    ticker.close()
    (line,) = map(json.loads, said.getvalue().splitlines())
    assert (line["level"], line["error"]) == ("warning", "KeyError")
    assert "a secret" not in said.getvalue()


def test_a_worker_that_cannot_answer_closes_what_it_opened(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opened:
        """As far as a worker that begins needs one."""

        closed = False

        @property
        def readiness(self) -> Self:
            return self

        def check(self) -> None:
            """Well."""

        def work_on_jobs(self) -> None:
            raise BadSettings("There is no room for jobs.")

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.closed = True

    opened = Opened()

    def given(*_: object, **__: Any) -> Opened:
        return opened

    monkeypatch.setattr(Runtime, "open", given)
    monkeypatch.setattr("service.app.create_app", lambda _: None)
    monkeypatch.setattr("models.openclip.use_threads", lambda _: None)
    with DataDirectory(tmp_path / "held") as held, pytest.raises(BadSettings):
        _opened(settings, held, open_log("error", io.StringIO()))
    assert opened.closed
