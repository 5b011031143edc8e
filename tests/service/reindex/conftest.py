"""Workers over one catalog that move to another model, with models whose scores can be foreseen."""

import io
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from index.catalog import Catalog
from index.records.jobs import JobId
from index.records.spaces import SpaceId, SpaceRecord
from index.views.views import Views
from models.batching import Batcher
from models.embedder import EmbedderId, Embeddings, Prepared, Space
from models.errors import ModelUnavailable, UnknownModel
from models.media.sandbox import Decoder
from models.media.types import Frame
from service.app import create_app
from service.jobs.kinds import job_kinds
from service.jobs.runner import Runner
from service.logs import open_log
from service.metrics import Metrics
from service.runtime import Parts, Runtime
from service.settings import Settings
from service.spaces.keeper import SpaceKeeper
from service.spaces.opening import open_spaces
from service.spaces.space_set import Opened, ServedSpace

OLD, NEW = SpaceId("old-000000000000"), SpaceId("new-111111111111")
MODELS = {"old": (OLD, 4), "new": (NEW, 6)}


class Grid:
    """The colours of a coarse grid, of so many fields a side."""

    def __init__(self, name: str, space: SpaceId, side: int) -> None:
        self.space = Space(EmbedderId(space), name, side * side * 3, side, None)
        self.device = "cpu"
        self.degraded = False
        self.embedded = 0
        self.before: Callable[[], None] = lambda: None
        """Called before each batch."""

    def reference_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def query_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def prepare(self, view: Frame) -> Prepared:
        side = self.space.image_px
        colours = np.asarray(Image.fromarray(view).resize((side, side), Image.Resampling.BOX), np.float32).ravel()
        return colours - colours.mean() + np.linspace(-1, 1, len(colours))

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        self.before()
        self.embedded += len(batch)
        rows = np.stack(batch)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        pass


class Opener:
    """Opens what a test knows; remembers what it opened."""

    def __init__(self) -> None:
        self.opened: dict[str, list[Grid]] = {name: [] for name in MODELS}
        self.broken: set[str] = set()

    def open(self, model: str) -> Opened:
        if model not in MODELS or model in self.broken:
            raise UnknownModel(f"There is no model {model}.")
        grid = self.embedder(model)
        self.opened[model].append(grid)
        batcher = Batcher(grid)
        return Opened(ServedSpace(grid.space, batcher), batcher.close)

    def embedder(self, model: str) -> Grid:
        return Grid(model, *MODELS[model])

    def open_recorded(self, record: SpaceRecord) -> Opened:
        if record.model is None:
            raise ModelUnavailable("Nobody noted it.")
        return self.open(record.model)


class Clock:
    """Real time, moved on at will."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Worker:
    """One process of a service, as far as spaces go."""

    runtime: Runtime
    keeper: SpaceKeeper
    client: FlaskClient
    opener: Opener
    log: io.StringIO

    def tend(self) -> None:
        self.keeper.tend()
        self.keeper.settle()
        self.keeper.tend()  # and says so

    def match(self, data: bytes, query: str = "") -> dict[str, Any]:
        answer = self.client.post(f"/v1/match{query}", data=data, content_type="image/jpeg")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.get_json()
        return told

    def bank(self, data: bytes) -> str:
        answer = self.client.post("/v1/banks/known/items", data=data, content_type="image/jpeg")
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["item_id"])

    def post(self, path: str, status: int = 200) -> dict[str, Any]:
        answer = self.client.post(f"/v1/spaces/{path}")
        assert answer.status_code == status, answer.text
        told: dict[str, Any] = answer.get_json()
        return told

    def work_through(self, job_id: str, *workers: "Worker") -> dict[str, Any]:
        """Does a job here, while all of them look after their spaces."""
        jobs = self.runtime.catalog.jobs
        runner = Runner(jobs, job_kinds(self.runtime, None), self.runtime.settings.jobs_dir, self.runtime.log)
        while not jobs.get(job_id).state.ended:
            assert runner.run_one(JobId(job_id))
            for each in workers or (self,):
                each.tend()
        told: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}").get_json()
        return told

    def stages(self) -> dict[str, str]:
        listed = self.client.get("/v1/spaces").get_json()["items"]
        return {space["embedder_id"]: space["stage"] for space in listed}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(settings: Settings, decoder: Decoder, empty_catalog: Path, clock: Clock) -> Iterator[Callable[..., Worker]]:
    """Starts workers over one catalog."""
    shutil.copy(empty_catalog, settings.data_dir / "catalog.db")
    with ExitStack() as stack:

        def started(models: Sequence[str] = ("old",), broken: Collection[str] = ()) -> Worker:
            opener, log_file = Opener(), io.StringIO()
            opener.broken.update(broken)
            log = open_log("info", log_file)
            catalog = Catalog.open(settings.catalog_url, clock)
            stack.callback(catalog.close)
            spaces = open_spaces(models, catalog, opener, log)  # type: ignore[arg-type] # an opener of our own
            stack.callback(spaces.close)
            views = Views(catalog, {served.id: served.space.dim for served in spaces.opened})
            stack.callback(views.close)
            views.follow()
            parts = Parts(
                settings=settings.model_copy(update={"shadow_share": 1.0}),
                catalog=catalog,
                decoder=decoder,
                opener=opener,  # type: ignore[arg-type] # likewise
                spaces=spaces,
                views=views,
                metrics=Metrics(),
                log=log,
            )
            runtime = Runtime(parts, stack.enter_context(ExitStack()))
            keeper = SpaceKeeper(
                spaces=spaces, views=views, catalog=catalog, open_recorded=opener.open_recorded,
                calibrations=settings.calibration_dir, patience_s=10.0, log=log,
            )  # fmt: skip
            stack.callback(keeper.close)
            return Worker(runtime, keeper, create_app(runtime).test_client(), opener, log_file)

        yield started


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    """With a bank and nothing in it."""
    worker = start()
    worker.client.put("/v1/banks/known", json={"purpose": "harmful"})
    return worker


@pytest.fixture
def rebuilt() -> Callable[..., dict[str, Any]]:
    """Runs a re-index in the first of some workers, to its end."""

    def run(*workers: Worker, options: dict[str, Any] | None = None) -> dict[str, Any]:
        first = workers[0]
        kinds = job_kinds(first.runtime, None)
        kept = kinds["reindex"].checked({"model": "new", **(options or {})})
        return first.work_through(first.runtime.catalog.jobs.create("reindex", kept).job_id, *workers)

    return run


@pytest.fixture
def in_shadow(rebuilt: Callable[..., dict[str, Any]], clock: Clock) -> Callable[..., None]:
    """Brings some workers to where the new space can be promoted."""

    def bring(*workers: Worker) -> None:
        assert rebuilt(*workers)["state"] == "succeeded"
        clock.pass_by(5)
        for each in workers:
            each.tend()

    return bring
