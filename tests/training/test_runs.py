"""Runs: losses, schedules, workers, ending, exporting."""

import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from models.network import NAMED_SHAPES, CopyNetwork, Shape
from models.training import __main__ as training_main
from models.training import checkpoint, run
from models.training.errors import BadOptions, CheckpointMismatch, ExportFailed, TrainingDiverged
from models.training.export import BUNDLED, BUNDLED_FOLDER, WEIGHTS_FILE, export, shipped_network
from models.training.feed import WorkerFeed
from models.training.loss import Memory, copy_loss
from models.training.options import Progress, TrainingOptions, accelerated
from models.training.photographs import read_photographs
from models.training.pool import Batches
from models.training.run import train

TinyRun = Callable[..., TrainingOptions]

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("_simple_pictures")


def quiet(_progress: Progress) -> None:
    pass


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(str(folder / checkpoint.FILE))


def test_the_loss_is_what_a_hand_calculation_gives() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    origins = torch.tensor([[0, -1, -1], [1, -1, -1], [0, -1, -1], [1, -1, -1]])
    loss = copy_loss(rows, origins, Memory(0, 2, CPU), temperature=1.0, entropy=2.0)
    # Each row has its copy at cosine 1 and two others at cosine 0; the nearest of those is sqrt(2) away.
    contrast = -math.log(math.e / (math.e + 2))
    assert loss.contrast.item() == pytest.approx(contrast)
    assert loss.spread.item() == pytest.approx(math.sqrt(2))
    assert loss.total.item() == pytest.approx(contrast - 2 * math.log(math.sqrt(2)))


def test_rows_that_share_a_picture_are_no_negatives() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    apart = torch.tensor([[0, -1, -1], [1, -1, -1], [0, -1, -1], [1, -1, -1]])
    shared = torch.tensor([[0, -1, 1], [1, -1, -1], [0, -1, -1], [1, -1, 0]])
    strict = copy_loss(rows, apart, Memory(0, 2, CPU), 1.0, 0.0)
    lenient = copy_loss(rows, shared, Memory(0, 2, CPU), 1.0, 0.0)
    assert lenient.contrast < strict.contrast


def test_the_memory_forgets_the_oldest_and_adds_negatives() -> None:
    memory = Memory(3, 2, CPU)
    memory.add(torch.eye(2), torch.tensor([[5, -1, -1], [6, -1, -1]]))
    memory.add(torch.eye(2), torch.tensor([[7, -1, -1], [8, -1, -1]]))
    assert memory.filled == 3
    assert sorted(memory.origins[:, 0].tolist()) == [6, 7, 8]
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    origins = torch.tensor([[0, -1, -1], [0, -1, -1]])
    with_memory = copy_loss(rows, origins, memory, 1.0, 0.0)
    assert with_memory.contrast > 0


def test_the_recipe_for_a_gpu_sees_ten_million_views_and_is_one_that_can_be_shipped(tiny: TinyRun) -> None:
    options = accelerated(tiny())
    assert options.steps * options.pairs * 2 >= 10_000_000
    assert Shape(options.width) in NAMED_SHAPES
    assert options.folder == tiny().folder


def test_the_command_line_sets_what_it_is_told_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[TrainingOptions] = []
    monkeypatch.setattr(training_main, "train", lambda options, *_: ran.append(options))
    training_main.main(["--folder", str(tmp_path), "--steps", "7"])
    training_main.main(["--folder", str(tmp_path), "--accelerated", "--width", "24"])
    assert ran[0] == TrainingOptions(folder=tmp_path, steps=7)
    assert ran[1] == dataclasses.replace(accelerated(TrainingOptions(folder=tmp_path)), width=24)


def test_the_rate_rises_stays_and_falls_to_nothing(tiny: TinyRun) -> None:
    options = tiny(steps=100, finish_steps=20, warmup_steps=10, learning_rate=1.0)
    rates = [options.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[50] == rates[80] == 1.0
    assert rates[99] == pytest.approx(0.05)
    assert [options.size_at(step) for step in (0, 79, 80, 99)] == [32, 32, 40, 40]


def test_workers_prepare_the_batches_that_would_be_made_in_between(tiny: TinyRun, photographs: Path) -> None:
    options = tiny(workers=1, photos=photographs, photo_share=1.0, steps=3)
    feed = WorkerFeed(options, 1)
    try:
        made = [feed.next() for _ in range(2)]
    finally:
        feed.close()
    here = Batches(options, read_photographs(photographs).training, 0, CPU)
    for step, pairs in enumerate(made, start=1):
        assert torch.equal(pairs.hard, here.batch(step).hard)


HOLDS_A_FEED = """
import sys, time
from pathlib import Path
from models.training.feed import WorkerFeed
from models.training.options import TrainingOptions

if __name__ == "__main__":
    tiny = dict(size=32, finish_size=32, pairs=4, pool=64, pool_start=64, pool_pictures=64, pool_size=40)
    feed = WorkerFeed(TrainingOptions(folder=Path(sys.argv[1]), **tiny), 0)
    feed.next()
    print(feed._processes[0].pid, flush=True)
    time.sleep(60)
"""


def test_a_worker_ends_when_the_training_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "holds_a_feed.py"
    script.write_text(HOLDS_A_FEED)
    root = str(Path(run.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    ) as training:
        assert training.stdout is not None
        worker = psutil.Process(int(training.stdout.readline()))
        training.kill()
    worker.wait(timeout=30)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_checkpoint(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny(steps=8)
    real = run.copy_loss
    calls = iter(range(100))

    def poisoned(*arguments: Any) -> Any:
        loss = real(*arguments)
        if next(calls) < 3:
            return loss
        return dataclasses.replace(loss, total=loss.total * math.nan, contrast=loss.contrast * math.nan)

    monkeypatch.setattr(run, "copy_loss", poisoned)
    with pytest.raises(TrainingDiverged):
        train(options, quiet)
    assert all(value.isfinite().all() for value in weights(options.folder).values())


def test_what_is_exported_is_what_was_trained_and_can_be_trained_further(tiny: TinyRun, tmp_path: Path) -> None:
    output = tmp_path / "local-dir"
    result = train(tiny(output=output, steps=2), quiet)
    assert result.output == output
    shipped = shipped_network(output)
    rows = shipped(torch.randn(2, 3, 32, 32))
    assert rows.shape == (2, 256)
    further = train(tiny(folder=tmp_path / "further", init=output, steps=2), quiet)
    assert further.step == 2


def _shipped(folder: Path, width: int) -> Path:
    return export(CopyNetwork(Shape(width, norm=True)).eval(), folder / "shipped", 32, {})


def test_what_a_run_went_on_from_is_written_beside_its_weights(tiny: TinyRun, tmp_path: Path) -> None:
    output, init = tmp_path / "local-dir", _shipped(tmp_path, 32)
    train(tiny(init=init, output=output, steps=1), quiet)
    recipe = json.loads((output / "training.json").read_text())["recipe"]
    assert recipe["width"] == 32
    assert recipe["init_sha256"] == hashlib.sha256((init / WEIGHTS_FILE).read_bytes()).hexdigest()


def test_the_shipped_network_is_gone_on_from_by_its_name() -> None:
    named, told = shipped_network(BUNDLED), shipped_network(BUNDLED_FOLDER)
    assert torch.equal(named.head.weight, told.head.weight)


def test_a_network_that_was_not_trained_is_not_exported(tiny: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="not trained"):
        train(tiny(steps=0, finish_steps=0, output=tmp_path / "local-dir"), quiet)
    assert not (tmp_path / "local-dir").exists()


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"report_steps": 0}, {"held_out_steps": 0}])
def test_options_that_no_run_can_have_are_refused(tiny: TinyRun, wrong: dict[str, int]) -> None:
    with pytest.raises(BadOptions, match="at least"):
        tiny(**wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device to train on")
def test_a_device_that_is_not_there_is_said(tiny: TinyRun) -> None:
    with pytest.raises(BadOptions, match="no CUDA device"):
        train(tiny(device="cuda"), quiet)


def test_export_refuses_a_width_that_could_not_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="width 8"):
        export(CopyNetwork(Shape(8, norm=True)), tmp_path, 32, {})


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportFailed):
        export(CopyNetwork(Shape(24, norm=True)), tmp_path / "file", 32, {})


def test_a_folder_without_a_network_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch):
        shipped_network(tmp_path)


def test_progress_is_reported_with_a_held_out_score_at_the_end(tiny: TinyRun) -> None:
    told: list[Progress] = []
    train(tiny(), told.append)
    assert [progress.step for progress in told] == [2, 4]
    assert told[-1].held_out is not None
    assert 0 <= told[-1].held_out <= 1
    assert told[-1].views == 32
