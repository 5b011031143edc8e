"""`afterimage rehearse`, against a service that is running."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.client import Client
from service.rehearsal.desk import refuse_real_incidents
from service.rehearsal.errors import RealIncident

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in which enough happens."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(18):
        coarse = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
        Image.fromarray(coarse).resize((240, 180), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def test_a_rehearsal_plays_an_event_end_to_end_and_leaves_nothing_that_acts(
    run: Run, service_url: str, photos: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "plots" / "rehearsal.png"
    flags = ("--photos", photos, "--versions", 12, "--benign", 10, "--hours", 1, "--output", plot, "--json")
    ended = run("rehearse", "--url", service_url, *flags)
    answer = json.loads(ended.out)
    assert answer["remarks"] == []
    assert answer["versions"] == 16  # the troll's four are versions as well
    assert answer["caught"] == sum(answer["by_means"].values()) > 0
    assert answer["by_means"]["match"] > 0
    assert answer["by_means"]["retro_scan"] > 0, "what came before the report was found by looking back"
    assert [each["says"] for each in answer["milestones"]][-1] == "concluding"
    assert answer["event_delay_ms"]["events"] > 0
    with Image.open(plot) as opened:
        assert opened.format == "PNG"
    client = Client(service_url)
    assert not [bank for bank in client.banks() if bank["bank"].startswith("rehearsal-")]
    states = {each["state"] for each in client.listed("/v1/incidents")}
    assert states == {"debriefed"}


def test_a_rehearsal_is_refused_while_a_real_incident_is_under_way(service_url: str) -> None:
    client = Client(service_url)
    made, _ = client.send("POST", "/v1/incidents", {"name": "A real one", "type": "local"})
    path = f"/v1/incidents/{made['incident_id']}/transitions"
    try:
        refuse_real_incidents(client)  # nobody has confirmed it
        for to, participant in (("assessing", "a"), ("confirmed", "a"), ("confirmed", "b")):
            client.send("POST", path, {"to": to, "reason": "It is.", "participant": participant})
        with pytest.raises(RealIncident):
            refuse_real_incidents(client)
    finally:
        client.send("POST", path, {"to": "withdrawn", "reason": "A test.", "participant": "a"})


def test_a_rehearsal_needs_a_service_that_answers(run: Run, photos: Path) -> None:
    ended = run("rehearse", "--url", "http://127.0.0.1:9", "--photos", photos)
    assert ended.code == 2
    assert "Nothing listens" in ended.err


def test_a_rehearsal_needs_enough_pictures(run: Run, service_url: str, photos: Path) -> None:
    ended = run("rehearse", "--url", service_url, "--photos", photos, "--benign", 200)
    assert ended.code == 2
    assert "different pictures are needed" in ended.err


def test_a_plot_is_a_picture(run: Run) -> None:
    assert run("rehearse", "--output", "plot.pdf").code == 2
