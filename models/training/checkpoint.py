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


def save(state: State, folder: Path) -> Path:
    """
    Write the state, replacing the one before only when all of it is on disk.

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
    }
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder / FILE, tensors, facts)


def load(state: State, folder: Path) -> bool:
    """
    Bring the state to where the run stopped.

    Returns:
        whether there was anything to go on from.

    Raises:
        CheckpointMismatch: it is of another architecture, or damaged.
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
    shape = state.network.shape
    if (facts.get("width"), facts.get("dim")) != (shape.width, shape.dim):
        raise CheckpointMismatch(
            f"{FILE} is of width {facts.get('width')} and {facts.get('dim')} dimensions, "
            f"this run is of width {shape.width} and {shape.dim}: remove it or use its options"
        )
    _into_module(state.network, tensors, "network.")
    _into_module(state.average, tensors, "average.")
    _into_optimiser(state, tensors)
    if state.memory.embeddings.shape == tensors["memory.embeddings"].shape:
        state.memory.embeddings.copy_(tensors["memory.embeddings"])
        state.memory.origins.copy_(tensors["memory.origins"])
        state.memory.filled, state.memory.next = int(facts["filled"]), int(facts.get("next", 0))
    state.step, state.views = int(facts["step"]), int(facts["views"])
    return True


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
