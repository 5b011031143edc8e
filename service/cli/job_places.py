"""Where jobs are asked for and watched: a running service, or a catalog."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from service.cli.catalogs import open_catalog
from service.cli.target import Place, service_client
from service.client import Client

if TYPE_CHECKING:
    from index.catalog.jobs.table import JobTable
    from index.records.jobs import Job

Json = dict[str, Any]


class JobPlace(Protocol):
    """Jobs as `/v1/jobs` answers them."""

    def get(self, job_id: str) -> Json: ...

    def newest(self, limit: int) -> list[Json]: ...

    def cancel(self, job_id: str) -> Json: ...

    def retry(self, job_id: str) -> Json: ...


class ServiceJobs:
    """Those of a service at a URL."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, job_id: str) -> Json:
        return self._client.job(job_id)

    def newest(self, limit: int) -> list[Json]:
        found = []
        for job in self._client.jobs():
            found.append(job)
            if len(found) == limit:
                break
        return found

    def cancel(self, job_id: str) -> Json:
        return self._client.change_job(job_id, "cancel")

    def retry(self, job_id: str) -> Json:
        return self._client.change_job(job_id, "retry")


class CatalogJobs:
    """Those of a catalog that is open here."""

    def __init__(self, table: "JobTable") -> None:
        self._table = table

    def get(self, job_id: str) -> Json:
        return _json(self._table.get(job_id))

    def newest(self, limit: int) -> list[Json]:
        return [_json(job) for job in self._table.page(limit).items]

    def cancel(self, job_id: str) -> Json:
        return _json(self._table.cancel(job_id))

    def retry(self, job_id: str) -> Json:
        return _json(self._table.retry(job_id))


@contextmanager
def open_jobs(place: Place) -> Iterator[JobPlace]:
    """The jobs of a place; of a data directory also while a service runs on it."""
    if place.url is not None:
        yield ServiceJobs(service_client(place.url))
        return
    with open_catalog(place.data_dir) as catalog:
        yield CatalogJobs(catalog.jobs)


def _json(job: "Job") -> Json:
    from service.jobs.shapes import job_resource

    return job_resource(job).model_dump(mode="json")
