"""What a training run is told, and what it tells while it goes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.training.errors import BadOptions

LEAST = {"workers": 0, "report_steps": 1, "held_out_steps": 1}


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """
    A run. The defaults are the recipe of the shipped weights on a CPU; `accelerated` has those for a GPU.

    Args:
        folder: where the run keeps its checkpoint and its pool of pictures.
        output: the local-dir to write at the end; nothing is exported without.
        photos: a folder of photographs to mix in; generated pictures only without.
        init: a local-dir to go on from, or `bundled` for the shipped network, instead of from nothing.
        device: `cpu`, `cuda`, or `auto` for CUDA where there is one.
        seed: the same seed, options and machine give the same pictures in the same order.
        width: channels of the network's stem; with `init`, it is that network's.
        steps: optimiser steps in all, each over `pairs` pairs of views.
        finish_steps: how many of the last of them bring the learning rate to zero, at `finish_size`.
        size: the side of the views, in pixels, before that.
        finish_size: the side of the views then.
        shipped_size: the side at which the exported model looks at pictures.
        pairs: pairs of views in a step.
        learning_rate: at its height; it rises to that over `warmup_steps` and stays until the finish.
        warmup_steps: see there.
        weight_decay: of weights that are not biases or norms.
        temperature: of the contrastive loss. Source: SSCD, section 4.1.
        entropy: weight of the entropy term. Source: SSCD, section 3.3.
        memory: rows of earlier steps that serve as more negatives. Source: Wang et al. 2020, cross-batch memory.
        memory_from: the step from which they do, when rows no longer change fast.
        average: how much of the running average of weights survives a step.
        pool: how many generated pictures are kept at hand.
        pool_start: how many of them are made before the first step.
        pool_pictures: how many are made in all; later ones take the place of the oldest.
        pool_size: their side in pixels.
        chunk: how many of them are made at a time.
        fresh: new ones a step, until there are that many.
        photo_share: the share of photographs in a batch, where a folder of them is given.
        workers: processes that prepare batches; 0 prepares them in between, which is right on a GPU.
        threads: CPU threads of the training itself.
        checkpoint_minutes: how often the run is written down.
        report_steps: how often progress is reported.
        held_out_steps: how often the held-out score is taken.

    Raises:
        BadOptions: a value that no run can have.
    """

    folder: Path
    output: Path | None = None
    photos: Path | None = None
    init: Path | None = None
    device: str = "auto"
    seed: int = 0
    width: int = 32
    steps: int = 14_550
    finish_steps: int = 1_600
    size: int = 64
    finish_size: int = 80
    shipped_size: int = 96
    pairs: int = 128
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    weight_decay: float = 0.02
    temperature: float = 0.05
    entropy: float = 3.0
    memory: int = 0
    memory_from: int = 1000
    average: float = 0.998
    pool: int = 20_480
    pool_start: int = 2048
    pool_pictures: int = 20_480
    pool_size: int = 128
    chunk: int = 64
    fresh: int = 4
    photo_share: float = 0.5
    workers: int = 1
    threads: int = 1
    checkpoint_minutes: float = 4.0
    report_steps: int = 50
    held_out_steps: int = 1000

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            told = getattr(self, name)
            if told < least:
                raise BadOptions(f"{name} is {told}: it must be at least {least}")

    def size_at(self, step: int) -> int:
        """The side of the views of this step, in pixels."""
        return self.finish_size if step >= self.steps - self.finish_steps else self.size

    def rate_at(self, step: int) -> float:
        """The learning rate of this step: up, level, and down to zero in the finish."""
        rising = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        falling = min(1.0, (self.steps - step) / self.finish_steps) if self.finish_steps else 1.0
        return self.learning_rate * rising * falling

    def recipe(self) -> dict[str, object]:
        """Everything that decides the weights, to be written beside them."""
        skip = {"folder", "output", "photos", "init", "device", "checkpoint_minutes", "report_steps", "held_out_steps"}
        return {key: value for key, value in asdict(self).items() if key not in skip}


def accelerated(options: TrainingOptions) -> TrainingOptions:
    """The same run with the recipe for a GPU: a wider network, larger views, many more of them, pictures always new."""
    return replace(
        options,
        width=48,
        steps=16_000,
        finish_steps=4_000,
        size=96,
        finish_size=128,
        shipped_size=128,
        pairs=1024,
        learning_rate=3e-3,
        warmup_steps=500,
        pool=65_536,
        pool_start=8_192,
        pool_pictures=1_600_000,
        pool_size=160,
        chunk=256,
        fresh=96,
        workers=0,
        report_steps=20,
        held_out_steps=500,
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Where a run stands.

    Args:
        step: optimiser steps done.
        steps: of how many.
        views: edited pictures seen.
        views_per_s: over the time since the last report.
        loss: contrastive loss, mean since the last report.
        spread: distance of a row to its nearest negative, mean since the last report.
        held_out: micro-AP on held-out generated pictures, where this report has one.
        held_out_photos: on held-out photographs of the training folder.
        seconds: of this process so far.
    """

    step: int
    steps: int
    views: int
    views_per_s: float
    loss: float
    spread: float
    held_out: float | None
    held_out_photos: float | None
    seconds: float
