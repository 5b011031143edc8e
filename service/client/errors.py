"""
What keeps an answer from coming.

ClientError
├── ServiceUnreachable         nobody answers at this address
├── BadKey                     what was given for a key cannot be one
├── NotAfterimage              somebody answers, but not in our words
└── ServiceProblem             the service said no, and why
"""

from collections.abc import Mapping
from typing import Any

UPLOAD_PROBLEMS = frozenset(
    {
        "empty-body",
        "body-too-large",
        "unsupported-media",
        "corrupt-media",
        "media-too-large",
        "too-many-pixels",
        "too-many-frames",
        "decoding-too-costly",
        "low-information",
        "embedding-failed",
    }
)


class ClientError(Exception):
    """Anything that kept an answer from coming; the sentence is fit to print."""


class ServiceUnreachable(ClientError):
    pass


class BadKey(ClientError):
    pass


class NotAfterimage(ClientError):
    pass


class ServiceProblem(ClientError):
    """The service said no. Carries its problem object."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        detail = str(problem.get("detail") or problem.get("title") or "no reason given")
        super().__init__(detail)

    @property
    def kind(self) -> str:
        """The stable end of its type: `unknown-bank`, `corrupt-media`."""
        return str(self.problem.get("type", "")).rsplit("/", 1)[-1]

    @property
    def upload_at_fault(self) -> bool:
        """Whether it is this upload that cannot be used, and the next one may well be."""
        return self.kind in UPLOAD_PROBLEMS
