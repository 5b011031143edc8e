"""Problems of spaces."""

from typing import Final

import index.errors as indexing
from service.problem_types.kind import ProblemType

SPACES: Final = (
    ProblemType("unknown-space", 404, "There is no such space", "GET /v1/spaces lists them.", (indexing.UnknownSpace,)),
    ProblemType(
        "wrong-stage",
        409,
        "The space is not in a stage for this",
        "GET /v1/spaces says in which it is.",
        (indexing.WrongStage,),
    ),
    ProblemType(
        "items-left-behind",
        409,
        "Items would not be found any more",
        "GET /v1/spaces/{space} names them. Fill them in (`afterimage reindex`), keep the old space beside the new one "
        "(`keep_old=true`), or say that they may be lost to semantic search (`leave_behind=true`).",
        (indexing.ItemsLeftBehind,),
    ),
    ProblemType(
        "space-not-open",
        409,
        "Not every process that answers has the space open",
        "Try again in some seconds. GET /v1/spaces/{space} says which process does not, and why.",
        (indexing.SpaceNotOpen,),
    ),
    ProblemType(
        "space-mismatch",
        409,
        "The embeddings belong to a space that is not served here",
        "Embeddings of different spaces are never compared. Make them with a model that is served.",
        (indexing.SpaceMismatch,),
    ),
)
