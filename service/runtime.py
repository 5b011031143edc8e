"""Opens the parts of a service, in the process that uses them, and closes them again."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.data_directory import DataDirectory
from index.records.spaces import SpaceRecord
from index.views.views import Views
from models.media.sandbox import Decoder
from models.media.types import Media, MediaLimits
from models.opencv import use_one_thread
from service.duties.every_duty import duty_keeper
from service.events.fan_out import EventHub
from service.events.listeners import StreamRules
from service.incidents.tallying import FLUSH_EVERY_S, Tallying
from service.ingest import Banker
from service.jobs.workers import JobWorkers
from service.keys.budgets import Budgets
from service.keys.doorkeeper import Doorkeeper
from service.keys.keyring import Keyring
from service.logs import open_log
from service.matching.explanations import Explainer
from service.matching.matcher import Matcher, MatchOptions, MatchRules
from service.matching.queries import Asker, DefaultThresholds
from service.matching.verification import LookRules, Verifier, bundled_weighing
from service.metrics import Metrics
from service.originals import open_originals
from service.readiness import ReadinessCheck
from service.schemas import Answer
from service.settings import Settings
from service.sightings.recording import Recorder
from service.spaces.keeper import SpaceKeeper
from service.spaces.moving import Mover
from service.spaces.opening import ModelOpener, open_spaces
from service.spaces.shadow import Shadows
from service.spaces.space_set import LiveSpaces, ServedSpace
from service.upkeep import Ticker, delete_leftovers, watch
from service.viewing import open_views

_FOLLOW_EVERY_S = 1.0
_TEND_EVERY_S = 0.5
_NOTE_USES_EVERY_S = 30.0
_DELETE_EVERY_S = 2.0
_BATCH_THREADS = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """What a runtime is made of: all that has to be opened first. Whoever opened it closes it."""

    settings: Settings
    catalog: Catalog
    decoder: Decoder
    opener: ModelOpener
    spaces: LiveSpaces
    views: Views
    metrics: Metrics
    log: FilteringBoundLogger


class Runtime:
    """
    Everything a service consists of, open.

    Open it after forking, and where it is used: models and views are this process's own. The command line works on a
    data directory with the same parts.
    """

    def __init__(self, parts: Parts, stack: ExitStack) -> None:
        """Use `open`, or give it parts of your own, and what closes all that is made of them."""
        settings, catalog, views, spaces = parts.settings, parts.catalog, parts.views, parts.spaces
        decoder, metrics, log = parts.decoder, parts.metrics, parts.log
        self.settings, self.catalog, self.views, self.live_spaces = settings, catalog, views, spaces
        self.decoder, self.metrics, self.log, self.opener = decoder, metrics, log, parts.opener
        self._stack = stack
        self.together = stack.enter_context(ThreadPoolExecutor(_BATCH_THREADS, thread_name_prefix="batch"))
        self.originals = open_originals(settings.originals, settings.originals_dir)
        defaults = DefaultThresholds(settings.uncalibrated_variant_score, settings.uncalibrated_related_score)
        asker = Asker(spaces, self._space_records, defaults)
        rules = MatchRules(frozenset(settings.trusted_publishers), settings.index_wait_ms / 1000)
        self.tallying = Tallying(catalog.tallies, log)
        stack.callback(self.tallying.tick)
        self.matcher = Matcher(
            decoder=decoder,
            asker=asker,
            catalog=catalog,
            views=views,
            verifier=Verifier(catalog, _look_rules(settings), metrics, bundled_weighing()),
            explainer=Explainer(self.originals, decoder),
            rules=rules,
            metrics=metrics,
            observe=self._observe,
            tallying=self.tallying,
            recorder=Recorder(catalog.sightings, settings.sighting_retention, metrics, log),
        )
        self.shadows = Shadows(
            spaces=spaces,
            records=self._space_records,
            matcher=self.matcher,
            catalog=catalog,
            share=settings.shadow_share,
            metrics=metrics,
            log=log,
        )
        stack.callback(self.shadows.close)
        self.mover = Mover(catalog=catalog, views=views, spaces=spaces, shadows=self.shadows, decoder=decoder)
        self.banker = Banker(
            decoder=decoder,
            asker=asker,
            catalog=catalog,
            views=views,
            originals=self.originals,
            metrics=metrics,
            keep_features=settings.features == "keep",
        )
        self.doorkeeper = Doorkeeper(Keyring(catalog.keys), Budgets(settings.data_dir / "budgets"), settings)
        stack.callback(self.doorkeeper.close)
        self.readiness = ReadinessCheck(decoder, asker, catalog, views, settings.request_timeout_ms / 1000)
        self.events = EventHub(catalog.events, catalog.identity, StreamRules.of(settings), metrics, log)
        stack.callback(self.events.close)
        self.duties = duty_keeper(self)

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
        use_one_thread()
        with ExitStack() as stack:
            if directory is None:
                stack.enter_context(DataDirectory(settings.data_dir))
            parts = _opened_parts(stack, settings, metrics or Metrics(), log or open_log(settings.log_level))
            runtime = cls(parts, stack)
            runtime._keep_up()
            runtime._stack = stack.pop_all()  # nothing failed: it closes everything itself
            return runtime

    @property
    def spaces(self) -> tuple[ServedSpace, ...]:
        """Those that answer now, the leading one first."""
        return self.live_spaces.at(self._space_records()).asked

    def _space_records(self) -> tuple[SpaceRecord, ...]:
        return self.views.reading(follow=False).spaces

    def _observe(self, media: Media, options: MatchOptions, answer: Answer) -> None:
        self.shadows.offer(media, options, answer)

    def _keep_up(self) -> None:
        """Begins what is done again and again beside the requests; the spaces are as they should be when it returns."""
        catalog, views, metrics, log = self.catalog, self.views, self.metrics, self.log
        keeper = SpaceKeeper(
            spaces=self.live_spaces,
            views=views,
            catalog=catalog,
            open_recorded=self.opener.open_recorded,
            calibrations=self.settings.calibration_dir,
            patience_s=2 * self.settings.request_timeout_ms / 1000,
            log=log,
        )
        self._stack.callback(keeper.close)
        keeper.tend()
        keeper.settle()  # what was begun while the models were opened must be open before anything is answered
        ticks = (
            (partial(watch, views, self.live_spaces, metrics, log), _FOLLOW_EVERY_S),
            (keeper.tend, _TEND_EVERY_S),
            (partial(delete_leftovers, catalog, self.originals, log), _DELETE_EVERY_S),
            (self.tallying.tick, FLUSH_EVERY_S),
            (partial(self.doorkeeper.keyring.note_uses, log), _NOTE_USES_EVERY_S),
        )
        for tick, every_s in ticks:
            self._stack.callback(Ticker(tick, every_s, log).close)

    def work_on_jobs(self) -> None:
        """Does jobs beside the requests from now on, until it is closed."""
        self._stack.callback(JobWorkers(self, self.settings.ingest_roots).close)

    def work_on_duties(self) -> None:
        """Does what one process does for all, while it is this one's turn."""
        self._stack.callback(self.duties.close)
        self.duties.start()

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


def _opened_parts(stack: ExitStack, settings: Settings, metrics: Metrics, log: FilteringBoundLogger) -> Parts:
    catalog = _opened(stack, Catalog.open(settings.catalog_url))
    decoder = _opened(stack, _decoder(settings))
    decoder.start()
    opener = ModelOpener(settings, metrics)
    spaces = _opened(stack, open_spaces(settings.model, catalog, opener, log))
    views = _opened(stack, open_views(settings, catalog, spaces, metrics, log))
    metrics.index_is_current(views.follow())
    return Parts(settings, catalog, decoder, opener, spaces, views, metrics, log)


def _opened(stack: ExitStack, part: Part) -> Part:
    stack.callback(part.close)
    return part


def _look_rules(settings: Settings) -> LookRules:
    return LookRules(settings.verify_candidates, settings.verify_budget_ms / 1000, settings.verify_cache_bytes)


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
