"""Pictures that share what is around them and nothing else: pages of one app, a logo, a way of writing, a wall."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageEnhance

from models.evaluation.edits.framed import DARK, LIGHT, lettering, screenshot, sentence
from models.evaluation.edits.geometric import leaned
from models.evaluation.edits.kinds import Lender, fitted

APP = (400, 600)
HOLE = (0, 90, 400, 350)
"""Where an app shows a picture: left, top, right, bottom."""
WINDOW = (60, 120, 340, 320)
"""Where one shows it that has more of its own."""
LOGO = 0.22
SCENE = (480, 360)
KINDS = 6


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    Args:
        lend: pictures for what a screenshot needs.
        walls: pictures that are neither banked nor asked about, to put others before.
    """

    lend: Lender
    walls: Sequence[Image.Image]

    def around(self, picture: Image.Image, place: int, dice: random.Random) -> Image.Image:
        """A picture in one of the surroundings, by turns; the surroundings of one kind are the same for all."""
        kinds: tuple[Callable[[], Image.Image], ...] = (
            lambda: in_app(picture, dice, HOLE),
            lambda: with_logo(picture, dice),
            lambda: written(dice),
            lambda: screenshot(picture, dice, self.lend),
            lambda: in_app(picture, dice, WINDOW),
            lambda: before_wall(picture, dice, self.walls[place // KINDS % len(self.walls)]),
        )
        return kinds[place % KINDS]()


def in_app(picture: Image.Image, dice: random.Random, hole: tuple[int, int, int, int]) -> Image.Image:
    """More than half of it is the app's own: bars, buttons, ornaments. Light or dark, with one line of its own."""
    fixed = random.Random(1)
    paper, ink = dice.choice(((LIGHT, DARK), (DARK, LIGHT)))
    page = Image.new("RGB", APP, paper)
    draw = ImageDraw.Draw(page)
    draw.text((14, 8), "Moments", fill=ink, font=lettering(24))
    for place in range(6):
        draw.ellipse((14 + 62 * place, 44, 54 + 62 * place, 84), outline=ink, width=3)
        draw.text((24 + 62 * place, 52), sentence(fixed, 1)[:2], fill=ink, font=lettering(16))
    left, top, right, bottom = hole
    page.paste(fitted(picture, right - left, bottom - top), (left, top))
    for row in range(3):
        for column in range(5):
            x, y = 16 + 76 * column, bottom + 44 + 66 * row
            colour = tuple(fixed.randrange(256) for _ in range(3))
            draw.rounded_rectangle((x, y, x + 58, y + 42), 9, outline=ink, fill=colour, width=2)
            draw.text((x + 6, y + 10), sentence(fixed, 1)[:6], fill=ink, font=lettering(14))
    draw.text((14, bottom + 8), sentence(dice, 5), fill=ink, font=lettering(18))
    return page


def with_logo(picture: Image.Image, dice: random.Random) -> Image.Image:
    """A channel's badge in one of the lower corners."""
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    side = max(16, round(min(picture.size) * LOGO))
    left, top = dice.choice((6, picture.width - side - 6)), picture.height - side - 6
    draw.ellipse((left, top, left + side, top + side), fill=(200, 30, 40), outline=LIGHT, width=2)
    middle, reach = (left + side / 2, top + side / 2), side * 0.44
    points = [
        (
            middle[0] + reach * (1 - k % 2 * 0.6) * math.sin(k * math.pi / 7),
            middle[1] - reach * math.cos(k * math.pi / 7),
        )
        for k in range(14)
    ]
    draw.polygon(points, fill=(250, 220, 80), outline=DARK)
    draw.text((left + side * 0.28, top + side * 0.34), "N24", fill=DARK, font=lettering(round(side * 0.28)))
    return marked


def written(dice: random.Random) -> Image.Image:
    """A page of words in one face and size."""
    page = Image.new("RGB", (420, 300), dice.choice((LIGHT, LIGHT, DARK)))
    draw = ImageDraw.Draw(page)
    ink = DARK if page.getpixel((0, 0)) == LIGHT else LIGHT
    for line in range(11):
        draw.text((12, 10 + 26 * line), sentence(dice, 6), fill=ink, font=lettering(18))
    return page


def before_wall(picture: Image.Image, dice: random.Random, wall: Image.Image) -> Image.Image:
    """
    A thing photographed before a wall, or on a floor, that other things are photographed before: at a third to a half
    of the scene it is another picture, and the rest is the same, taken by hand again.
    """
    scene = fitted(wall, *SCENE)
    share = math.sqrt(dice.uniform(0.35, 0.55))
    width, height = round(SCENE[0] * share), round(SCENE[1] * share)
    thing = fitted(picture, width, height)
    shape = Image.new("L", thing.size, 0)
    if dice.random() < 0.5:  # noqa: PLR2004
        ImageDraw.Draw(shape).ellipse((0, 0, width - 1, height - 1), fill=255)
    else:
        ImageDraw.Draw(shape).rounded_rectangle((0, 0, width - 1, height - 1), 20, fill=255)
    scene.paste(thing, (dice.randint(0, SCENE[0] - width), dice.randint(0, SCENE[1] - height)), shape)
    nearer = leaned(scene, dice, 0.05).crop((24, 18, SCENE[0] - 24, SCENE[1] - 18))
    return ImageEnhance.Brightness(nearer).enhance(dice.uniform(0.85, 1.15))
