"""Queries made of pictures, shown to every system once: editing and decoding cost more than most systems do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from models.evaluation.edits.kinds import Edit, Lender
from models.evaluation.edits.registry import edited
from models.evaluation.pictures import Picture, Tick, looked_at, original
from models.evaluation.systems import System
from models.media.types import DecodedFrame

BLOCK = 32


@dataclass(frozen=True, slots=True)
class Queries:
    """
    Args:
        owner: the place among the pictures of each query's original.
        edit: the place among the edits of how it was made; -1 for the picture as it is.
        signatures: each system's, by its name, in the same order.
    """

    owner: tuple[int, ...]
    edit: tuple[int, ...]
    signatures: dict[str, list[Any]]


def lender(pictures: Sequence[Picture], most: int = 64) -> Lender:
    """Lends from some of these, decoded once."""
    shelf = [Image.fromarray(original(picture).pixels) for picture in pictures[:most]]
    return lambda dice: dice.choice(shelf)


def bank(pictures: Sequence[Picture], systems: Sequence[System], tick: Tick) -> dict[str, list[Any]]:
    """The signatures of the banked pictures, as they are."""
    held: dict[str, list[Any]] = {system.name: [] for system in systems}
    for start in range(0, len(pictures), BLOCK):
        tick("banking", start, len(pictures))
        frames = [original(picture) for picture in pictures[start : start + BLOCK]]
        for system in systems:
            held[system.name] += system.banked(frames)
    return held


def ask(
    pictures: Sequence[Picture],
    edits: Sequence[Edit],
    systems: Sequence[System],
    lend: Lender,
    *,
    tick: Tick,
    label: str,
) -> Queries:
    """Every edit of every picture; without edits, the pictures as they are."""
    made = Queries((), (), {system.name: [] for system in systems})
    owners: list[int] = []
    kinds: list[int] = []
    for place, picture in enumerate(pictures):
        tick(label, place, len(pictures))
        frame = original(picture)
        frames = [frame] if not edits else [_edit(edit, frame, picture, lend) for edit in edits]
        owners += [place] * len(frames)
        kinds += list(range(len(frames))) if edits else [-1]
        for system in systems:
            made.signatures[system.name].extend(system.asked(frames))
    return Queries(tuple(owners), tuple(kinds), made.signatures)


def ask_some(
    pictures: Sequence[Picture],
    edits: Sequence[Edit],
    systems: Sequence[System],
    lend: Lender,
    *,
    some: int,
    tick: Tick,
    label: str,
    plain: bool = True,
) -> Queries:
    """Each picture as it is (without `plain` not), and some edits of it, others for each picture."""
    signatures: dict[str, list[Any]] = {system.name: [] for system in systems}
    owners: list[int] = []
    kinds: list[int] = []
    for place, picture in enumerate(pictures):
        tick(label, place, len(pictures))
        frame = original(picture)
        chosen = sorted(random.Random(picture.name).sample(range(len(edits)), min(some, len(edits))))
        frames = [frame] * plain + [_edit(edits[edit], frame, picture, lend) for edit in chosen]
        owners += [place] * len(frames)
        kinds += [-1] * plain + chosen
        for system in systems:
            signatures[system.name].extend(system.asked(frames))
    return Queries(tuple(owners), tuple(kinds), signatures)


def _edit(edit: Edit, frame: DecodedFrame, picture: Picture, lend: Lender) -> DecodedFrame:
    return looked_at(edited(edit, Image.fromarray(frame.pixels), picture.name, lend))
