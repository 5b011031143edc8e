"""Problems of jobs."""

from typing import Final

import index.errors as indexing
import service.errors as serving
from service.problem_types.kind import ProblemType

JOBS: Final = (
    ProblemType("unknown-job", 404, "There is no such job", "GET /v1/jobs lists them.", (indexing.UnknownJob,)),
    ProblemType(
        "job-state-conflict",
        409,
        "The job is not in a state for this",
        "GET /v1/jobs/{job_id} says what it is doing.",
        (indexing.JobStateConflict,),
    ),
    ProblemType(
        "job-file-missing",
        404,
        "The job has no such file here",
        "It has one when it is done and there is something in it; a job done on another machine has it there.",
        (serving.JobFileMissing,),
    ),
)
