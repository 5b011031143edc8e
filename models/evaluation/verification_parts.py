"""
What verification is fitted and measured on: copies, the innocent, and what is alike without being a copy.

The photographs are halved, as for the thresholds of a space: each half is banked in turn, some of it edited, and asked
about with the other. Beside it are pictures that resemble each other, halved likewise, and pictures on pages of one
app, with one logo, of one way of writing, before one wall.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.embedder import Embedder
from models.evaluation import queries
from models.evaluation.composed import composed_edits, moved
from models.evaluation.edits.registry import EDITS
from models.evaluation.errors import TooFewPictures
from models.evaluation.pictures import Picture, Tick, looked_at, original, read_folder
from models.evaluation.surroundings import Surroundings
from models.evaluation.systems import EmbeddingSystem
from models.evaluation.verified import Eye, Looked, VerifiedSystem
from models.media.types import DecodedFrame

LEAST = 20
WALLS = 4
"""Photographs that others are put before; they are neither banked nor asked about."""
PAGE_LEFT = 0.75
"""So much of a page is left at least: of what is all the app's own nobody can say that it is not the other page."""
WAYS = 4
"""How often each of the pictures edited in several ways is."""


@dataclass(frozen=True, slots=True)
class VerifyingOptions:
    """
    Args:
        photos: innocent photographs.
        alike: pictures that resemble each other and are no copies; they may be those the descriptor was trained on.
        originals: of each half, how many are edited in every way.
        composed: of each half, how many others are edited in several ways at once.
        edits: innocent queries made of each photograph, beside itself.
        alike_pictures: how many of `alike` are used.
        paged: of each half, so many are banked, and as many asked about, in surroundings that they share.
        seed: of the halves.
    """

    photos: Path
    alike: Path
    originals: int = 25
    composed: int = 60
    edits: int = 2
    alike_pictures: int = 1000
    paged: int = 120
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Half:
    photos: Sequence[Picture]
    alike: Sequence[Picture]
    walls: Sequence[Image.Image]


@dataclass(frozen=True, slots=True)
class Part:
    """One direction: a half is banked, and asked about with edits of itself, the other half, and look-alikes."""

    copies: Looked
    truth: NDArray[np.int64]
    composed: Looked
    composed_truth: NDArray[np.int64]
    innocent: Looked
    innocent_owners: NDArray[np.int64]
    alike: Looked
    paged: Looked


@dataclass(frozen=True, slots=True)
class Gathered:
    """
    Args:
        parts: the two directions.
        pictures: how many pictures they are made of.
    """

    parts: tuple[Part, Part]
    pictures: int


def gathered(options: VerifyingOptions, embedder: Embedder, tick: Tick) -> Gathered:
    """
    Look at everything, both ways.

    Raises:
        TooFewPictures: fewer than LEAST distinct ones in either folder.
    """
    photos, alike = (list(read_folder(folder, tick).pictures) for folder in (options.photos, options.alike))
    if min(len(photos), len(alike)) < LEAST:
        raise TooFewPictures(f"at least {LEAST} distinct pictures are needed in each folder")
    for pictures in (photos, alike):
        random.Random(options.seed).shuffle(pictures)
    alike = alike[: options.alike_pictures]
    walls = [Image.fromarray(original(picture).pixels) for picture in photos[:WALLS]]
    del photos[:WALLS]
    eye = Eye(EmbeddingSystem("descriptor", embedder))
    middle, centre = len(photos) // 2, len(alike) // 2
    one, other = _Half(photos[:middle], alike[:centre], walls), _Half(photos[middle:], alike[centre:], walls)
    parts = _part(eye, options, one, other, tick), _part(eye, options, other, one, tick)
    return Gathered(parts, len(photos) + len(alike))


def _part(eye: Eye, options: VerifyingOptions, banked: _Half, asked: _Half, tick: Tick) -> Part:
    system = _Watching(eye)
    name = system.name
    counted = [edit for edit in EDITS if edit.counted]
    lend = queries.lender(asked.photos)
    around = Surroundings(lend, asked.walls)
    bank = queries.bank([*banked.photos, *banked.alike], [system], tick)[name]
    bank += system.banked([_paged(around, picture, place) for place, picture in _last(banked.photos, options.paged)])
    first, more = options.originals, options.originals + options.composed
    copies = queries.ask(banked.photos[:first], counted, [system], lend, tick=tick, label="asking about edits")
    several = queries.ask(
        banked.photos[first:more], composed_edits(WAYS), [system], lend, tick=tick, label="asking about several edits"
    )
    innocent = queries.ask_some(
        asked.photos, counted, [system], lend, some=options.edits, tick=tick, label="asking about the innocent"
    )
    alike = queries.ask(asked.alike, (), [system], lend, tick=tick, label="asking about look-alikes")
    paged: list[Any] = []
    for place, picture in _last(asked.photos, options.paged):
        tick("asking about pages", place, options.paged)
        whole = _paged(around, picture, place)
        paged += system.asked([whole, _moved(whole, picture, around)])

    def found(made: Sequence[Any]) -> Looked:
        return eye.looked(made, bank)

    return Part(
        found(copies.signatures[name]),
        np.array(copies.owner),
        found(several.signatures[name]),
        np.array(several.owner) + first,
        found(innocent.signatures[name]),
        np.array(innocent.owner),
        found(alike.signatures[name]),
        found(paged),
    )


def _last(pictures: Sequence[Picture], count: int) -> Iterator[tuple[int, Picture]]:
    """From the end: from the beginning they are edited."""
    return enumerate(pictures[-count:])


def _paged(around: Surroundings, picture: Picture, place: int) -> DecodedFrame:
    dice = random.Random(picture.name)
    return looked_at(around.around(Image.fromarray(original(picture).pixels), place, dice))


def _moved(frame: DecodedFrame, picture: Picture, around: Surroundings) -> DecodedFrame:
    """A page cut a little, turned or mirrored: what it shares with others came along, and what it does not."""
    dice = random.Random(f"{picture.name} moved")
    return looked_at(moved(Image.fromarray(frame.pixels), dice, around.lend, PAGE_LEFT))


class _Watching(VerifiedSystem):
    """Signatures alone: there is nothing yet to weigh them with."""

    def __init__(self, eye: Eye) -> None:
        self.name = "watching"
        self.eye = eye
