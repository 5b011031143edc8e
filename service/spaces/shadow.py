"""What a space in shadow would have answered: compared with what was answered, beside serving."""

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.errors import IndexingError, WrongStage
from index.records.items import ItemId
from index.records.spaces import Agreement, SpaceId
from models.errors import ModelsError
from models.media.types import Media
from service.errors import ServiceError
from service.logs import where
from service.matching.matcher import Matcher, MatchOptions
from service.metrics import Metrics
from service.schemas import Action, Answer, Band
from service.spaces.space_set import LiveSpaces, Records, Shadow, SpaceSet

_WAITING: Final = 8
"""Uploads that may wait to be compared; more are let go, for the answers come first."""
_WRITE_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is to compare of an answer."""

    band: Band
    action: Action
    best: ItemId | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One upload, asked in two ways."""

    space: SpaceId
    against: SpaceId
    answered: Outcome
    in_shadow: Outcome

    @property
    def same_item(self) -> bool:
        return self.answered.best == self.in_shadow.best

    @property
    def changes_the_verdict(self) -> bool:
        return (self.answered.band, self.answered.action) != (self.in_shadow.band, self.in_shadow.action)


@dataclass(frozen=True, slots=True)
class _Upload:
    media: Media
    options: MatchOptions
    answered: Outcome


class Shadows:
    """
    Compares a share of the uploads. Safe from any thread; `offer` never waits.

    Args:
        spaces: what is open.
        records: the spaces of the catalog as they are now.
        matcher: says what would be answered.
        catalog: where agreements are counted.
        share: of the uploads that are compared, 0 to 1.
        metrics: where to count.
        log: where verdicts that would change are told.
    """

    def __init__(
        self,
        *,
        spaces: LiveSpaces,
        records: Callable[[], Records],
        matcher: Matcher,
        catalog: Catalog,
        share: float,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._spaces = spaces
        self._records = records
        self._matcher = matcher
        self._catalog = catalog
        self._share = share
        self._metrics = metrics
        self._log = log
        self._random = random.Random()
        self._waiting: queue.Queue[_Upload | None] = queue.Queue(_WAITING)
        self._counted: Counter[tuple[SpaceId, SpaceId, str, str, bool]] = Counter()
        self._written_at = time.monotonic()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def offer(self, media: Media, options: MatchOptions, answer: Answer) -> None:
        """An upload was answered: it is compared later, or not."""
        if not self._spaces.at(self._records()).shadows or self._random.random() >= self._share:
            return
        best = ItemId(answer.matches[0].item_id) if answer.matches else None
        answered = Outcome(answer.verdict.band, answer.verdict.suggested_action, best)
        try:
            self._waiting.put_nowait(_Upload(media, _for_comparing(options), answered))
        except queue.Full:
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()

    def compare(self, space: SpaceId, media: Media, options: MatchOptions) -> Comparison:
        """
        One upload, now.

        Raises:
            WrongStage: the space does not wait in shadow.
            EmbeddingError, IndexingError
        """
        how = _for_comparing(options)
        with self._spaces.using(self._records()) as current:
            for shadow in current.shadows:
                if shadow.served.id == space:
                    answered = self._outcome(current, media, how)
                    return Comparison(space, shadow.against, answered, self._in_shadow(current, shadow, media, how))
        raise WrongStage("The space does not wait in shadow: there is nothing to compare with.")

    def close(self) -> None:
        """Lets go of what waits, and writes down what was counted."""
        with self._starting:
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join()
        self.write_down()

    def write_down(self) -> None:
        """Adds what was counted here to the catalog's counts."""
        counted, self._counted = self._counted, Counter()
        self._written_at = time.monotonic()
        by_pair: dict[tuple[SpaceId, SpaceId], dict[tuple[str, str], list[int]]] = {}
        for (space, against, band, shadow_band, same), uploads in counted.items():
            sums = by_pair.setdefault((space, against), {}).setdefault((band, shadow_band), [0, 0])
            sums[0] += uploads
            sums[1] += uploads if same else 0
        for (space, against), bands in by_pair.items():
            agreements = [Agreement(*names, *sums) for names, sums in bands.items()]
            try:
                self._catalog.moves.add_agreements(space, against, agreements)
            except IndexingError as error:
                self._log.warning("agreements could not be written down", **where(error))

    def _in_shadow(self, current: SpaceSet, shadow: Shadow, media: Media, options: MatchOptions) -> Outcome:
        """What would be answered if the space in shadow stood in the place of the one it may replace."""
        instead = tuple(shadow.served if served.id == shadow.against else served for served in current.asked)
        return self._outcome(replace(current, asked=instead, shadows=()), media, options)

    def _outcome(self, spaces: SpaceSet, media: Media, options: MatchOptions) -> Outcome:
        verdict, best = self._matcher.outcome(spaces, media, options)
        return Outcome(verdict.band, verdict.suggested_action, best)

    def _run(self) -> None:
        while True:
            try:
                upload = self._waiting.get(timeout=_WRITE_EVERY_S)
            except queue.Empty:
                self.write_down()
                continue
            if upload is None:
                return
            try:
                self._compare(upload)
            except (IndexingError, ModelsError, ServiceError) as error:
                self._log.debug("an upload could not be compared", reason=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to, and the next upload may do
                self._log.warning("an upload could not be compared", **where(error))
            if time.monotonic() - self._written_at >= _WRITE_EVERY_S:
                self.write_down()

    def _compare(self, upload: _Upload) -> None:
        with self._spaces.using(self._records()) as current:
            for shadow in current.shadows:
                outcome = self._in_shadow(current, shadow, upload.media, upload.options)
                told = Comparison(shadow.served.id, shadow.against, upload.answered, outcome)
                band, shadow_band = told.answered.band.value, told.in_shadow.band.value
                self._counted[told.space, told.against, band, shadow_band, told.same_item] += 1
                self._metrics.shadow_uploads.labels(told.space, band, shadow_band).inc()
                if told.changes_the_verdict:
                    self._log.info(
                        "a verdict would change",
                        space=told.space,
                        band=band,
                        shadow_band=shadow_band,
                        item=told.answered.best,
                        shadow_item=told.in_shadow.best,
                    )


def _for_comparing(options: MatchOptions) -> MatchOptions:
    """The same question; nobody waits for its answer."""
    return replace(options, deadline=None, explain=False, min_index_version=None)
