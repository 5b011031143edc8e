"""Problems of sightings."""

from typing import Final

import index.errors as indexing
from service.problem_types.kind import ProblemType

SIGHTINGS: Final = (
    ProblemType(
        "unknown-sighting",
        404,
        "There is no such sighting",
        "GET /v1/sightings lists those that are kept; after a time they are forgotten.",
        (indexing.UnknownSighting,),
    ),
    ProblemType(
        "unknown-cluster",
        404,
        "There is no such cluster",
        "GET /v1/clusters and the variants of an incident list them; one is forgotten with its last sighting.",
        (indexing.UnknownCluster,),
    ),
    ProblemType(
        "nothing-to-bank",
        422,
        "There was too little to see in the upload to find it again",
        "Bank the media itself, if you must, with `force`.",
        (indexing.NothingToBank,),
    ),
)
