"""Opens the views with what a service has for them: a folder for snapshots, metrics and a log."""

from functools import partial
from typing import Final

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.engines.description import Engine
from index.engines.tuning import RecallTarget
from index.views.snapshots import SnapshotStore
from index.views.view import Event, EventKind
from index.views.views import ViewOptions, Views
from service.logs import where
from service.metrics import Metrics
from service.settings import Settings, cores
from service.spaces.space_set import LiveSpaces

_SAID: Final = {
    EventKind.REFUSED: "a snapshot of the index is not used",
    EventKind.BUILT: "a snapshot of the index is built",
    EventKind.OPENED: "a snapshot of the index is opened",
    EventKind.FAILED: "the index could not be folded",
}


def open_views(
    settings: Settings, catalog: Catalog, spaces: LiveSpaces, metrics: Metrics, log: FilteringBoundLogger
) -> Views:
    """
    Views of every space that is open, with their snapshots in the data directory.

    Raises:
        CatalogUnavailable: the catalog cannot be read.
    """
    options = ViewOptions(
        engine=None if settings.index_engine == "auto" else Engine(settings.index_engine),
        recall=RecallTarget(overlap=settings.index_overlap),
        build_threads=max(1, cores() // 2),  # they leave the rest to those who search
        tell=partial(_tell, metrics, log),
    )
    dims = {served.id: served.space.dim for served in spaces.opened}
    return Views(catalog, dims, snapshots=SnapshotStore(settings.snapshots_dir), options=options)


def _tell(metrics: Metrics, log: FilteringBoundLogger, event: Event) -> None:
    metrics.snapshots.labels(event.view, event.kind.value).inc()
    facts = dict(event.facts)
    error = facts.pop("error", None)
    if error is not None:
        facts |= where(error)
    say = log.info if event.kind in {EventKind.BUILT, EventKind.OPENED} else log.error
    say(_SAID[event.kind], view=event.view, says=event.says, **facts)
