"""docs/api.md says what the service answers."""

import re
from pathlib import Path

import pytest

from service.app import create_app
from service.inputs import MatchParameters
from service.problem_types import PROBLEMS
from service.runtime import Runtime
from service.schemas import Answer, Reason
from service.settings import load_settings

API = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """`GET /v1/banks/{bank}` and so on, of the real application."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), log_level="error", decode_processes=1)
    with Runtime.open(settings) as runtime:
        rules = list(create_app(runtime).url_map.iter_rules())
    found = set()
    for rule in rules:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        found |= {f"{method} {path}" for method in rule.methods or () if method not in {"HEAD", "OPTIONS"}}
    return found


def test_every_route_is_described(routes: set[str]) -> None:
    described = set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", API, re.MULTILINE))
    # What the pages under /docs load is theirs alone.
    assert {route for route in routes if not route.startswith("GET /docs/")} == described


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.slug)
def test_every_problem_has_its_row(problem: object) -> None:
    assert f"| `{problem.uri}` | {problem.status} | {problem.title} |" in API.splitlines()


def test_no_row_is_about_a_problem_that_is_gone() -> None:
    rows = re.findall(r"^\| `/problems/([a-z-]+)` \|", API, re.MULTILINE)
    assert sorted(rows) == sorted(problem.slug for problem in PROBLEMS)


@pytest.mark.parametrize("name", MatchParameters.model_fields)
def test_every_parameter_of_a_match_has_its_row(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", API, re.MULTILINE)


@pytest.mark.parametrize("name", Answer.model_fields)
def test_every_key_of_an_answer_is_shown(name: str) -> None:
    assert f'"{name}"' in API


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason: Reason) -> None:
    assert re.search(rf"^\| .*`{reason}`.* \|", API, re.MULTILINE)
