"""A device that fails while serving: smaller batches first, then the CPU, and it says so."""

import numpy as np
import pytest
import torch
from torch import nn

from models.embedder import EmbedderId, Space
from models.errors import EmbeddingFailed
from models.tower import Tower
from models.tower_embedder import TowerEmbedder, embedded
from models.views import View, Views

CPU = torch.device("cpu")


class Means(nn.Module):
    """Answers the mean of each colour; fails where the test says."""

    def __init__(self, most: int = 1000, failure: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.most = most
        self.failure = failure
        self.sizes: list[int] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(pixels))
        if len(pixels) > self.most:
            raise self.failure("CUDA error: out of luck")
        return pixels.mean(dim=(2, 3))


def pixels(count: int) -> torch.Tensor:
    return torch.arange(count * 12, dtype=torch.float32).reshape(count, 3, 2, 2) + 1


def test_without_an_accelerator_it_runs_on_the_cpu() -> None:
    tower = Tower(Means())
    assert torch.equal(tower.rows(pixels(3)), pixels(3).mean(dim=(2, 3)))
    assert (tower.device, tower.degraded) == ("cpu", False)


def test_when_memory_is_short_it_goes_on_in_smaller_parts() -> None:
    host, fast = Means(), Means(most=2)
    tower = Tower(host, fast, CPU)
    assert torch.equal(tower.rows(pixels(7)), pixels(7).mean(dim=(2, 3)))
    assert not tower.degraded
    assert host.sizes == []
    assert max(size for size in fast.sizes if size <= 2) == 2


@pytest.mark.parametrize("failure", [torch.OutOfMemoryError, RuntimeError])
def test_when_the_device_fails_it_goes_on_on_the_cpu_and_stays_there(failure: type[Exception]) -> None:
    host, fast = Means(), Means(most=0, failure=failure)
    tower = Tower(host, fast, torch.device("cpu", 0))
    assert tower.device == "cpu:0"
    assert torch.equal(tower.rows(pixels(4)), pixels(4).mean(dim=(2, 3)))
    assert (tower.device, tower.degraded) == ("cpu", True)
    tried = len(fast.sizes)
    assert torch.equal(tower.rows(pixels(2)), pixels(2).mean(dim=(2, 3)))
    assert len(fast.sizes) == tried


def test_a_batch_that_fails_on_the_cpu_too_is_not_blamed_on_the_device() -> None:
    tower = Tower(Means(most=0, failure=RuntimeError), Means(most=0, failure=RuntimeError), CPU)
    with pytest.raises(RuntimeError):
        tower.rows(pixels(1))
    assert not tower.degraded


class Answers(nn.Module):
    """Answers the same whatever it is shown."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        torch.tensor([[1.0, float("nan")]]),
        torch.tensor([[1.0, float("inf")]]),
        torch.zeros(1, 2),
        torch.ones(2, 2),
        torch.ones(1, 2, 2),
        torch.ones(1),
    ],
    ids=["nan", "infinite", "zero", "too many rows", "too many axes", "no row"],
)
def test_what_is_no_embedding_is_an_error(answer: torch.Tensor) -> None:
    with pytest.raises(EmbeddingFailed):
        embedded(Tower(Answers(answer)), [pixels(1)[0]])


def test_rows_are_of_norm_one() -> None:
    rows = embedded(Tower(Answers(torch.tensor([[3.0, 4.0], [0.0, 1e-3]]))), list(pixels(2)))
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, pytest.approx(1.0)]]
    assert rows.dtype == np.float32


def test_views_are_those_of_the_space_and_a_failing_preparation_is_the_pictures_own() -> None:
    def refuse(_: object) -> torch.Tensor:
        raise ValueError("height and width must be > 0")

    space = Space(EmbedderId("x-0"), "x", 2, 4, None)
    embedder = TowerEmbedder(space, Tower(Means()), refuse, Views(query=(View.WHOLE, View.MIRRORED)))
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert len(embedder.reference_views(frame)) == 1
    whole, mirrored = embedder.query_views(frame)
    assert np.array_equal(whole[:, ::-1], mirrored)
    with pytest.raises(EmbeddingFailed):
        embedder.prepare(frame)
    embedder.close()
