"""`sightings`, on a data directory and on a service."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from index.catalog import Catalog
from index.records.changes import Version
from index.records.sightings import NewSighting
from service.settings import load_settings

Run = Callable[..., Any]


@pytest.fixture
def recorded(tmp_path: Path) -> list[str]:
    catalog = Catalog.open(load_settings(data_dir=tmp_path).catalog_url)
    ids = [
        str(
            catalog.sightings.record(
                NewSighting(
                    platform=platform,
                    upload_id="post\x1b[2J\u202e",
                    observed_at=None,
                    publisher=None,
                    context=None,
                    kind="image",
                    band="none",
                    action="none",
                    reasons=(),
                    index_version=Version(0),
                    frames=(),
                ),
                timedelta(days=7),
            )
        )
        for platform in ("alpha", "beta")
    ]
    catalog.close()
    return ids


def test_sightings_are_listed_and_shown(run: Run, tmp_path: Path, recorded: list[str]) -> None:
    found = json.loads(run("sightings", "list", "--json", "--data-dir", tmp_path).out)
    assert [one["sighting_id"] for one in found] == recorded[::-1]
    found = json.loads(run("sightings", "list", "--platform", "alpha", "--json", "--data-dir", tmp_path).out)
    assert [one["sighting_id"] for one in found] == recorded[:1]
    one = json.loads(run("sightings", "show", recorded[0], "--json", "--data-dir", tmp_path).out)
    assert (one["platform"], one["matches"], one["edges"]) == ("alpha", [], [])


def test_what_platforms_say_cannot_steer_a_terminal(run: Run, tmp_path: Path, recorded: list[str]) -> None:
    for ended in (
        run("sightings", "list", "--data-dir", tmp_path),
        run("sightings", "show", recorded[0], "--data-dir", tmp_path),
    ):
        assert ended.code == 0
        assert "\x1b" not in ended.out
        assert "\u202e" not in ended.out


def test_a_sighting_that_is_not_there_is_said_in_a_sentence(run: Run, tmp_path: Path, recorded: list[str]) -> None:
    del recorded
    ended = run("sightings", "show", "0" * 28, "--data-dir", tmp_path)
    assert ended.code == 2
    assert "no sighting" in ended.err
