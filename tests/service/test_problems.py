"""Every error has its problem, and every problem its page."""

import inspect
from types import ModuleType

import pytest
from flask.testing import FlaskClient

import index.errors
import models.errors
import service.errors
from service.problem_types import INTERNAL, PROBLEMS, ProblemType, problem_type_of
from service.problems import problem_of

START_ONLY = {
    index.errors.BackupRefused,
    index.errors.CatalogTooNew,
    index.errors.DataDirectoryInUse,
    index.errors.LeaseLost,
    index.errors.UnusableIndex,
    index.errors.IndexBusy,
    models.errors.UnknownModel,
    models.errors.WeightsMissing,
    models.errors.GoldenMismatch,
    service.errors.BadSettings,
    service.errors.RefusedToStart,
}
"""Nobody is answered with these: they keep a service from starting, a snapshot or a part of a job from being used."""


def leaves(module: ModuleType) -> list[type[Exception]]:
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Exception)]
    return [kind for kind in kinds if not any(issubclass(other, kind) and other is not kind for other in kinds)]


LEAVES = [kind for module in (index.errors, models.errors, service.errors) for kind in leaves(module)]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_leaf_error_has_a_problem_of_its_own(kind: type[Exception]) -> None:
    problem = problem_type_of(kind("a sentence"))
    assert (problem is INTERNAL) == (kind in START_ONLY)


def test_the_tree_at_the_head_of_our_errors_names_every_one() -> None:
    drawn = service.errors.__doc__ or ""
    kinds = [name for name, kind in inspect.getmembers(service.errors, inspect.isclass) if issubclass(kind, Exception)]
    assert [
        name for name in kinds if f" {name} " not in drawn and f" {name}\n" not in drawn and name != "ServiceError"
    ] == []


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.slug)
def test_every_problem_has_a_page(shared_client: FlaskClient, problem: ProblemType) -> None:
    page = shared_client.get(problem.uri)
    assert page.status_code == 200
    assert problem.slug in page.text
    assert problem.slug in shared_client.get("/problems").text


def test_slugs_are_unique() -> None:
    assert len({problem.slug for problem in PROBLEMS}) == len(PROBLEMS)


def test_the_message_of_an_unforeseen_error_is_not_shown() -> None:
    shown = problem_of(RuntimeError("/home/somebody/secret.jpg"), "r-1").model_dump_json()
    assert "secret" not in shown
    assert "r-1" in shown


def test_there_is_no_page_for_a_problem_that_does_not_exist(shared_client: FlaskClient) -> None:
    assert shared_client.get("/problems/nonsense").status_code == 404
