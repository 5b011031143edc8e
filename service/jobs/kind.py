"""What a kind of job has to say."""

from typing import Protocol

from index.records.jobs import JobJson, Plan
from service.jobs.task import Task


class JobKind(Protocol):
    """
    Long work of one kind. It is made of the parts it needs; what it is to do comes with each task.

    Every method may be called again after a failure or a crash, by another worker, on another machine. What a method
    raises is tried again; `Interrupted` must be let through.
    """

    def checked(self, options: JobJson) -> JobJson:
        """
        The options as they are kept: complete, and fit to be done by any worker.

        Raises:
            InvalidField: with a pointer below `/options` at each mistake.
        """

    def plan(self, task: Task) -> Plan:
        """Finds out what there is to do, and cuts it into at most a few thousand parts."""

    def run(self, task: Task) -> None:
        """Does one part, from `task.cursor` on."""

    def finish(self, task: Task) -> JobJson:
        """When every part is done: what the job came to."""
