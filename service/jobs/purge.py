"""The job `purge`: deletes the embeddings of a space that was dropped, in small steps."""

from typing import Final

from index.catalog import Catalog
from index.errors import WrongStage
from index.records.jobs import JobJson, Plan
from index.records.spaces import SpaceId
from service.jobs.errors import Cancelled
from service.jobs.options import PurgeOptions, read_options
from service.jobs.task import Task

PURGE: Final = "purge"
_ITEMS: Final = 200
"""In one transaction."""


class Purge:
    """The job kind. Options: `space`, one that was dropped."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField
        """
        return {"space": read_options(PurgeOptions, options).space}

    def plan(self, task: Task) -> Plan:
        return Plan([{"space": task.options["space"]}])

    def run(self, task: Task) -> None:
        space = SpaceId(task.span["space"])
        try:
            after = (task.cursor or {}).get("after", 0)
            while purged := self._catalog.moves.purge(space, _ITEMS, after):
                after = purged[-1]
                task.checkpoint({"after": after}, done=len(purged))
        except WrongStage as error:  # it was begun anew meanwhile, or was never dropped
            self._catalog.jobs.cancel(task.job_id)
            raise Cancelled(str(error)) from error

    def finish(self, task: Task) -> JobJson:
        return {"space": task.options["space"]}
