"""
Why an upload matches, as one picture: both side by side, the shared part lit, the same places in the same colours.

Somebody who has never heard of features must see at a glance: *this part of the upload is that part of the original*.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.geometry import Location
from models.media.types import Frame
from service.shared_part import Points, nearest_to_corners, shared_part, spread

Colour = tuple[int, int, int]
PANEL_WIDTH, PANEL_HEIGHT = 560, 480
"""A picture is fitted into this."""
GUTTER = 150
MARGIN = 44
HEADINGS = 104
WORDS = 84
ROW_GAP = 36
MOST_ROWS = 3
MOST_LINES = 32
FINER = 2
"""Everything is drawn this much larger and reduced at the end, which smooths every edge."""

_BACKGROUND = (18, 20, 25)
_EMPTY = (32, 35, 43)
_EDGE = (70, 74, 86)
_INK = (241, 242, 245)
_QUIET = (152, 157, 168)
_CORNERS = np.array([(255, 96, 88), (255, 204, 72), (78, 216, 150), (92, 168, 255)], np.float64)
"""Of the original's top left, top right, bottom right and bottom left; what lies between is mixed."""
_DOUBTFUL = (255, 190, 60)
_DIMMED = 0.3
_ROUND = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """One original that was found in the upload, or seems to be in it."""

    item_id: str
    upload: Frame
    original: Frame | None
    """None where it is not kept: its place is drawn empty."""
    original_size: tuple[int, int]
    """Width and height, also of one that is not kept."""
    location: Location
    title: str
    """What it is, in a few words."""
    facts: Sequence[str]
    """What is known of it, each in a few words."""
    proven: bool = True
    """Whether it is shown to be a copy; what is not is outlined and titled in another colour."""


def draw_explanation(matches: Sequence[Shown]) -> bytes:
    """
    The first few matches, one below the other, as a PNG.

    Args:
        matches: best first; at least one.
    """
    shown = matches[:MOST_ROWS]
    rows = [_Row.of(each) for each in shown]
    width = 2 * MARGIN + 2 * PANEL_WIDTH + GUTTER
    height = HEADINGS + sum(row.height for row in rows) + ROW_GAP * (len(rows) - 1) + MARGIN // 2
    canvas = Image.new("RGB", (width * FINER, height * FINER), _BACKGROUND)
    _headings(canvas)
    top = HEADINGS
    for each, row in zip(shown, rows, strict=True):
        _draw_row(canvas, each, row.lowered(top))
        top += row.height + ROW_GAP
    buffer = io.BytesIO()
    canvas.reduce(FINER).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a picture is drawn, in fine pixels."""

    left: float
    top: float
    width: float
    height: float

    def place(self, shares: Points) -> list[tuple[float, float]]:
        """From shares of the picture to places on the canvas."""
        return [(self.left + x * self.width, self.top + y * self.height) for x, y in shares.tolist()]

    @property
    def size(self) -> tuple[int, int]:
        return max(1, round(self.width)), max(1, round(self.height))

    @property
    def corner(self) -> tuple[int, int]:
        return round(self.left), round(self.top)


@dataclass(frozen=True, slots=True)
class _Row:
    """Where the two pictures and the words of a match stand."""

    upload: _Box
    original: _Box
    words: float
    height: int

    @classmethod
    def of(cls, shown: Shown) -> "_Row":
        rows, columns = shown.upload.shape[:2]
        sizes = [_fitted(columns, rows), _fitted(*shown.original_size)]
        tallest = max(height for _, height in sizes)
        upload, original = (
            _Box((start + (PANEL_WIDTH - w) / 2) * FINER, (tallest - h) / 2 * FINER, w * FINER, h * FINER)
            for start, (w, h) in zip((MARGIN, MARGIN + PANEL_WIDTH + GUTTER), sizes, strict=True)
        )
        return cls(upload, original, tallest * FINER, round(tallest) + WORDS)

    def lowered(self, by: int) -> "_Row":
        upload, original = (
            _Box(box.left, box.top + by * FINER, box.width, box.height) for box in (self.upload, self.original)
        )
        return _Row(upload, original, self.words + by * FINER, self.height)


def _fitted(width: int, height: int) -> tuple[float, float]:
    scale = min(PANEL_WIDTH / width, PANEL_HEIGHT / height)
    return width * scale, height * scale


def _headings(canvas: Image.Image) -> None:
    draw = ImageDraw.Draw(canvas)
    for start, text, note in (
        (MARGIN, "The upload", "bright: where the original lies in it"),
        (MARGIN + PANEL_WIDTH + GUTTER, "The banked original", "bright: the part of it that the upload shows"),
    ):
        centre = (start + PANEL_WIDTH / 2) * FINER
        draw.text((centre, 40 * FINER), text, font=_font(26), fill=_INK, anchor="mm", stroke_width=1)
        draw.text((centre, 72 * FINER), note, font=_font(17), fill=_QUIET, anchor="mm")


def _draw_row(canvas: Image.Image, shown: Shown, row: _Row) -> None:
    in_upload, in_original = shared_part(shown.location)
    _draw_picture(canvas, shown.upload, row.upload, in_upload)
    if shown.original is None:
        _draw_empty(canvas, row.original)
    else:
        _draw_picture(canvas, shown.original, row.original, in_original)
    for box, part in ((row.upload, in_upload), (row.original, in_original)):
        _draw_outline(canvas, box, part, (255, 255, 255) if shown.proven else _DOUBTFUL)
    _draw_pairs(canvas, shown.location, row)
    marked = nearest_to_corners(in_original)
    _draw_corners(canvas, row.upload.place(in_upload[marked]))
    _draw_corners(canvas, row.original.place(in_original[marked]))
    _draw_words(canvas, shown, row.words)


def _draw_picture(canvas: Image.Image, frame: Frame, box: _Box, lit: Points) -> None:
    """The picture, dark and nearly grey but for the part that is shared."""
    picture = Image.fromarray(frame).resize(box.size, Image.Resampling.LANCZOS)
    grey = picture.convert("L").convert("RGB")
    dark = Image.blend(Image.new("RGB", box.size, _BACKGROUND), Image.blend(picture, grey, 0.6), _DIMMED)
    part = Image.new("L", box.size, 0)
    if len(lit) > 2:  # noqa: PLR2004 - an area has three corners
        ImageDraw.Draw(part).polygon([(x * box.size[0], y * box.size[1]) for x, y in lit.tolist()], fill=255)
    dark.paste(picture, (0, 0), part)
    edge = (0, 0, box.size[0] - 1, box.size[1] - 1)
    ImageDraw.Draw(dark).rounded_rectangle(edge, _ROUND * FINER, outline=_EDGE, width=FINER)
    canvas.paste(dark, box.corner, _rounded(box))


def _draw_empty(canvas: Image.Image, box: _Box) -> None:
    canvas.paste(Image.new("RGB", box.size, _EMPTY), box.corner, _rounded(box))
    centre = (box.left + box.width / 2, box.top + box.height / 2)
    text = "the original is not kept"
    ImageDraw.Draw(canvas).text(centre, text, font=_font(20), fill=_QUIET, anchor="mm")


def _rounded(box: _Box) -> Image.Image:
    mask = Image.new("L", box.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, box.size[0] - 1, box.size[1] - 1), _ROUND * FINER, fill=255)
    return mask


def _draw_outline(canvas: Image.Image, box: _Box, part: Points, ink: Colour) -> None:
    """Drawn still finer: a line that is nearly level shows every step."""
    if len(part) <= 2:  # noqa: PLR2004 - an area has three corners
        return
    room, finer = 8 * FINER, 2
    places = [((x * box.width + room) * finer, (y * box.height + room) * finer) for x, y in part.tolist()]
    around = [*places, places[0], places[1]]  # once more, so that the first corner is joined as well
    size = (box.size[0] + 2 * room) * finer, (box.size[1] + 2 * room) * finer
    corner = box.corner[0] - room, box.corner[1] - room
    for colour, width in ((_BACKGROUND, 7), (ink, 4)):
        line = Image.new("L", size)
        ImageDraw.Draw(line).line(around, fill=255, width=width * FINER * finer, joint="curve")
        mask = line.reduce(finer)
        canvas.paste(Image.new("RGB", mask.size, colour), corner, mask)


def _draw_pairs(canvas: Image.Image, location: Location, row: _Row) -> None:
    """Lines between places that look alike; their colour says where in the original they are."""
    chosen = spread(np.asarray(location.reference_points, np.float64), MOST_LINES)
    shares = np.asarray(location.reference_points, np.float64)[chosen]
    ends = list(
        zip(
            row.upload.place(np.asarray(location.query_points, np.float64)[chosen]),
            row.original.place(shares),
            [colour_at(share) for share in shares],
            strict=True,
        )
    )
    over = Image.new("RGBA", canvas.size)
    draw = ImageDraw.Draw(over)
    for start, end, colour in ends:
        draw.line(_curve(start, end), fill=(*colour, 190), width=2 * FINER, joint="curve")
    for start, end, colour in ends:
        for place in (start, end):
            _draw_disc(draw, place, 5.5, _BACKGROUND)
            _draw_disc(draw, place, 4, colour)
    canvas.paste(over, (0, 0), over)


def _curve(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """Level at both ends, so that many lines between two pictures stay readable."""
    steps = np.linspace(0, 1, 40)
    eased = steps * steps * (3 - 2 * steps)
    return [
        (start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * e)
        for t, e in zip(steps.tolist(), eased.tolist(), strict=True)
    ]


def _draw_corners(canvas: Image.Image, places: Sequence[tuple[float, float]]) -> None:
    """The corners of the shared part, numbered alike in both pictures: what is turned or mirrored shows at once."""
    draw = ImageDraw.Draw(canvas)
    for number, (place, colour) in enumerate(zip(places, _CORNERS.astype(int).tolist(), strict=False), start=1):
        _draw_disc(draw, place, 14, (0, 0, 0))
        _draw_disc(draw, place, 13, (255, 255, 255))
        _draw_disc(draw, place, 11, tuple(colour))
        draw.text(place, str(number), font=_font(15), fill=(24, 24, 24), anchor="mm", stroke_width=1)


def _draw_disc(draw: ImageDraw.ImageDraw, place: tuple[float, float], radius: float, colour: Colour) -> None:
    (x, y), reach = place, radius * FINER
    draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)


def _draw_words(canvas: Image.Image, shown: Shown, top: float) -> None:
    draw = ImageDraw.Draw(canvas)
    centre = canvas.width / 2
    ink = _INK if shown.proven else _DOUBTFUL
    draw.text((centre, top + 30 * FINER), shown.title, font=_font(22), fill=ink, anchor="mm", stroke_width=1)
    draw.text((centre, top + 60 * FINER), "   ·   ".join(shown.facts), font=_font(17), fill=_QUIET, anchor="mm")


def colour_at(share: Points) -> Colour:
    """Of a place in the original: mostly that of the corner it is nearest."""
    x, y = (min(1.0, max(0.0, float(each))) for each in share)
    weights = np.array([(1 - x) * (1 - y), x * (1 - y), x * y, (1 - x) * y]) ** 2
    weights /= weights.sum()
    red, green, blue = (round(value) for value in (weights @ _CORNERS).tolist())
    return red, green, blue


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * FINER)
