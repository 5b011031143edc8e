"""One training run, from nothing, from a checkpoint, or from shipped weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from models.network import CopyNetwork, Shape, unfolded
from models.training import checkpoint
from models.training.checkpoint import State
from models.training.edits.pairs import Pairs
from models.training.errors import BadOptions, BatchesLost, ExportFailed, TrainingDiverged
from models.training.export import export, shipped_network, weights_sha256
from models.training.feed import Feed, open_feed
from models.training.held_out import HeldOut
from models.training.loss import Memory, copy_loss
from models.training.options import Progress, TrainingOptions
from models.training.photographs import Photographs, read_photographs
from models.training.pool import Batches, reserve
from models.training.stopping import Stop, stopped_between_steps

MOMENTA = (0.9, 0.98)
LONGEST_STEP = 3.0
"""Gradients are shortened to this norm."""
DIM = 256
MEASURED_PAIRS = 160
"""Pictures from which batch normalisation is measured when a shipped network is trained further."""

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Result:
    """
    Args:
        folder: with the checkpoint.
        output: the local-dir written, if one was asked for.
        step: steps done in all, over every time the run was taken up.
        views: views seen in all.
        seconds: of this process.
    """

    folder: Path
    output: Path | None
    step: int
    views: int
    seconds: float


def train(options: TrainingOptions, report: Report, warn: Callable[[str], None] = lambda _: None) -> Result:
    """
    Train until the options' last step, going on from the folder's checkpoint if it has one.

    Args:
        options: of the run.
        report: called every `report_steps`.
        warn: called with a sentence when something is wrong that does not end the run.

    Raises:
        NoTrainingPictures: the folder of photographs has none.
        PoolFailed: there is no room for the pool of pictures.
        CheckpointMismatch: the checkpoint is of another architecture or another recipe.
        TrainingDiverged: the loss is not a number any more; the last good checkpoint is kept.
        BatchesLost: the process that prepares batches died.
        ExportFailed: the result could not be written, or there is none: no step from nothing.
    """
    started = time.monotonic()
    torch.set_num_threads(options.threads)
    device = _device(options.device)
    photographs = _photographs(options, warn)
    state = _state(options, photographs, device)
    recipe = _recipe(options, state)
    kept = recipe | {"photographs": len(photographs.training)}
    checkpoint.load(state, options.folder, kept)
    if options.output is not None and options.init is None and max(state.step, options.steps) <= 0:
        raise ExportFailed("a network that was not trained at all is not exported: steps must be at least 1")
    if device.type == "cpu":
        reserve(options)
    held_out = HeldOut.prepare(options, photographs.held_out)
    with closing(open_feed(options, photographs.training, device, state.step)) as feed:
        _Loop(options, kept, state, feed, held_out, report, warn).run()
    output = None
    if options.output is not None:
        output = export(state.average, options.output, options.shipped_size, _facts(recipe, state, photographs))
    return Result(options.folder, output, state.step, state.views, time.monotonic() - started)


@dataclass(slots=True)
class _Loop:
    options: TrainingOptions
    recipe: dict[str, object]
    state: State
    feed: Feed
    held_out: HeldOut
    report: Report
    warn: Callable[[str], None]
    whole: bool = True
    """False inside a step, whose state must not be written down."""

    def run(self) -> None:
        try:
            with stopped_between_steps() as stop:
                self._run(stop)
        except KeyboardInterrupt:
            # Stopped by hand: nothing is lost, the same command goes on from here.
            if self.whole:
                self._write()
            raise

    def _run(self, stop: Stop) -> None:
        state, options = self.state, self.options
        started = reported = written = time.monotonic()
        losses: list[torch.Tensor] = []
        spreads: list[torch.Tensor] = []
        while state.step < options.steps:
            pairs = self._next(stop)
            self.whole = False
            contrast, spread = self._step(pairs)
            self.whole = True
            losses.append(contrast)
            spreads.append(spread)
            last = state.step == options.steps
            if state.step % options.report_steps == 0 or last:
                loss = _mean(losses)
                if not math.isfinite(loss):
                    raise TrainingDiverged(f"the loss is not a number before step {state.step}; the checkpoint is kept")
                now = time.monotonic()
                views = len(losses) * options.pairs * 2
                scores = self.held_out.scores(state.average) if self._scored(last) else (None, None)
                self.report(
                    Progress(
                        step=state.step,
                        steps=options.steps,
                        views=state.views,
                        views_per_s=views / (now - reported),
                        loss=loss,
                        spread=_mean(spreads),
                        held_out=scores[0],
                        held_out_photos=scores[1],
                        seconds=now - started,
                    )
                )
                losses, spreads, reported = [], [], time.monotonic()
                if last or reported - written > options.checkpoint_minutes * 60:
                    self._write()
                    written = time.monotonic()

    def _next(self, stop: Stop) -> Pairs:
        """
        The next batch, unless someone wants the run to end.

        Raises:
            KeyboardInterrupt: someone does.
            BatchesLost: see `Feed`.
        """
        stop.leave_if_asked()
        try:
            pairs = self.feed.next()
        except BatchesLost:
            stop.leave_if_asked()  # Ctrl-C reaches the workers too
            raise
        stop.leave_if_asked()
        return pairs

    def _scored(self, last: bool) -> bool:  # noqa: FBT001
        return last or self.state.step % self.options.held_out_steps == 0

    def _step(self, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        state, options = self.state, self.options
        device = state.memory.embeddings.device
        views = torch.cat([pairs.near, pairs.hard]).to(device, non_blocking=True)
        origins = pairs.origins.to(device, non_blocking=True).reshape(-1, 3)
        prepared = ((views.float() / 255 - 0.5) * 4).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            embeddings = state.network(prepared)
        loss = copy_loss(embeddings, origins, state.memory, options.temperature, options.entropy)
        for group in state.optimiser.param_groups:
            group["lr"] = options.rate_at(state.step)
        state.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        length = torch.nn.utils.clip_grad_norm_(state.network.parameters(), LONGEST_STEP)
        if device.type == "cpu" and not bool(length.isfinite()):
            raise TrainingDiverged(f"a gradient is not a number at step {state.step}; the checkpoint is kept")
        state.optimiser.step()
        if state.step >= options.memory_from:
            state.memory.add(embeddings, origins)
        state.step += 1
        state.views += len(views)
        _average(state.average, state.network, min(options.average, 1 - 1 / (state.step / 5 + 1)))
        return loss.contrast, loss.spread

    def _write(self) -> None:
        """
        Raises:
            TrainingDiverged: a weight is not a number; what was written before is kept.
        """
        if not all(bool(part.isfinite().all()) for part in self.state.network.parameters()):
            raise TrainingDiverged(f"a weight is not a number at step {self.state.step}; the checkpoint is kept")
        try:
            checkpoint.save(self.state, self.options.folder, self.recipe)
        except OSError as error:
            self.warn(f"the checkpoint could not be written ({error.strerror or error}); the one before is kept")


def _mean(values: list[torch.Tensor]) -> float:
    return float(torch.stack(values).mean()) if values else math.nan


@torch.no_grad()
def _average(average: CopyNetwork, network: CopyNetwork, kept: float) -> None:
    pairs = [
        (slow, fast)
        for slow, fast in zip(average.state_dict().values(), network.state_dict().values(), strict=True)
        if slow.dtype.is_floating_point
    ]
    torch._foreach_lerp_([slow for slow, _ in pairs], [fast for _, fast in pairs], 1 - kept)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BadOptions("There is no CUDA device here that PyTorch can use; train on `cpu`, or leave it to `auto`.")
    return torch.device(name)


def _photographs(options: TrainingOptions, warn: Callable[[str], None]) -> Photographs:
    if options.photos is None:
        none = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        return Photographs(none, none, 0)
    photographs = read_photographs(options.photos)
    if photographs.broken:
        warn(f"{photographs.broken} files could not be read as pictures and are left out")
    return photographs


def _state(options: TrainingOptions, photographs: Photographs, device: torch.device) -> State:
    torch.manual_seed(options.seed)
    if options.init is None:
        network = CopyNetwork(Shape(options.width, DIM, norm=True))
    else:
        alone = TrainingOptions(
            folder=options.folder,
            pool=256,
            pool_start=256,
            pool_pictures=256,
            pairs=MEASURED_PAIRS,
            photo_share=options.photo_share,
            workers=0,
        )
        pairs = Batches(alone, photographs.training, -1, torch.device("cpu")).batch(0)
        network = unfolded(shipped_network(options.init), (pairs.near.float() / 255 - 0.5) * 4)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(network).eval()
    shrunk = [part for part in network.parameters() if part.ndim > 1]
    free = [part for part in network.parameters() if part.ndim <= 1]
    groups = [{"params": shrunk, "weight_decay": options.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=options.learning_rate, betas=MOMENTA)
    return State(network, average, optimiser, Memory(options.memory, network.shape.dim, device))


def _recipe(options: TrainingOptions, state: State) -> dict[str, object]:
    """The options' own, but the width is the network's and what it started from is said."""
    recipe = options.recipe() | {"width": state.network.shape.width}
    return recipe if options.init is None else recipe | {"init_sha256": weights_sha256(options.init)}


def _facts(recipe: dict[str, object], state: State, photographs: Photographs) -> dict[str, object]:
    return {
        "recipe": recipe,
        "steps_done": state.step,
        "views": state.views,
        "photographs": len(photographs.training),
        "torch": torch.__version__,
    }
