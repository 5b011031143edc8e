"""A run on disk: everything needed to go on, as safetensors, written aside and moved into place."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from models.network import CopyNetwork
from models.training.errors import CheckpointMismatch
from models.training.loss import Memory

FILE = "checkpoint.safetensors"
FORMAT = 1
FREE = frozenset({"steps", "finish_steps", "shipped_size", "threads", "workers"})
"""What may differ when a run is taken up again: its length, and what does not decide the weights."""


@dataclass(slots=True)
class State:
    """
    What training changes.

    Args:
        network: being trained.
        average: the running average of its weights, which is what is evaluated and shipped.
        optimiser: of the network's parameters.
        memory: rows of earlier steps.
        step: steps done.
        views: views seen.
    """

    network: CopyNetwork
    average: CopyNetwork
    optimiser: torch.optim.AdamW
    memory: Memory
    step: int = 0
    views: int = 0


def save(state: State, folder: Path, recipe: dict[str, object]) -> Path:
    """
    Write the state and the recipe of its run, replacing the one before only when all of it is on disk.

    Raises:
        OSError: it does not fit on the disk, or cannot be written; the one before is untouched.
    """
    tensors = {f"network.{key}": value for key, value in state.network.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in state.average.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        slot = state.optimiser.state.get(parameter, {})
        tensors |= {f"optimiser.{name}.{key}": torch.as_tensor(value) for key, value in slot.items()}
    tensors |= {"memory.embeddings": state.memory.embeddings, "memory.origins": state.memory.origins}
    facts: dict[str, object] = {
        "format": FORMAT,
        "step": state.step,
        "views": state.views,
        "filled": state.memory.filled,
        "next": state.memory.next,
        "width": state.network.shape.width,
        "dim": state.network.shape.dim,
        "recipe": recipe,
    }
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder / FILE, tensors, facts)


def load(state: State, folder: Path, recipe: dict[str, object]) -> bool:
    """
    Bring the state to where the run stopped.

    Args:
        state: of a run that is about to start.
        folder: with the checkpoint.
        recipe: of that run; one of another recipe is refused, but for what is `FREE`.

    Returns:
        whether there was anything to go on from.

    Raises:
        CheckpointMismatch: it is of another architecture or recipe, or damaged.
    """
    path = folder / FILE
    if not path.exists():
        return False
    try:
        with safe_open(str(path), framework="pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("afterimage", "{}"))
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 not a dict
    except (SafetensorError, ValueError) as error:
        raise CheckpointMismatch(f"{FILE} cannot be read: remove it to start anew") from error
    if facts.get("format") != FORMAT:
        raise CheckpointMismatch(f"{FILE} is of a format that is not read here: remove it to start anew")
    shape = state.network.shape
    if (facts.get("width"), facts.get("dim")) != (shape.width, shape.dim):
        raise CheckpointMismatch(
            f"{FILE} is of width {facts.get('width')} and {facts.get('dim')} dimensions, "
            f"this run is of width {shape.width} and {shape.dim}: remove it or use its options"
        )
    _refuse_another(facts.get("recipe"), recipe)
    try:
        _into_state(state, tensors, facts)
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CheckpointMismatch(f"{FILE} does not fit this network: remove it to start anew") from error
    return True


def _refuse_another(then: dict[str, object] | None, now: dict[str, object]) -> None:
    """Checkpoints of before recipes were kept in them are taken as they are."""
    if then is None:
        return
    names = (then.keys() & now.keys()) | {name for name in ("init_sha256",) if name in then or name in now}
    others = sorted(name for name in names - FREE if then.get(name) != now.get(name))
    if others:
        told = ", ".join(f"{name} {then.get(name)} then and {now.get(name)} now" for name in others)
        raise CheckpointMismatch(f"{FILE} is of a run with other options ({told}): remove it or use its options")


def _into_state(state: State, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    _into_module(state.network, tensors, "network.")
    _into_module(state.average, tensors, "average.")
    _into_optimiser(state, tensors)
    if state.memory.embeddings.shape == tensors["memory.embeddings"].shape:
        if state.memory.origins.shape != tensors["memory.origins"].shape:
            raise ValueError("the memory's parts differ in length")
        state.memory.embeddings.copy_(tensors["memory.embeddings"])
        state.memory.origins.copy_(tensors["memory.origins"])
        state.memory.filled, state.memory.next = int(facts["filled"]), int(facts.get("next", 0))
    state.step, state.views = int(facts["step"]), int(facts["views"])


def _into_module(module: nn.Module, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    module.load_state_dict(
        {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    )


def _into_optimiser(state: State, tensors: dict[str, torch.Tensor]) -> None:
    slots: dict[int, dict[str, torch.Tensor]] = {}
    places = {id(part): place for place, part in enumerate(_ordered(state.optimiser))}
    for name, parameter in state.network.named_parameters():
        prefix = f"optimiser.{name}."
        slot = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if any(key != "step" and value.shape != parameter.shape for key, value in slot.items()):
            raise ValueError(f"the optimiser's part of {name} has another shape")
        if slot:
            slots[places[id(parameter)]] = slot
    known: dict[str, Any] = state.optimiser.state_dict()
    state.optimiser.load_state_dict({"state": slots, "param_groups": known["param_groups"]})


def _ordered(optimiser: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [part for group in optimiser.param_groups for part in group["params"]]


def _write(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, object]) -> Path:
    aside = path.with_suffix(".part")
    try:
        packed = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        save_file(packed, str(aside), metadata={"afterimage": json.dumps(facts)})
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    except SafetensorError as error:
        aside.unlink(missing_ok=True)
        raise OSError(f"{path.name} could not be written: {error}") from error
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    return path
