"""`/v1/jobs`: long work, asked for and watched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, send_file
from flask.typing import ResponseReturnValue

from index.catalog.jobs.table import JobTable
from service.errors import JobFileMissing
from service.inputs import JobListParameters
from service.jobs.kind import JobKind
from service.jobs.options import JobBody
from service.jobs.shapes import JobResource, job_resource
from service.openapi import Description, Operation, Reply
from service.routes import described
from service.routes.bodies import JSON, BodyLimits, read_json_body
from service.routes.operations import Operations, answer, no_parameters, parameters
from service.schemas import ListOf

_TAG = "Jobs"
_PATH: Final = {"job_id": {"type": "string", "pattern": "^[0-9a-f]{28}$"}}
_FILES: Final = ("results.jsonl", "results.parquet", "skipped.jsonl")
_READ: Final = (*described.QUERY_PROBLEMS, "unknown-job", "catalog-unavailable")

_CREATE = Operation(
    method="post",
    path="/v1/jobs",
    name="createJob",
    tag=_TAG,
    summary="Ask for long work",
    description="Answered when the job is kept; a worker takes it up within seconds. What a job may read on the "
    "service's machine lies below the folders of the setting INGEST_ROOTS.",
    bodies={JSON: JobBody},
    replies={202: Reply("It will be done; `Location` says where to watch it.", JobResource)},
    problems=(
        *described.JSON_PROBLEMS,
        *described.QUERY_PROBLEMS,
        "source-refused",
        "unknown-space",
        "catalog-unavailable",
        "storage-full",
    ),
)
_LIST = Operation(
    method="get",
    path="/v1/jobs",
    name="listJobs",
    tag=_TAG,
    summary="Jobs, newest first",
    parameters=JobListParameters,
    replies={200: Reply("A piece of the list.", ListOf[JobResource])},
    problems=(*described.QUERY_PROBLEMS, "bad-cursor", "catalog-unavailable"),
)
_GET = Operation(
    method="get",
    path="/v1/jobs/{job_id}",
    name="getJob",
    tag=_TAG,
    summary="One job, and how far it is",
    path_schemas=_PATH,
    replies={200: Reply("The job.", JobResource)},
    problems=_READ,
)
_CANCEL = Operation(
    method="post",
    path="/v1/jobs/{job_id}/cancel",
    name="cancelJob",
    tag=_TAG,
    summary="End a job before it is done",
    description="What it did stays. It ends within seconds; one that has ended stays as it is.",
    path_schemas=_PATH,
    replies={202: Reply("It ends.", JobResource)},
    problems=(*_READ, "storage-full"),
)
_RETRY = Operation(
    method="post",
    path="/v1/jobs/{job_id}/retry",
    name="retryJob",
    tag=_TAG,
    summary="Go on with a job that failed or was cancelled",
    description="It goes on where it stopped.",
    path_schemas=_PATH,
    replies={202: Reply("It goes on.", JobResource)},
    problems=(*_READ, "job-state-conflict", "storage-full"),
)
_FILE = Operation(
    method="get",
    path="/v1/jobs/{job_id}/files/{name}",
    name="getJobFile",
    tag=_TAG,
    summary="A file that a job made",
    description="`skipped.jsonl` lists the rows that could not be used, with the reason; `results.*` is of a scan.",
    path_schemas={**_PATH, "name": {"type": "string", "enum": list(_FILES)}},
    replies={200: Reply("The file.", content_type="application/octet-stream")},
    problems=(*_READ, "job-file-missing"),
)


def jobs_blueprint(
    table: JobTable, kinds: Mapping[str, JobKind], folder: Path, limits: BodyLimits, description: Description
) -> Blueprint:
    routes = Blueprint("jobs", __name__)
    operations = Operations(routes, description)

    @operations.on(_CREATE)
    def create_job() -> ResponseReturnValue:
        no_parameters()
        body = read_json_body(JobBody, limits)
        job = table.create(body.kind, kinds[body.kind].checked(body.options))
        response = answer(job_resource(job), 202)
        response.headers["Location"] = f"/v1/jobs/{job.job_id}"
        return response

    @operations.on(_LIST)
    def list_jobs() -> ResponseReturnValue:
        query = parameters(JobListParameters)
        page = table.page(query.limit, query.cursor, query.state)
        return answer(ListOf[JobResource](items=[job_resource(job) for job in page.items], next=page.next))

    @operations.on(_GET)
    def get_job(job_id: str) -> ResponseReturnValue:
        no_parameters()
        return answer(job_resource(table.get(job_id)))

    @operations.on(_CANCEL)
    def cancel_job(job_id: str) -> ResponseReturnValue:
        no_parameters()
        return answer(job_resource(table.cancel(job_id)), 202)

    @operations.on(_RETRY)
    def retry_job(job_id: str) -> ResponseReturnValue:
        no_parameters()
        return answer(job_resource(table.retry(job_id)), 202)

    @operations.on(_FILE)
    def get_job_file(job_id: str, name: str) -> ResponseReturnValue:
        no_parameters()
        return _sent(folder / table.get(job_id).job_id / name, name)

    return routes


def _sent(path: Path, name: str) -> Response:
    if name not in _FILES or not path.is_file():
        raise JobFileMissing("The job has no such file here.")
    return send_file(path, mimetype="application/octet-stream", as_attachment=True, download_name=name)
