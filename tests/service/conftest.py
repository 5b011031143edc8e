"""A service of real parts around a small embedder of our own, so that scores can be chosen."""

import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageDraw

from index.catalog import Catalog
from index.views.views import Views
from models.batching import Batcher
from models.calibration import CalibrationRecord, Sample, Threshold
from models.embedder import EmbedderId, Embeddings, Prepared, Space
from models.errors import EmbeddingFailed
from models.media.sandbox import Decoder
from models.media.types import Frame, MediaLimits
from service.app import create_app
from service.logs import open_log
from service.metrics import Metrics
from service.runtime import Parts, Runtime
from service.settings import Settings
from service.spaces.opening import ModelOpener
from service.spaces.space_set import LiveSpaces, Opened, ServedSpace

GRID = 4
DIM = GRID * GRID * 3
VARIANT, RELATED = 0.8, 0.6
SPACE = "toy-0123456789ab"
POISON = (255, 0, 255)
"""A picture whose first pixel is of this colour makes the embedder fail."""


class ToyEmbedder:
    """The colours of a coarse grid: near pictures have near colours."""

    def __init__(self, name: str = SPACE, *, calibrated: bool = True) -> None:
        self.space = Space(EmbedderId(name), "toy", DIM, GRID, calibration(name) if calibrated else None)
        self.device = "cpu"
        self.degraded = False
        self.embedded = 0

    def reference_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def query_views(self, frame: Frame) -> list[Frame]:
        return [frame]

    def prepare(self, view: Frame) -> Prepared:
        if tuple(view[0, 0]) == POISON:
            return None
        colours = np.asarray(Image.fromarray(view).resize((GRID, GRID), Image.Resampling.BOX), np.float32).ravel()
        return colours - colours.mean() + np.linspace(-1, 1, DIM)  # a plain picture has a direction too

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        if any(prepared is None for prepared in batch):
            raise EmbeddingFailed("The model failed on this picture.")
        self.embedded += len(batch)
        rows = np.stack(batch)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        pass


def calibration(name: str) -> CalibrationRecord:
    sample = Sample(pictures=400, queries=9800, bank_frames=650)
    return CalibrationRecord(
        name, "2026-11-22", sample, Threshold(VARIANT, 1e-4, 6e-4), Threshold(RELATED, 1e-2, 1.3e-2)
    )


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    limits = MediaLimits(max_bytes=300_000, max_pixels=4_000_000, max_frames=20)
    decoder = Decoder(limits, processes=1)
    yield decoder
    decoder.close()


def settings_in(folder: Path) -> Settings:
    return Settings(
        data_dir=folder,
        max_bytes=300_000,
        json_bytes=200_000,
        batch_files=4,
        batch_bytes=1_000_000,
        in_flight=2,
        index_wait_ms=0,
        trusted_publishers=("broadcaster.example",),
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


OpenService = Callable[..., Runtime]


@pytest.fixture(scope="session")
def empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrating takes longer than most tests: it is done once."""
    path = tmp_path_factory.mktemp("catalog") / "catalog.db"
    Catalog.open(f"sqlite:///{path}").close()
    return path


def open_in(stack: ExitStack, settings: Settings, decoder: Decoder) -> OpenService:
    """Opens services over the catalog of these settings; more than one is more than one worker."""

    def opened(*embedders: ToyEmbedder, log: io.StringIO | None = None) -> Runtime:
        catalog = Catalog.open(settings.catalog_url)
        stack.callback(catalog.close)
        spaces = []
        for embedder in embedders or (ToyEmbedder(),):
            batcher = Batcher(embedder)
            stack.callback(batcher.close)
            spaces.append(Opened(ServedSpace(embedder.space, batcher), batcher.close))
        live = LiveSpaces(spaces)
        views = Views(catalog, {served.id: served.space.dim for served in live.opened})
        stack.callback(views.close)
        metrics = Metrics()
        parts = Parts(
            settings=settings,
            catalog=catalog,
            decoder=decoder,
            opener=ModelOpener(settings, metrics),
            spaces=live,
            views=views,
            metrics=metrics,
            log=open_log("info", log or io.StringIO()),
        )
        return Runtime(parts, stack.enter_context(ExitStack()))

    return opened


@pytest.fixture
def open_service(settings: Settings, decoder: Decoder, empty_catalog: Path) -> Iterator[OpenService]:
    shutil.copy(empty_catalog, settings.data_dir / "catalog.db")
    with ExitStack() as stack:
        yield open_in(stack, settings, decoder)


@pytest.fixture(scope="module")
def shared_client(
    decoder: Decoder, empty_catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FlaskClient]:
    """For tests that change nothing, or whose point is that nothing was changed."""
    settings = settings_in(tmp_path_factory.mktemp("shared"))
    shutil.copy(empty_catalog, settings.data_dir / "catalog.db")
    with ExitStack() as stack:
        yield create_app(open_in(stack, settings, decoder)()).test_client()


@pytest.fixture
def service(open_service: OpenService) -> Runtime:
    return open_service()


@pytest.fixture
def client(service: Runtime) -> FlaskClient:
    return create_app(service).test_client()


def painted(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A photograph-like picture: soft fields of colour and a few shapes."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = random.integers(0, size[0] - 30), random.integers(0, size[1] - 30)
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.rectangle((left, top, left + 25, top + 20), fill=colour)
    return image


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def toy() -> type[ToyEmbedder]:
    return ToyEmbedder


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    return painted


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    return saved


@pytest.fixture
def jpeg() -> Callable[[int], bytes]:
    return lambda seed: saved(painted(seed), quality=92)


@pytest.fixture
def make_bank(client: FlaskClient) -> Callable[..., str]:
    def made(name: str = "first", purpose: str = "harmful", **settings: object) -> str:
        answer = client.put(f"/v1/banks/{name}", json={"purpose": purpose, "settings": settings})
        assert answer.status_code == 201
        return name

    return made
