"""The job that folds what came lately into the large parts of the views, and builds those anew."""

from typing import Final

from index.errors import UnknownSpace
from index.records.jobs import JobJson, Plan
from index.views.views import Views
from service.jobs.options import CompactOptions, read_options
from service.jobs.task import Task

COMPACT: Final = "compact"


class Compact:
    """
    One part for each view: those of the spaces, and `pdq`.

    Args:
        views: of the process that does it; the others of its data directory adopt what it builds.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField, UnknownSpace
        """
        view = read_options(CompactOptions, options).view
        if view is not None and view not in self._names():
            raise UnknownSpace(f"There is no such view; there are: {', '.join(self._names())}.")
        return {"view": view}

    def plan(self, task: Task) -> Plan:
        view = task.options["view"]
        spans = [{"view": name} for name in (self._names() if view is None else [view])]
        return Plan(spans, len(spans))

    def run(self, task: Task) -> None:
        self._views.compact(task.span["view"])
        task.checkpoint({}, done=1)

    def finish(self, task: Task) -> JobJson:
        del task
        return {"index_version": self._views.follow()}

    def _names(self) -> list[str]:
        self._views.follow()
        return [part.view for part in self._views.large_parts()]
