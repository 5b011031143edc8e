"""
What of a frame is embedded: the whole of it, and where it pays parts, turns and mirror images.

Which views a space uses is a part of the space: it is written beside the weights and the thresholds are measured with
it. Tiles are no part of it: whoever banks a frame may have them embedded besides, so that small crops are found too.
Everything here is a pure function of RGB frames, uint8 of shape (height, width, 3).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from models.documents import write_json
from models.errors import ModelUnavailable
from models.framing import boxed
from models.media.information import low_information
from models.media.types import Frame

FILE = "views.json"
FORMAT = 1
LEAST_TILE_PX: Final = 32
"""A tile of fewer pixels on a side shows too little of anything to be told from others."""


class View(StrEnum):
    """A way to look at a frame; some give several frames, some none."""

    WHOLE = "whole"
    BOXED = "boxed"
    MIRRORED = "mirrored"
    TURNED = "turned"
    CENTRE = "centre"
    HALVES = "halves"
    QUARTERS = "quarters"


class BadViews(ModelUnavailable):
    """The file that names a space's views is damaged or names one that is not known."""


@dataclass(frozen=True, slots=True)
class Views:
    """
    The views of a space.

    Args:
        reference: what is embedded of a banked frame.
        query: what is embedded of a frame that is asked about; the best score counts.
    """

    reference: tuple[View, ...] = (View.WHOLE,)
    query: tuple[View, ...] = (View.WHOLE,)

    def reference_views(self, frame: Frame) -> list[Frame]:
        """At least one frame, the whole first."""
        return _looked_at(frame, self.reference)

    def query_views(self, frame: Frame) -> list[Frame]:
        """At least one frame, the whole first."""
        return _looked_at(frame, self.query)

    @classmethod
    def load(cls, folder: Path) -> Views:
        """
        The views named in a local-dir; the whole frame alone where it names none.

        Raises:
            BadViews: the file is damaged or names a view that is not known.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise BadViews(f"{FILE} is of format {told['format']}; this program reads {FORMAT}")
            return cls(tuple(View(name) for name in told["reference"]), tuple(View(name) for name in told["query"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadViews(f"{FILE} cannot be read") from error

    def save(self, folder: Path) -> None:
        told = {"format": FORMAT, "reference": list(self.reference), "query": list(self.query)}
        write_json(folder / FILE, told)


def tiles(frame: Frame, count: int) -> list[Frame]:
    """
    Overlapping parts of a frame that is banked, spread evenly over it, each of the frame's own shape.

    Without those that show too little: a piece of sky is like every other piece of sky.

    Args:
        frame: any.
        count: 0, 4 or 9: none, four of three fifths of the sides, or nine of half of them.
    """
    if not count:
        return []
    across, share = _GRIDS[count]
    if min(frame.shape[:2]) * share < LEAST_TILE_PX:
        return []
    return [part for part in _grid(frame, across, share) if not low_information(Image.fromarray(part))]


def _looked_at(frame: Frame, views: tuple[View, ...]) -> list[Frame]:
    seen = [part for view in views for part in _PARTS[view](frame)]
    return seen or [frame]


def _part(frame: Frame, top: float, left: float, share: float) -> Frame:
    height, width = frame.shape[:2]
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    start_y, start_x = round((height - rows) * top), round((width - columns) * left)
    return np.ascontiguousarray(frame[start_y : start_y + rows, start_x : start_x + columns])


def _grid(frame: Frame, across: int, share: float) -> list[Frame]:
    places = [place / (across - 1) for place in range(across)]
    return [_part(frame, top, left, share) for top in places for left in places]


def _halves(frame: Frame) -> list[Frame]:
    height, width = frame.shape[:2]
    cut = (frame[:, : width // 2], frame[:, width // 2 :], frame[: height // 2], frame[height // 2 :])
    return [np.ascontiguousarray(part) for part in cut if part.size]


_PARTS: dict[View, Callable[[Frame], list[Frame]]] = {
    View.WHOLE: lambda frame: [frame],
    View.BOXED: boxed,
    View.MIRRORED: lambda frame: [np.ascontiguousarray(frame[:, ::-1])],
    View.TURNED: lambda frame: [np.ascontiguousarray(np.rot90(frame, turns)) for turns in (1, 2, 3)],
    View.CENTRE: lambda frame: [_part(frame, 0.5, 0.5, 0.7)],
    View.HALVES: _halves,
    View.QUARTERS: lambda frame: _grid(frame, *_GRIDS[4]),
}
_GRIDS: dict[int, tuple[int, float]] = {4: (2, 0.6), 9: (3, 0.5)}
"""How many tiles lie beside each other, and which share of the frame's sides each has, by how many there are."""
