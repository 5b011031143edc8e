"""Edits that put something on the picture: writing, stickers, watermarks, another picture laid over."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from models.evaluation.edits.framed import DARK, LIGHT, lettering, sentence
from models.evaluation.edits.kinds import Lender, any_colour, fitted, share_of


def writing(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Three lines across the picture, outlined."""
    written = picture.copy()
    draw = ImageDraw.Draw(written)
    size = max(10, round(picture.height * 0.09))
    top = dice.uniform(0.05, 0.6) * picture.height
    ink, rim = dice.choice(((LIGHT, DARK), (DARK, LIGHT), (any_colour(dice), DARK)))
    for line in range(3):
        spot = dice.uniform(0.01, 0.15) * picture.width, top + line * size * 1.25
        draw.text(spot, sentence(dice, 5), fill=ink, font=lettering(size), stroke_width=2, stroke_fill=rim)
    return written


def sticker(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """A face of 38 % of the shorter side, anywhere, and a star of half of that."""
    covered = picture.copy()
    draw = ImageDraw.Draw(covered)
    size = share_of(picture, 0.38)
    left, top = dice.randint(0, picture.width - size), dice.randint(0, picture.height - size)
    draw.ellipse((left, top, left + size, top + size), fill=(255, 205, 50), outline=DARK, width=3)
    for eye in (0.3, 0.62):
        box = left + size * eye, top + size * 0.28, left + size * (eye + 0.09), top + size * 0.45
        draw.ellipse(box, fill=DARK)
    draw.arc((left + size * 0.22, top + size * 0.3, left + size * 0.78, top + size * 0.8), 15, 165, DARK, 4)
    middle = dice.randint(0, picture.width), dice.randint(0, picture.height)
    draw.polygon(_star(middle, size * 0.25), fill=any_colour(dice))
    return covered


def _star(middle: tuple[int, int], radius: float) -> list[tuple[float, float]]:
    points = []
    for corner in range(10):
        reach = radius if corner % 2 == 0 else radius * 0.45
        angle = corner * math.pi / 5
        points.append((middle[0] + reach * math.sin(angle), middle[1] - reach * math.cos(angle)))
    return points


def watermark(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """An opaque badge over a corner, 40 % wide and 18 % high."""
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    wide, high = round(picture.width * 0.4), round(picture.height * 0.18)
    left = dice.choice((0, picture.width - wide))
    top = dice.choice((0, picture.height - high))
    draw.rectangle((left, top, left + wide, top + high), fill=any_colour(dice))
    draw.text((left + wide * 0.06, top + high * 0.2), sentence(dice, 2), fill=LIGHT, font=lettering(round(high * 0.5)))
    return marked


def tiled_watermark(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Slanted see-through words all over, as picture agencies do."""
    words = sentence(dice, 2)
    size = max(10, round(min(picture.size) * 0.075))
    reach = round(math.hypot(*picture.size))
    sheet = Image.new("L", (reach, reach), 0)
    draw = ImageDraw.Draw(sheet)
    for row in range(0, reach, round(size * 2.4)):
        for column in range(-(row % (size * 6)), reach, size * 10):
            draw.text((column, row), words, fill=120, font=lettering(size))
    sheet = sheet.rotate(30, Image.Resampling.BILINEAR)
    left, top = (reach - picture.width) // 2, (reach - picture.height) // 2
    mask = sheet.crop((left, top, left + picture.width, top + picture.height))
    return Image.composite(Image.new("RGB", picture.size, dice.choice((LIGHT, DARK))), picture, mask)


def blend(picture: Image.Image, dice: random.Random, lend: Lender) -> Image.Image:
    """Another picture laid over at 35 %."""
    return Image.blend(picture, fitted(lend(dice), picture.width, picture.height), 0.35)
