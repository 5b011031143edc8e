"""`afterimage incidents`, on a running service and on a data directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import BadSettings
from service.incidents.types import IncidentTypes

Run = Callable[..., Any]
Place = tuple[str, str]


@pytest.fixture
def incidents(run: Run, place: Place) -> Run:
    return lambda *arguments: run("incidents", *arguments, *place)


def test_an_incident_goes_from_a_name_to_a_report(incidents: Run) -> None:
    ended = incidents("create", "Attack \x1b[31m<b>", "--type", "content-incident", "--met", "mass-violence")
    assert ended.code == 0, ended.err
    own = ended.out.strip()
    early = incidents("advance", own, "confirmed", "--reason", "sure", "--participant", "north")
    assert (early.code, "awareness" in early.err) == (2, True)
    assert incidents("advance", own, "assessing", "--reason", "two reports").code == 0
    unmet = incidents("advance", own, "confirmed", "--reason", "sure", "--participant", "north")
    assert (unmet.code, "shows-killing" in unmet.err) == (2, True)
    met = ("--met", "content-by-perpetrator", "--met", "shows-killing")
    first = incidents("advance", own, "confirmed", "--reason", "sure", "--participant", "north", *met)
    assert (first.code, "another organisation" in first.err) == (0, True)
    second = incidents("advance", own, "confirmed", "--reason", "sure too", "--participant", "south", *met, "--json")
    assert json.loads(second.out)["state"] == "confirmed", "what is met already takes no confirmation back"
    shown = incidents("show", own).out
    assert "\\x1b[31m<b>" in shown
    assert "confirmed, by south: sure too" in shown
    listed = json.loads(incidents("list", "--state", "confirmed", "--json").out)
    assert own in [each["incident_id"] for each in listed]
    assert own in incidents("list").out
    report = json.loads(incidents("report", own, "--json").out)
    assert (report["confirmed_by"], report["uploads"]["total"]) == (["north", "south"], 0)
    assert "confirmed by" in incidents("report", own).out


def test_a_mistake_is_said_and_nothing_is_done(incidents: Run) -> None:
    assert incidents("show", "0" * 28).code == 2
    assert incidents("create", "x", "--type", "two words").code == 2
    assert "two words" not in incidents("list").out


@pytest.mark.parametrize(
    "content",
    ["{", "[]x", '[{"name": "two words", "title": "x"}]', '[{"name": "a"}]', '[{"name": "a", "title": "", "x": 1}]'],
)
def test_a_registry_of_types_that_is_none_keeps_the_service_from_starting(tmp_path: Path, content: str) -> None:
    path = tmp_path / "types.json"
    path.write_text(content)
    with pytest.raises(BadSettings, match="incident types"):
        IncidentTypes.load(path)
    with pytest.raises(BadSettings, match="cannot be read"):
        IncidentTypes.load(tmp_path / "missing.json")
