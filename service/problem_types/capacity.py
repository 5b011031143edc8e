"""Problems of a service that cannot answer now."""

from typing import Final

import index.errors as indexing
import models.errors as modelling
import service.errors as serving
from service.problem_types.kind import ProblemType

CAPACITY: Final = (
    ProblemType(
        "queue-full",
        503,
        "Too much is waiting already",
        "Try again after the seconds of Retry-After.",
        (modelling.QueueFull, serving.Overloaded),
        retry_after_s=1,
    ),
    ProblemType(
        "too-many-streams",
        503,
        "As many event streams are open as this worker may have",
        "Try again after the seconds of Retry-After. The limit is EVENT_STREAMS.",
        (serving.TooManyStreams,),
        retry_after_s=5,
    ),
    ProblemType(
        "deadline-passed",
        503,
        "The request's time ran out before its turn",
        "It was dropped before it cost anything. The limit is REQUEST_TIMEOUT_MS.",
        (modelling.DeadlinePassed,),
        retry_after_s=1,
    ),
    ProblemType(
        "shutting-down",
        503,
        "This worker is shutting down",
        "Try again: another one answers.",
        (modelling.EmbedderClosed, modelling.DecoderClosed),
        retry_after_s=1,
    ),
    ProblemType(
        "not-ready",
        503,
        "The service is not ready",
        "`checks` says what each part answered.",
        (serving.NotReady,),
        retry_after_s=1,
    ),
    ProblemType(
        "index-behind",
        503,
        "The index did not reach the version that was asked for in time",
        "Try again, or ask without `min_index_version`. The wait is INDEX_WAIT_MS.",
        (indexing.IndexBehind,),
        retry_after_s=1,
    ),
    ProblemType(
        "catalog-unavailable",
        503,
        "The catalog cannot be reached or written",
        "Nothing was acknowledged. Try again; the operator finds more with `afterimage doctor`.",
        (indexing.CatalogUnavailable,),
        retry_after_s=2,
    ),
    ProblemType(
        "storage-full",
        507,
        "There is no room to write",
        "Nothing was acknowledged. The operator must make room.",
        (indexing.StorageFull,),
    ),
)
