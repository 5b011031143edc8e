"""Opening models: the configured ones when a service starts, and others while it runs."""

from collections.abc import Mapping, Sequence
from functools import partial

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.records.spaces import SpaceId, SpaceRecord, SpaceStage
from models.batching import Batcher, BatchStats
from models.embedder import Device, Embedder, EmbedderId
from models.errors import ModelsError, ModelUnavailable
from models.openclip import canonical_name, open_embedder
from service.metrics import Metrics
from service.settings import Settings
from service.spaces.space_set import LiveSpaces, Opened, Parts, ServedSpace, parts_of


class ModelOpener:
    """Opens models as the settings say; any number of times, in any thread."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    def open(self, model: str) -> Opened:
        """
        Raises:
            ModelsError: it cannot be opened; the sentence says what to do.
        """
        settings = self._settings
        embedder = open_embedder(model, Device(settings.device), calibration=settings.calibration_dir)
        batcher = Batcher(
            embedder,
            queue_frames=settings.queue_frames,
            max_batch=settings.batch_frames,
            max_wait_ms=0.0 if embedder.device == "cpu" else settings.batch_wait_ms,
            observe=partial(_observe, self._metrics, embedder.space.embedder_id),
        )

        def close() -> None:
            batcher.close()
            embedder.close()

        return Opened(ServedSpace(embedder.space, batcher), close)

    def embedder(self, model: str) -> Embedder:
        """
        The model alone, without a calibration; the caller closes it.

        Raises:
            ModelsError: it cannot be opened.
        """
        return open_embedder(model, Device(self._settings.device))

    def open_recorded(self, record: SpaceRecord) -> Opened:
        """
        The model that a space of the catalog was made with.

        Raises:
            ModelsError: it cannot be opened, or gives embeddings of another space by now.
        """
        if record.model is None:
            raise ModelUnavailable(f"Nobody noted which model {record.space} was made with.")
        opened = self.open(record.model)
        if opened.served.id != record.space:
            opened.close()
            raise ModelUnavailable(
                f"{record.model} was {record.space} and is {opened.served.id} now: weights or preprocessing changed."
            )
        return opened


def open_spaces(models: Sequence[str], catalog: Catalog, opener: ModelOpener, log: FilteringBoundLogger) -> LiveSpaces:
    """
    The spaces of the configured models, or those that took over from them, and all that belongs to a move.

    Raises:
        ModelsError: one that answers cannot be opened; those that do not are tried again later.
        CatalogUnavailable
    """
    before = catalog.moves.records()
    opened: dict[SpaceId, Opened] = {}
    configured: list[SpaceId] = []
    try:
        for model in models:
            moved_on = moved_on_from(model, before)
            if moved_on is None:
                own = opener.open(model)
                opened[own.served.id] = own
                catalog.register_space(own.served.id, own.served.space.dim, canonical_name(model))
                configured.append(own.served.id)
            else:
                configured.append(moved_on.space)
        records = {record.space: record for record in catalog.moves.records()}
        parts = parts_of(configured, records.values())
        _open_others(parts, records, opened, opener, log)
    except BaseException:
        for each in opened.values():
            each.close()
        raise
    for space in opened.keys() - set(parts.written):
        opened.pop(space).close()
    _tell(configured, parts, log)
    return LiveSpaces(opened.values(), configured)


def moved_on_from(model: str, records: Sequence[SpaceRecord]) -> SpaceRecord | None:
    """The space that a configured name stood for, where it does not answer any more; None where it does, or is new."""
    named = [record for record in records if record.model == canonical_name(model)]
    if not named or any(record.stage is SpaceStage.SERVED for record in named):
        return None
    return named[-1]


def _open_others(
    parts: Parts,
    records: Mapping[SpaceId, SpaceRecord],
    opened: dict[SpaceId, Opened],
    opener: ModelOpener,
    log: FilteringBoundLogger,
) -> None:
    if not parts.asked:
        raise ModelUnavailable("None of the configured models has a space that answers.")
    for space in parts.written:
        if space in opened:
            continue
        try:
            opened[space] = opener.open_recorded(records[space])
        except ModelsError as error:
            if space in parts.asked:
                raise
            log.warning("a space that does not answer cannot be opened", space=space, reason=str(error))


def _tell(configured: Sequence[SpaceId], parts: Parts, log: FilteringBoundLogger) -> None:
    replaced = [space for space in configured if space not in parts.asked]
    if replaced:
        log.warning("another space took over from a configured model", configured=replaced, answering=parts.asked)


def _observe(metrics: Metrics, embedder_id: EmbedderId, stats: BatchStats) -> None:
    metrics.batch(embedder_id, stats)
