"""Pictures with corners to find, and a service that looks for them with a record of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageDraw

from models.calibration import Sample, Threshold
from models.features import EXTRACTOR
from models.verification import Evidence
from service.app import create_app
from service.runtime import Runtime
from service.settings import Settings

SPACE = "toy-0123456789ab"
ENOUGH = 12
VARIANT, RELATED = Threshold(0.9, 1e-4, 1e-3), Threshold(0.5, 1e-2, 2e-2)
SAMPLE = Sample(400, 9800, 650)
OpenService = Callable[..., Runtime]


@dataclass(frozen=True)
class WeighingRecord:
    """Says yes from `enough` agreeing places on; spares nothing but what scores under `far` or over `near`."""

    embedder_id: str = SPACE
    extractor: str = EXTRACTOR
    far: float = 0.2
    near: float = 2.0
    pdq_far: int = 60
    enough: int = ENOUGH
    variant: Threshold = VARIANT
    related: Threshold = RELATED
    sample: Sample = SAMPLE

    def probability(self, evidence: Evidence) -> float:
        return 0.95 if evidence.location is not None and evidence.location.inliers >= self.enough else 0.1

    def judged(self, evidence: Evidence) -> str:
        return "variant" if self.probability(evidence) >= self.variant.score else "none"

    def worth_looking(self, score: float | None, *_: object) -> bool:
        return score is not None and self.far <= score < self.near

    def far_at(self, bank_frames: int) -> float:
        return self.far + 0.0 * bank_frames

    def expected_fpr(self, threshold: Threshold, bank_frames: int) -> float:
        return threshold.fpr * bank_frames / self.sample.bank_frames


def _scene(seed: int, size: tuple[int, int] = (420, 320)) -> Image.Image:
    """Many small shapes on soft colours: corners everywhere, as in a photograph."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(150):
        x, y = dice.integers(0, size[0]), dice.integers(0, size[1])
        reach = dice.integers(3, 26, 4)
        shape = [(x - reach[0], y), (x, y - reach[1]), (x + reach[2], y), (x, y + reach[3])]
        draw.polygon([(int(a), int(b)) for a, b in shape], fill=tuple(int(v) for v in dice.integers(0, 256, 3)))
    return image


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 5, height // 6, width * 9 // 10, height * 5 // 6))


def _softened(seed: int) -> Image.Image:
    """Its colours with another picture's shapes: near by them, and nowhere the same."""
    colours = _scene(seed).resize((7, 5)).resize((420, 320))
    return Image.blend(colours, _scene(seed + 100), 0.3)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """With what a test changes."""
    return settings.model_copy(update=getattr(request, "param", {}))


@pytest.fixture
def verifying(open_service: OpenService, toy: Any) -> Callable[..., FlaskClient]:
    """A service whose space has a record of its own."""

    def opened(record: WeighingRecord | None = None, **changes: object) -> FlaskClient:
        embedder = toy()
        embedder.space = replace(embedder.space, verification=record or WeighingRecord(), **changes)
        service = open_service(embedder)
        client = create_app(service).test_client()
        client.service = service
        assert client.put("/v1/banks/first", json={"purpose": "harmful"}).status_code == 201
        return client

    return opened


@pytest.fixture
def record() -> type[WeighingRecord]:
    return WeighingRecord


@pytest.fixture
def scene() -> Callable[..., Image.Image]:
    return _scene


@pytest.fixture
def cropped() -> Callable[[Image.Image], Image.Image]:
    return _cropped


@pytest.fixture
def softened() -> Callable[[int], Image.Image]:
    return _softened
