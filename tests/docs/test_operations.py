"""docs/operations.md says what the program does."""

import re
from pathlib import Path

import pytest

from service.cli.serve import default_of
from service.metrics import Metrics
from service.settings import COMMAND_LINE_ONLY, PREFIX, Settings

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def row_of(name: str) -> str:
    description = Settings.model_fields[name].description
    return f"| `{PREFIX}{name.upper()}` | {default_of(name)} | {description} |"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_row(name: str) -> None:
    assert row_of(name) in OPERATIONS.splitlines()


def test_no_row_is_about_a_setting_that_is_gone() -> None:
    rows = re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \|", OPERATIONS, re.MULTILINE)
    assert sorted(name.lower() for name in rows) == sorted(Settings.model_fields)


def test_every_setting_that_the_text_names_exists() -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z][A-Z_]+)", OPERATIONS)) - {
        name.removeprefix(PREFIX) for name in COMMAND_LINE_ONLY
    }
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_metric_has_its_row() -> None:
    exposed = set(re.findall(r"^# TYPE (\w+)", Metrics().exposition().decode(), re.MULTILINE))
    table = OPERATIONS[OPERATIONS.index("<!-- metrics: begin -->") : OPERATIONS.index("<!-- metrics: end -->")]
    described = set(re.findall(r"`(afterimage_\w+)`", table))
    assert {name for name in exposed if not name.endswith("_created")} == described
