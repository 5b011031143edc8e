"""Opens the parts of a service, in the process that uses them, and closes them again."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.data_directory import DataDirectory
from index.views import Views
from models.batching import Batcher, BatchStats
from models.embedder import Device, EmbedderId
from models.media.sandbox import Decoder
from models.media.types import MediaLimits
from models.openclip import open_embedder
from service.ingest import Banker
from service.logs import open_log, where
from service.matching import Matcher, MatchRules
from service.metrics import Metrics
from service.queries import Asker, DefaultThresholds, ServedSpace
from service.readiness import ReadinessCheck
from service.settings import Settings

_FOLLOW_EVERY_S = 1.0
_BATCH_THREADS = 4


class Runtime:
    """
    Everything a service consists of, open.

    Open it after forking, and where it is used: models and views are this process's own. The command line works on a
    data directory with the same parts.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        views: Views,
        decoder: Decoder,
        spaces: tuple[ServedSpace, ...],
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        together: Executor,
        stack: ExitStack,
    ) -> None:
        """Use `open`, or give it parts of your own."""
        self.settings = settings
        self.catalog = catalog
        self.views = views
        self.decoder = decoder
        self.spaces = spaces
        self.metrics = metrics
        self.log = log
        self.together = together
        self._stack = stack
        defaults = DefaultThresholds(settings.uncalibrated_variant_score, settings.uncalibrated_related_score)
        asker = Asker(spaces, defaults)
        rules = MatchRules(frozenset(settings.trusted_publishers), settings.index_wait_ms / 1000)
        timeout_s = settings.request_timeout_ms / 1000
        self.matcher = Matcher(decoder=decoder, asker=asker, catalog=catalog, views=views, rules=rules, metrics=metrics)
        self.banker = Banker(decoder, asker, catalog, views, metrics)
        self.readiness = ReadinessCheck(decoder, asker, catalog, views, timeout_s)

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        metrics: Metrics | None = None,
        log: FilteringBoundLogger | None = None,
        directory: DataDirectory | None = None,
    ) -> Self:
        """
        Opens every part; what was opened is closed again when one fails.

        Args:
            settings: what to open.
            metrics: where to count; one worker's own by default.
            log: where to tell; standard error by default.
            directory: the data directory, when this process or its parent holds it already.

        Raises:
            DataDirectoryInUse, CatalogTooNew, CatalogUnavailable, ModelUnavailable
        """
        metrics = metrics or Metrics()
        log = log or open_log(settings.log_level)
        with ExitStack() as stack:
            if directory is None:
                stack.enter_context(DataDirectory(settings.data_dir))
            catalog = _opened(stack, Catalog.open(settings.catalog_url))
            decoder = _opened(stack, _decoder(settings))
            decoder.start()
            spaces = tuple(_space(name, settings, stack, metrics) for name in settings.model)
            views = _opened(stack, Views(catalog, {served.id: served.space.dim for served in spaces}))
            metrics.index_is_current(views.follow())
            together = stack.enter_context(ThreadPoolExecutor(_BATCH_THREADS, thread_name_prefix="batch"))
            watch = partial(_watch, views, spaces, metrics, log)
            stack.callback(_Ticker(watch, _FOLLOW_EVERY_S).close)
            return cls(
                settings, catalog, views, decoder, spaces,
                metrics=metrics, log=log, together=together, stack=stack.pop_all(),
            )  # fmt: skip

    def close(self) -> None:
        """Answers what is queued, then closes every part; harmless when repeated."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Closes(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=_Closes)


def _opened(stack: ExitStack, part: Part) -> Part:
    stack.callback(part.close)
    return part


class _Ticker:
    """Does something again and again, until it is closed."""

    def __init__(self, tick: Callable[[], None], every_s: float) -> None:
        self._tick = tick
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            self._tick()


def _decoder(settings: Settings) -> Decoder:
    limits = MediaLimits(
        max_bytes=settings.max_bytes,
        max_pixels=settings.max_pixels,
        max_frames=settings.max_frames,
        sampled_frames=settings.sampled_frames,
    )
    return Decoder(
        limits,
        processes=settings.cores_for_decoding,
        timeout_s=settings.decode_timeout_ms / 1000,
        memory_bytes=settings.decode_memory_bytes,
    )


def _space(name: str, settings: Settings, stack: ExitStack, metrics: Metrics) -> ServedSpace:
    embedder = _opened(stack, open_embedder(name, Device(settings.device), calibration=settings.calibration_dir))
    space = embedder.space
    batcher = Batcher(
        embedder,
        queue_frames=settings.queue_frames,
        max_batch=settings.batch_frames,
        max_wait_ms=0.0 if embedder.device == "cpu" else settings.batch_wait_ms,
        observe=partial(_observe, metrics, space.embedder_id),
    )
    return ServedSpace(space, _opened(stack, batcher))


def _observe(metrics: Metrics, embedder_id: EmbedderId, stats: BatchStats) -> None:
    metrics.batch(embedder_id, stats)


def _watch(views: Views, spaces: tuple[ServedSpace, ...], metrics: Metrics, log: FilteringBoundLogger) -> None:
    """Follows the log also while nobody asks, so that the first who does need not wait; and looks at the queues."""
    try:
        metrics.index_is_current(views.follow())
    except Exception as error:  # noqa: BLE001 - it is tried again, and each request that needs it says so itself
        log.warning("the index cannot follow the log", **where(error))
    for served in spaces:
        metrics.queue_frames.labels(served.space.embedder_id).set(served.batcher.depth)
        metrics.degraded.labels(served.space.embedder_id).set(served.batcher.degraded)
