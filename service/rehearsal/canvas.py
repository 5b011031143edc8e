"""A sheet to draw figures on: in points, at twice the size it is shown at, so that edges are smooth."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

_FINER = 2


class Canvas:
    """Lengths are pixels of the finished sheet; y grows downwards."""

    def __init__(self, width: int, height: int, background: Colour) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _FINER, height * _FINER), background)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def text(
        self, at: Point, words: str, *, size: float, colour: Colour, anchor: str = "ls", bold: bool = False
    ) -> float:
        """Writes; answers how wide it is."""
        font = _font(size)
        weight = size * _FINER * 0.022 if bold else 0.0
        self._draw.text(_finer(at), words, font=font, fill=colour, anchor=anchor, stroke_width=weight)
        return self.text_width(words, size)

    def text_width(self, words: str, size: float) -> float:
        return self._draw.textlength(words, font=_font(size)) / _FINER

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0, opacity: float = 1.0) -> None:
        thick = max(1, round(width * _FINER))
        self._draw.line([_finer(point) for point in points], fill=_seen(colour, opacity), width=thick, joint="curve")

    def dashes(self, points: Sequence[Point], colour: Colour, width: float, dash: float = 7.0) -> None:
        """A broken line along the points; the breaks go on around corners."""
        run = 0.0
        for start, end in itertools.pairwise(points):
            length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
            at = 0.0
            while at < length:
                left = dash - run % dash
                until = min(length, at + left)
                if int(run / dash) % 2 == 0:
                    self.line([_between(start, end, at / length), _between(start, end, until / length)], colour, width)
                run += until - at
                at = until

    def area(self, outline: Iterable[Point], colour: Colour, opacity: float = 1.0) -> None:
        self._draw.polygon([_finer(point) for point in outline], fill=_seen(colour, opacity))

    def box(self, corner: Point, size: Point, colour: Colour, *, radius: float = 0.0, opacity: float = 1.0) -> None:
        far = (corner[0] + size[0], corner[1] + size[1])
        self._draw.rounded_rectangle((*_finer(corner), *_finer(far)), radius * _FINER, fill=_seen(colour, opacity))

    def dot(self, at: Point, radius: float, colour: Colour, rim: Colour | None = None) -> None:
        self._draw.circle(_finer(at), radius * _FINER, fill=colour, outline=rim, width=_FINER)

    def ring(self, at: Point, radius: float, colour: Colour, width: float, inside: Colour) -> None:
        self._draw.circle(_finer(at), radius * _FINER, fill=inside, outline=colour, width=round(width * _FINER))

    def save(self, path: Path) -> None:
        """In the format that the path's ending names."""
        self._image.resize((self.width, self.height), Image.Resampling.LANCZOS).save(path)


def _finer(point: Point) -> Point:
    return point[0] * _FINER, point[1] * _FINER


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _seen(colour: Colour, opacity: float) -> tuple[int, int, int, int]:
    return (*colour, round(255 * opacity))


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _FINER)
