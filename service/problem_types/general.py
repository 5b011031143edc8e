"""Problems that any address can have."""

from typing import Final

from service.problem_types.kind import ProblemType

INTERNAL: Final = ProblemType(
    "internal-error",
    500,
    "Something went wrong here",
    "It is our fault, not the request's. Tell the operator the request id: the log has the place, without content.",
)
NOT_FOUND: Final = ProblemType(
    "not-found", 404, "There is nothing at this address", "See /docs for the addresses there are."
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    "method-not-allowed", 405, "This address does not take this method", "The Allow header names those it takes."
)
BAD_REQUEST: Final = ProblemType(
    "bad-request", 400, "The request cannot be understood", "Send it as /docs describes it."
)

GENERAL: Final = (BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL)
