"""
The job `reindex`: gives everything that is banked embeddings of another model, while the service goes on answering.

New items get theirs as they are banked, from the moment a process has the model open; the job fills in those that
were there before, from their originals, and ends when the space waits in shadow.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from index.catalog import Catalog
from index.errors import Conflict, NotFound, WrongStage
from index.records.jobs import FINISH, JobJson, Plan
from index.records.spaces import SpaceId, SpaceRecord, SpaceStage
from models.embedder import Embedder
from models.errors import ModelsError, ModelUnavailable
from models.evaluation.calibrating import CalibrationOptions, calibrate, save
from models.evaluation.errors import EvaluationError
from models.media.sandbox import Decoder
from models.openclip import canonical_name, path_in
from service.errors import Fault, SourceRefused
from service.jobs.errors import Cancelled, Hopeless
from service.jobs.options import ReindexOptions, read_options
from service.jobs.reembedding import Reembedder
from service.jobs.rows import Reach
from service.jobs.task import Task
from service.originals import OriginalStore
from service.spaces.space_set import LiveSpaces, Opened, ServedSpace

REINDEX: Final = "reindex"
_LEAST_PART: Final = 256
_MOST_PARTS: Final = 2000
_PAGE: Final = 32
"""Items embedded between two writes."""
_OPEN_WITHIN_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.5
_LISTED: Final = 100
"""Items that a result names of those that could not be embedded."""


class Opener(Protocol):
    """Opens models."""

    def open(self, model: str) -> Opened:
        """
        Raises:
            ModelsError: the sentence says what to do.
        """

    def embedder(self, model: str) -> Embedder:
        """The model alone; the caller closes it."""


@dataclass(frozen=True, slots=True)
class ReindexTools:
    """What a re-index works with."""

    catalog: Catalog
    spaces: LiveSpaces
    leading: Callable[[], SpaceId]
    opener: Opener
    decoder: Decoder
    originals: OriginalStore
    calibrations: Path
    at_once: int
    """How many originals are decoded at the same time."""
    log: FilteringBoundLogger


class Reindex:
    """
    The job kind. Options: `model`, `replaces` (a space; the leading one by default), `calibrate_on` (a folder).

    Args:
        tools: what it works with.
        roots: the folders that may be read; None is everything, for who sits at this machine.
    """

    def __init__(self, tools: ReindexTools, roots: Sequence[Path] | None) -> None:
        self._tools = tools
        self._reembedder = Reembedder(tools.spaces, tools.decoder, tools.originals, tools.at_once, tools.log)
        self._roots = roots

    def checked(self, options: JobJson) -> JobJson:
        """
        Raises:
            InvalidField, SourceRefused
        """
        wanted = read_options(ReindexOptions, options)
        self._refuse_out_of_reach(wanted)
        folder = wanted.calibrate_on
        return {
            "model": canonical_name(wanted.model),
            "replaces": wanted.replaces or self._tools.leading(),
            "calibrate_on": None if folder is None else str(_place(folder).resolve()),
        }

    def _refuse_out_of_reach(self, wanted: ReindexOptions) -> None:
        """
        Raises:
            SourceRefused: it names a place that may not be read.
        """
        reach = Reach(tuple(self._roots or ()), self._roots is None)
        named = {"model": path_in(wanted.model), "calibrate_on": wanted.calibrate_on}
        faults = [
            Fault(f"/options/{name}", "is in none of the folders that jobs may read (INGEST_ROOTS)")
            for name, path in named.items()
            if path is not None and not reach.allows(_place(path))
        ]
        if faults:
            raise SourceRefused("Jobs that are asked for over HTTP read what the operator opened to them.", faults)

    def plan(self, task: Task) -> Plan:
        """Begins the space, and cuts what is banked until now into ranges."""
        moves = self._tools.catalog.moves
        try:
            space = self._begin(task.options["model"], SpaceId(task.options["replaces"]))
        except (ModelsError, Conflict, NotFound) as error:
            raise Hopeless(str(error)) from error
        originals = moves.items()
        spans = moves.spans(max(_LEAST_PART, -(-originals // _MOST_PARTS)))
        return Plan(
            [{"space": space, "after": after, "until": until} for after, until in spans], moves.coverage(space).lacking
        )

    def _begin(self, model: str, replaces: SpaceId) -> SpaceId:
        opened = self._tools.opener.open(model)
        try:
            space, dim = opened.served.id, opened.served.space.dim
        finally:
            opened.close()
        self._tools.catalog.moves.begin(space, dim, model=model, replaces=None if replaces == space else replaces)
        return space

    def run(self, task: Task) -> None:
        """One range."""
        self._fill(task, SpaceId(task.span["space"]), task.span["after"], task.span["until"])

    def finish(self, task: Task) -> JobJson:
        """
        Fills in what was banked by processes that did not have the model open yet, and puts the space in shadow.

        Such a process says so in the catalog; once each has it open, nothing is banked without.
        """
        moves = self._tools.catalog.moves
        space = self._space_of(task.options["model"])
        self._wait_for_everybody(task, space)
        self._fill(task, space, 0, moves.newest_item())
        calibration = self._calibrate(task, space)
        record = moves.to_shadow(space)
        coverage = moves.coverage(space)
        return {
            "space": space,
            "stage": record.stage.value,
            "items": {
                "filled": coverage.filled,
                "failed": coverage.lacking,
                "without_original": coverage.without_original,
            },
            "not_filled": [{"bank": bank, "item_id": item_id} for bank, item_id in moves.left(space, _LISTED)],
            "calibration": calibration,
        }

    def _fill(self, task: Task, space: SpaceId, after: int, until: int) -> None:
        moves = self._tools.catalog.moves
        served = self._opened(task, space)
        after = max(after, (task.cursor or {}).get("after", 0))
        while page := moves.lacking(space, after, until, _PAGE):
            task.stop_if_asked()
            made = self._reembedder.made(served, page)
            filled = {item_id: frames for item_id, frames in made.items() if frames is not None}
            after = page[-1].key
            counts = {"embedded": len(filled), "failed": len(page) - len(filled)}
            if task.part_no == FINISH:  # what failed was done, and counted, before
                counts = {"embedded": counts["embedded"], "late": counts["embedded"]}
            else:
                counts["done"] = len(page)
            progress = task.progress({"after": after}, **counts)
            try:
                moves.fill(space, filled, progress)
            except WrongStage as error:
                self._tools.catalog.jobs.cancel(task.job_id)
                raise Cancelled(str(error)) from error
            task.advanced(progress)

    def _opened(self, task: Task, space: SpaceId) -> ServedSpace:
        """
        The space, once this process has it open.

        Raises:
            Cancelled: it was given up.
            ModelUnavailable: it is not opened here.
        """
        waited_s = 0.0
        while (served := self._tools.spaces.wait_for(space, _LOOK_EVERY_S)) is None:
            task.stop_if_asked()
            if self._record(space).stage is SpaceStage.DROPPED:
                self._tools.catalog.jobs.cancel(task.job_id)
                raise Cancelled("The space was dropped.")
            waited_s += _LOOK_EVERY_S
            if waited_s >= _OPEN_WITHIN_S:
                raise ModelUnavailable("The model could not be opened in this process; its log says why.")
        return served

    def _wait_for_everybody(self, task: Task, space: SpaceId) -> None:
        """Until every living process has it open; one that cannot is named when the space is to be promoted."""
        self._opened(task, space)
        waited_s = 0.0
        while waited_s < _OPEN_WITHIN_S:
            said = self._tools.catalog.moves.holdings(space).values()
            if all(holding.is_open for holding in said):
                return
            task.stop_if_asked()
            time.sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S

    def _calibrate(self, task: Task, space: SpaceId) -> JobJson:
        """What became of the calibration; a space without one matches too, and suggests nothing over `review`."""
        served = self._opened(task, space)
        folder = task.options["calibrate_on"]
        if folder is None:
            record = served.space.calibration
            return {"calibrated": True, "of": record.created} if record else {"calibrated": False, "why": _NO_PHOTOS}
        embedder = self._tools.opener.embedder(task.options["model"])
        try:
            made = calibrate(CalibrationOptions(Path(folder)), embedder, lambda *_: task.stop_if_asked())
            save(made.record, self._tools.calibrations / f"{space}.json")
        except (EvaluationError, OSError) as error:
            self._tools.log.warning("a space could not be calibrated", space=space, reason=type(error).__name__)
            return {"calibrated": False, "why": str(error) if isinstance(error, EvaluationError) else "unreadable"}
        finally:
            embedder.close()
        return {"calibrated": True, "of": made.record.created, "pictures": made.record.sample.pictures}

    def _space_of(self, model: str) -> SpaceId:
        """The space that the plan began, or found, for this model: the newest that is not given up."""
        named = [record for record in self._tools.catalog.moves.records() if record.model == model]
        living = [record.space for record in named if record.stage is not SpaceStage.DROPPED]
        if not living:
            raise Cancelled("The space was dropped.")
        return living[-1]

    def _record(self, space: SpaceId) -> SpaceRecord:
        return next(record for record in self._tools.catalog.moves.records() if record.space == space)


_NO_PHOTOS: Final = "no photographs were named to measure it on: `afterimage calibrate` does it at any time"


def _place(path: str | Path) -> Path:
    """With a home folder written out, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
