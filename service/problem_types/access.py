"""Problems of who asks."""

from typing import Final

import index.errors as indexing
import service.errors as serving
from service.problem_types.kind import ProblemType

ACCESS: Final = (
    ProblemType(
        "unauthenticated",
        401,
        "A key is needed, and none that is valid was shown",
        "Send `Authorization: Bearer` and the key. Whoever runs the service makes one: `afterimage keys create`.",
        (serving.NotAuthenticated,),
    ),
    ProblemType(
        "forbidden",
        403,
        "The key does not allow this",
        "`detail` names the scope that is needed. Whoever runs the service makes keys with other scopes.",
        (serving.ScopeMissing,),
    ),
    ProblemType(
        "budget-spent",
        429,
        "The key has asked as much as it may for now",
        "Try again after the seconds of Retry-After. "
        "`RateLimit` says how the key stands, `RateLimit-Policy` what it may.",
        (serving.BudgetSpent,),
        retry_after_s=1,
    ),
    ProblemType("unknown-key", 404, "There is no such key", "GET /v1/keys lists them.", (indexing.UnknownKey,)),
    ProblemType(
        "role-conflict",
        409,
        "The participant has another role",
        "A participant keeps the role it was made with. Name that, or take another name.",
        (indexing.RoleConflict,),
    ),
    ProblemType(
        "key-unusable",
        409,
        "The key has ended",
        "It has expired, was revoked or was replaced already. Make a new one.",
        (indexing.KeyUnusable,),
    ),
)
