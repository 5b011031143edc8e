"""The contact sheet: every edit with what PDQ and Afterimage said of it."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from service.demonstration.outcomes import Demonstration, Outcome, only_related, seen_by_afterimage, seen_by_pdq

Colour = tuple[int, int, int]
Colours = tuple[Colour, Colour]
"""Of the ink, and of what it stands on."""

_CELL = 168
_GAP = 14
_PICTURE = 168
_CHIPS = 58
_MARGIN = 56
_TITLE = 250
_HEADINGS = 40
_ROW = _PICTURE + _CHIPS + 26

_BACKGROUND = (246, 245, 242)
_INK = (28, 28, 32)
_QUIET = (128, 126, 122)
_FRAME = (226, 224, 218)
_GREEN = (24, 128, 84)
_GREEN_PALE = (220, 240, 229)
_AMBER = (166, 106, 8)
_AMBER_PALE = (252, 238, 208)
_RED = (186, 48, 48)
_RED_PALE = (250, 226, 222)
_GREY_PALE = (232, 230, 225)


def write_sheet(demonstration: Demonstration, path: Path) -> None:
    """Draws the sheet and writes it, in the format that the path's ending names."""
    columns = len(demonstration.edits) + 1
    width = 2 * _MARGIN + columns * (_CELL + _GAP) - _GAP + _GAP
    rows = len(demonstration.originals)
    height = _TITLE + _HEADINGS + rows * _ROW + 108 + _ROW + 36
    canvas = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    _draw_title(draw, demonstration)
    for column, heading in enumerate(("original", *demonstration.edits)):
        centre = _left(column) + _CELL // 2
        draw.text((centre, _TITLE + 12), heading, font=_font(21), fill=_QUIET if column == 0 else _INK, anchor="mm")
    for row, (name, original) in enumerate(demonstration.originals.items()):
        top = _TITLE + _HEADINGS + row * _ROW
        _draw_picture(canvas, original, _left(0), top)
        draw.text((_left(0) + _CELL // 2, top + _PICTURE + 18), name, font=_font(19), fill=_QUIET, anchor="mm")
        for column, outcome in enumerate(demonstration.of_photograph(name), start=1):
            _draw_outcome(canvas, outcome, _left(column), top)
    _draw_unrelated(canvas, demonstration, _TITLE + _HEADINGS + rows * _ROW + 24)
    canvas.save(path, quality=88)


def _draw_title(draw: ImageDraw.ImageDraw, demonstration: Demonstration) -> None:
    outcomes = demonstration.outcomes
    draw.text((_MARGIN, 48), "Afterimage", font=_font(58), fill=_INK, stroke_width=1)
    draw.text(
        (_MARGIN, 128),
        f"{len(demonstration.originals)} photographs in a bank, {len(outcomes)} edited re-uploads of them, "
        f"{len(demonstration.unrelated)} uploads that have nothing to do with them.",
        font=_font(25),
        fill=_QUIET,
    )
    seen = f"Afterimage recognises {seen_by_afterimage(outcomes)} of {len(outcomes)}"
    left = _MARGIN
    for text, colour, pale in (
        (f"PDQ recognises {seen_by_pdq(outcomes)} of {len(outcomes)}", _INK, _GREY_PALE),
        (f"{seen}, {only_related(outcomes)} only as related", _GREEN, _GREEN_PALE),
    ):
        font = _font(27)
        wide = round(draw.textlength(text, font=font)) + 44
        draw.rounded_rectangle((left, 172, left + wide, 220), 24, fill=pale)
        draw.text((left + wide // 2, 196), text, font=font, fill=colour, anchor="mm", stroke_width=0.4)
        left += wide + 18
    threshold = outcomes[0].distance_threshold if outcomes else 0
    draw.text(
        (left + 8, 196),
        f"Under each upload: PDQ's distance to the original, recognised (green) up to {threshold} of 256, "
        "and Afterimage's band and cosine.",
        font=_font(21),
        fill=_QUIET,
        anchor="lm",
    )


def _draw_unrelated(canvas: Image.Image, demonstration: Demonstration, top: int) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.line((_MARGIN, top, canvas.width - _MARGIN, top), fill=_FRAME, width=2)
    wrong = seen_by_afterimage(demonstration.unrelated)
    text = "Unrelated pictures: none may match"
    draw.text((_MARGIN, top + 26), text, font=_font(27), fill=_INK, stroke_width=0.4)
    after = _MARGIN + round(draw.textlength(text, font=_font(27))) + 22
    draw.text(
        (after, top + 28),
        f"{wrong} of {len(demonstration.unrelated)} do",
        font=_font(25),
        fill=_RED if wrong else _GREEN,
    )
    # Aligned with the edits, so that the eye reads them as one more row.
    for column, outcome in enumerate(demonstration.unrelated, start=1):
        _draw_outcome(canvas, outcome, _left(column), top + 84)


def _draw_outcome(canvas: Image.Image, outcome: Outcome, left: int, top: int) -> None:
    _draw_picture(canvas, outcome.data, left, top)
    expected = bool(outcome.edit)
    distance = "no PDQ" if outcome.distance is None else f"PDQ {outcome.distance}"
    band = outcome.band if outcome.score is None else f"{outcome.band} {outcome.score:.2f}"
    below = top + _PICTURE + 8
    _draw_chip(canvas, distance, left, below, _colours("exact" if outcome.pdq_sees_it else "none", expected))
    _draw_chip(canvas, band, left, below + 29, _colours(outcome.band, expected))


def _colours(band: str, expected: bool) -> Colours:  # noqa: FBT001 - whether it was to be recognised
    """Green and amber for what was to be recognised and is, red for what was not to be, grey for the rest."""
    if band == "none":
        return _QUIET, _GREY_PALE
    if not expected:
        return _RED, _RED_PALE
    return (_AMBER, _AMBER_PALE) if band == "related" else (_GREEN, _GREEN_PALE)


def _draw_chip(canvas: Image.Image, text: str, left: int, top: int, colours: Colours) -> None:
    ink, pale = colours
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle((left, top, left + _CELL - 1, top + 24), 8, fill=pale)
    draw.text((left + _CELL // 2, top + 12), text, font=_font(17), fill=ink, anchor="mm", stroke_width=0.3)


def _draw_picture(canvas: Image.Image, data: bytes, left: int, top: int) -> None:
    with Image.open(io.BytesIO(data)) as opened:
        picture = ImageOps.contain(opened.convert("RGB"), (_CELL, _PICTURE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (_CELL, _PICTURE), (236, 234, 229))
    tile.paste(picture, ((_CELL - picture.width) // 2, (_PICTURE - picture.height) // 2))
    mask = Image.new("L", tile.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, _CELL - 1, _PICTURE - 1), 10, fill=255)
    canvas.paste(tile, (left, top), mask)


def _left(column: int) -> int:
    return _MARGIN + column * (_CELL + _GAP) + (_GAP if column else 0)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
