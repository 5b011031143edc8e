"""What a process does again and again, beside the requests."""

import threading
import time
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.views.views import Views
from service.logs import where
from service.metrics import Metrics
from service.originals import OriginalStore, delete_removed
from service.spaces.space_set import LiveSpaces

_DELETE_ROWS_FOR_S: Final = 1.0
"""At a time: others write too."""


class Ticker:
    """
    Does something again and again, until it is closed.

    Args:
        tick: what is done; what it raises is told, and it is done again all the same.
        every_s: how long to wait before each time.
        log: where to tell.
    """

    def __init__(self, tick: Callable[[], None], every_s: float, log: FilteringBoundLogger) -> None:
        self._tick = tick
        self._every_s = every_s
        self._log = log
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; it is tried again
                self._log.warning("what is done beside the requests failed", **where(error))


def watch(views: Views, spaces: LiveSpaces, metrics: Metrics, log: FilteringBoundLogger) -> None:
    """Follows the log also while nobody asks, so that the first who does need not wait; and looks at the queues."""
    try:
        metrics.index_is_current(views.follow())
        views.tend()
    except Exception as error:  # noqa: BLE001 - it is tried again, and each request that needs it says so itself
        log.warning("the index cannot follow the log", **where(error))
    for served in spaces.opened:
        metrics.queue_frames.labels(served.space.embedder_id).set(served.batcher.depth)
        metrics.degraded.labels(served.space.embedder_id).set(served.batcher.degraded)


def delete_leftovers(catalog: Catalog, originals: OriginalStore, log: FilteringBoundLogger) -> None:
    """Deletes what nobody finds or refers to any more. There may be much, and the store may be slow."""
    until = time.monotonic() + _DELETE_ROWS_FOR_S
    try:
        catalog.purge_removed(lambda: time.monotonic() > until)
        delete_removed(catalog, originals)
    except Exception as error:  # noqa: BLE001 - it is tried again
        log.warning("what was removed cannot be deleted", **where(error))
