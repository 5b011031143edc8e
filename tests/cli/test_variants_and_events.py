"""`variants`, `clusters` and `events`: what spreads, on a service and on a data directory, and what happens."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.catalog import Catalog
from index.catalog.duties import Step, Turn
from index.records.banks import Purpose
from index.records.changes import Version
from index.records.sightings import EdgeRows, NewSighting, SightedFrame
from index.records.spaces import SpaceId
from service.cli.events import show
from service.client import Client, ServiceProblem, ServiceUnreachable
from service.duties.keeper import DutyKeeper
from service.events.listening import Place, listen
from service.logs import open_log
from service.metrics import Metrics
from service.variants.clustering import FindClusters

Run = Callable[..., Any]
SPACE = SpaceId("test-000000000000")
HOSTILE = "<b>\x1b[2J\u202e"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with an incident, and two uploads alike that nothing is known of."""
    with closing(Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")) as catalog:
        catalog.register_space(SPACE, 4)
        catalog.put_bank("footage", Purpose.HARMFUL)
        row = np.array([[1, 0, 0, 0]], np.float32)
        for platform in ("a.example", HOSTILE):
            frame = SightedFrame(0, bytes(32), 90, {SPACE: row})
            new = NewSighting(
                platform, None, None, None, None, "image", "none", "none", (), Version(0), (frame,)
            )  # fmt: skip
            catalog.sightings.record(new, timedelta(days=7))
        keeper = DutyKeeper([_Linked(catalog), _clusters(catalog)], catalog.duties, open_log("error"), Metrics())
        keeper.work_through()
        keeper.close()
    return tmp_path


class _Linked:
    name = "link"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def step(self, turn: Turn) -> bool:
        if self._catalog.duties.cursor("link") == 0:
            one = np.array([2]), np.array([1]), np.array([1.0]), np.array([0])
            self._catalog.sightings.link(Step(turn, "link", 2), EdgeRows(*one))
        return False


def _clusters(catalog: Catalog) -> FindClusters:
    bounds = np.array([[0.8, 0.6]], np.float32)
    return FindClusters(catalog, lambda: SPACE, lambda _, rows: np.repeat(bounds, len(rows), 0), 2, Metrics())


def opened(run: Run, data: Path) -> str:
    return str(run("incidents", "create", "attack", "--bank", "footage", "--data-dir", data).out.strip())


def test_clusters_are_listed_and_somebodys_text_does_not_steer_the_terminal(run: Run, data: Path) -> None:
    ended = run("clusters", "--data-dir", data)
    assert ended.code == 0
    assert "a.example" in ended.out
    assert "\x1b[2J" not in ended.out
    (cluster,) = json.loads(run("clusters", "--json", "--data-dir", data).out)
    assert (cluster["sightings"], cluster["matched"]) == (2, 0)
    assert {count["platform"] for count in cluster["counts"]} == {"a.example", HOSTILE}


def test_a_variant_is_banked_from_the_command_line(run: Run, data: Path) -> None:
    incident = opened(run, data)
    assert run("variants", incident, "--data-dir", data).out == ""
    (cluster,) = json.loads(run("clusters", "--json", "--data-dir", data).out)
    made = run("variants", incident, "--bank-from", cluster["cluster_id"], "--data-dir", data)
    assert made.code == 0, made.err
    assert made.out == run("variants", incident, "--bank-from", cluster["cluster_id"], "--data-dir", data).out
    (variant,) = json.loads(run("variants", incident, "--json", "--data-dir", data).out)
    assert [item["item_id"] for item in variant["banked"]] == [made.out.strip()]
    assert "footage" in run("variants", incident, "--data-dir", data).out
    assert run("variants", "0" * 28, "--data-dir", data).code == 2


def test_a_service_lists_what_a_data_directory_does(run: Run, service_url: str) -> None:
    assert json.loads(run("clusters", "--json", "--url", service_url).out) == []
    incident = run("incidents", "create", "empty", "--url", service_url).out.strip()
    assert json.loads(run("variants", incident, "--json", "--url", service_url).out) == []
    assert "none" in run("variants", incident, "--url", service_url).err


def test_events_are_told_until_now_and_from_where_one_was(run: Run, service_url: str) -> None:
    run("incidents", "create", "told", "--url", service_url)
    ended = run("events", "follow", "--url", service_url, "--since", "0", "--end", "--json")
    assert ended.code == 0, ended.err
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert "incident_transition" in {event["event"] for event in told}
    again = run("events", "follow", "--url", service_url, "--since", told[-1]["id"], "--end")
    assert (again.code, again.out) == (0, "")
    assert run("events", "follow", "--url", service_url, "--since", "999999", "--end").code == 1  # some were missed
    assert run("events", "follow", "--url", service_url, "--kind", "gossip", "--end").code == 2
    assert run("events", "follow").code == 2


class _Lines:
    """A service that answers with these lines, a connection each, and then not any more."""

    def __init__(self, *connections: list[bytes] | Exception) -> None:
        self._connections = list(connections)
        self.asked: list[str | None] = []

    @contextmanager
    def streaming(self, *asked: Any, **_: object) -> Iterator[Iterator[bytes]]:
        self.asked.append(asked[2].get("Last-Event-ID"))
        lines = self._connections.pop(0)
        if isinstance(lines, Exception):
            raise lines
        yield iter(lines)


def test_a_lost_connection_is_made_again_where_one_was() -> None:
    one = [b"retry: 10\n", b"id: 1-aa\n", b"\n", b"id: 2-aa\n", b"event: match\n", b'data: {"seq": 2}\n', b"\n"]
    cut = [b"id: 3-aa\n", b"event: match\n", b'data: {"seq": 3}\n']  # it was not told whole
    rest = [b": \n", b"id: 4-aa\n", b"\n", b"id: 5-aa\r\n", b"event: gap\r\n", b'data: {"reason":"x"}\r\n', b"\r\n"]
    gone = ServiceProblem(404, {"title": "gone"})
    lines = _Lines(one, ServiceUnreachable("away"), ServiceUnreachable("away"), cut, rest, gone)
    waits: list[float] = []
    place = Place()
    coming = listen(lines, {}, place, sleep=waits.append)  # type: ignore[arg-type]
    heard = [(event["id"], event["event"]) for event in (next(coming), next(coming))]
    with pytest.raises(ServiceProblem):
        next(coming)
    assert heard == [("2-aa", "match"), ("5-aa", "gap")]
    assert lines.asked == [None, "2-aa", "2-aa", "2-aa", "2-aa", "5-aa"]
    assert waits == pytest.approx([0.01, 0.01, 0.02, 0.01, 0.01])


def test_a_client_hears_what_a_catalog_tells(service_url: str) -> None:
    place = Place()
    heard = list(listen(Client(service_url), {"follow": "false"}, place, reconnect=False))
    assert heard == []
    assert place.last_event_id is not None


def test_hostile_text_in_an_event_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show({"event": HOSTILE, "at": HOSTILE, "platform": HOSTILE, "data": {"note": HOSTILE}})
    said = capsys.readouterr().out
    assert "<b>" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
