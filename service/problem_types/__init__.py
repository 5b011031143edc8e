"""Every problem a caller can be answered with: its stable type, its status, what it means and what to do."""

from typing import Final

from service.problem_types.access import ACCESS
from service.problem_types.banks import BANKS
from service.problem_types.capacity import CAPACITY
from service.problem_types.general import BAD_REQUEST, GENERAL, INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND
from service.problem_types.incidents import INCIDENTS
from service.problem_types.jobs import JOBS
from service.problem_types.kind import ProblemType
from service.problem_types.media import MEDIA
from service.problem_types.requests import REQUESTS
from service.problem_types.sightings import SIGHTINGS
from service.problem_types.spaces import SPACES

__all__ = [
    "BAD_REQUEST",
    "INTERNAL",
    "METHOD_NOT_ALLOWED",
    "NOT_FOUND",
    "PROBLEMS",
    "ProblemType",
    "problem_type",
    "problem_type_of",
]

PROBLEMS: Final = (*REQUESTS, *MEDIA, *ACCESS, *BANKS, *SPACES, *JOBS, *INCIDENTS, *SIGHTINGS, *CAPACITY, *GENERAL)


def problem_type_of(error: BaseException) -> ProblemType:
    """The problem an error is answered with: the one of its nearest class."""
    owners = {raised: problem for problem in PROBLEMS for raised in problem.raised_by}
    for kind in type(error).__mro__:
        if kind in owners:
            return owners[kind]
    return INTERNAL


def problem_type(slug: str) -> ProblemType | None:
    return next((problem for problem in PROBLEMS if problem.slug == slug), None)
