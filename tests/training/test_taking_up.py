"""Runs that stop and are taken up again: by hand, at a full disk, with other options, from a checkpoint of another."""

import errno
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models.network import CopyNetwork, Shape
from models.training import checkpoint, run
from models.training.errors import CheckpointMismatch
from models.training.export import export
from models.training.options import Progress, TrainingOptions
from models.training.run import train

TinyRun = Callable[..., TrainingOptions]

pytestmark = pytest.mark.usefixtures("_simple_pictures")


@pytest.fixture
def attended() -> Iterator[None]:
    """As in a terminal: a program that was started in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def quiet(_progress: Progress) -> None:
    pass


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(str(folder / checkpoint.FILE))


def facts(folder: Path) -> dict[str, Any]:
    with safe_open(str(folder / checkpoint.FILE), framework="pt") as opened:
        told: dict[str, Any] = json.loads(opened.metadata()["afterimage"])
    return told


def rewritten(folder: Path, tensors: dict[str, torch.Tensor], told: dict[str, Any]) -> None:
    """The checkpoint of a folder with other contents."""
    save_file(tensors, str(folder / checkpoint.FILE), metadata={"afterimage": json.dumps(told)})


def test_a_run_stopped_by_hand_is_written_down_first(tiny: TinyRun) -> None:
    options = tiny(checkpoint_minutes=1000.0)

    def stop(_progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(options, stop)
    assert (options.folder / checkpoint.FILE).exists()


def test_a_run_taken_up_again_ends_as_if_it_had_never_stopped(tiny: TinyRun, tmp_path: Path) -> None:
    whole = train(tiny(folder=tmp_path / "whole", steps=4), quiet)
    first = tiny(folder=tmp_path / "halves", steps=4)
    stopped = _Stop(after=2)
    with pytest.raises(KeyboardInterrupt):
        train(first, stopped)
    halves = train(first, quiet)
    assert (whole.step, whole.views) == (halves.step, halves.views) == (4, 32)
    one, other = weights(whole.folder), weights(halves.folder)
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.usefixtures("attended")
def test_a_run_stopped_inside_a_step_finishes_it_first(
    tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny(folder=tmp_path / "whole"), quiet)
    real = run.copy_loss
    calls = iter(range(100))

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    options = tiny(folder=tmp_path / "stopped", checkpoint_minutes=1000.0)
    monkeypatch.setattr(run, "copy_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(options, quiet)
    assert facts(options.folder)["step"] == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train(options, quiet)
    one, other = weights(whole.folder), weights(options.folder)
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.usefixtures("attended")
def test_a_step_that_is_cut_off_is_not_written_down(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny()
    real = run.copy_loss
    calls = iter(range(100))

    def cut_off(*arguments: Any) -> Any:
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(run, "copy_loss", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train(options, quiet)
    assert facts(options.folder)["step"] == 2


class _Stop:
    """Interrupts a run after its checkpoint of a step was written."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._seen = False

    def __call__(self, progress: Progress) -> None:
        if self._seen:
            raise KeyboardInterrupt
        self._seen = progress.step >= self._after


def test_a_checkpoint_of_another_architecture_is_refused(tiny: TinyRun) -> None:
    train(tiny(steps=2), quiet)
    with pytest.raises(CheckpointMismatch, match="width 24"):
        train(tiny(steps=2, width=32), quiet)


def test_a_run_taken_up_with_other_options_is_refused_and_they_are_named(tiny: TinyRun, photographs: Path) -> None:
    init = export(CopyNetwork(Shape(24, norm=True)).eval(), tiny().folder.parent / "shipped", 32, {})
    train(tiny(steps=2), quiet)
    with pytest.raises(
        CheckpointMismatch, match=r"options \(learning_rate 0.002 then and 0.1 now, seed 0 then and 1 now"
    ):
        train(tiny(seed=1, learning_rate=0.1), quiet)
    with pytest.raises(CheckpointMismatch, match=r"options \(photographs 0 then"):
        train(tiny(photos=photographs), quiet)
    with pytest.raises(CheckpointMismatch, match=r"init_sha256 None then and [0-9a-f]{64} now"):
        train(tiny(init=init), quiet)


def test_a_run_may_be_made_longer(tiny: TinyRun) -> None:
    train(tiny(steps=2), quiet)
    assert train(tiny(steps=3, finish_steps=1, shipped_size=40), quiet).step == 3


def test_a_checkpoint_of_before_recipes_were_kept_is_gone_on_from(tiny: TinyRun) -> None:
    options = tiny(steps=2)
    train(options, quiet)
    told = facts(options.folder)
    del told["recipe"]
    rewritten(options.folder, weights(options.folder), told)
    assert train(tiny(steps=3, seed=5), quiet).step == 3


@pytest.mark.parametrize("part", ["network.head.weight", "optimiser.head.weight.exp_avg", "memory.origins"])
def test_a_checkpoint_with_a_part_that_does_not_fit_is_refused(tiny: TinyRun, part: str) -> None:
    options = tiny(steps=2)
    train(options, quiet)
    tensors = weights(options.folder)
    assert part in tensors
    tensors[part] = tensors[part][:1, :1].clone()
    rewritten(options.folder, tensors, facts(options.folder))
    with pytest.raises(CheckpointMismatch, match="does not fit"):
        train(options, quiet)


def test_a_checkpoint_of_another_format_is_refused(tiny: TinyRun) -> None:
    options = tiny(steps=2)
    train(options, quiet)
    rewritten(options.folder, weights(options.folder), facts(options.folder) | {"format": 99})
    with pytest.raises(CheckpointMismatch, match="format"):
        train(options, quiet)


def test_a_damaged_checkpoint_is_refused(tiny: TinyRun) -> None:
    options = tiny()
    options.folder.mkdir()
    (options.folder / checkpoint.FILE).write_bytes(b"nonsense that is long enough")
    with pytest.raises(CheckpointMismatch):
        train(options, quiet)


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    result = train(tiny(), quiet, warned.append)
    assert result.step == 4
    assert "No space left" in warned[0]
    assert not list(result.folder.glob("*.part"))
