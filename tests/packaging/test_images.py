"""The image files name things that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_every_service_of_compose_builds_a_stage_there_is(dockerfile: str, compose: dict[str, Any]) -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    targets = {service["build"]["target"] for service in compose["services"].values()}
    assert targets == {"cpu", "cuda"}
    assert targets <= stages


def test_every_setting_they_name_exists(dockerfile: str, compose: dict[str, Any]) -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+(?==)", dockerfile))
    for service in compose["services"].values():
        named |= set(service["environment"])
    assert named
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)


def test_what_a_stage_copies_exists_and_reaches_the_builder(dockerfile: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE) for source in line.split()
    ]
    assert copied
    for source in copied:
        assert list(ROOT.glob(source)), source
        assert source in allowed


def test_it_runs_as_nobody_in_particular_and_says_when_it_is_ready(dockerfile: str) -> None:
    last_stage = dockerfile[dockerfile.index("AS runtime") :]
    assert "USER 10001:10001" in last_stage
    assert "/readyz" in last_stage
    assert 'ENTRYPOINT ["afterimage"]' in last_stage
