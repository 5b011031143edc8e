"""Edits that put the picture into something larger: bars, frames, pages, screens, other pictures."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from models.evaluation.edits.geometric import leaned
from models.evaluation.edits.kinds import Change, Lender, any_colour, fitted, share_of
from models.evaluation.edits.photometric import recoded

SAYINGS = (
    "when you see it nobody expected this wait for the end share before it is gone live from the scene today "
    "breaking unbelievable moment watch until the last second follow for more this is what really happened"
)
LIGHT, DARK = (250, 250, 250), (18, 18, 22)


def sentence(dice: random.Random, words: int) -> str:
    """So many words as captions have them."""
    known = SAYINGS.split()
    return " ".join(dice.choice(known) for _ in range(words))


def lettering(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface: no font of the machine is needed."""
    return ImageFont.load_default(max(8, size))


def frame(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """A coloured border of 8 % of the shorter side."""
    return ImageOps.expand(picture, share_of(picture, 0.08), dice.choice((LIGHT, DARK, any_colour(dice))))


def letterbox(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """Black bars, 20 % of the side each, above and below or left and right."""
    if dice.random() < 0.7:  # noqa: PLR2004
        return ImageOps.expand(picture, (0, round(picture.height * 0.2)), 0)
    return ImageOps.expand(picture, (round(picture.width * 0.2), 0), 0)


def caption(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """A bar of 22 % of the height with two lines on it, above or below."""
    bar = max(24, round(picture.height * 0.22))
    paper, ink = dice.choice(((LIGHT, DARK), (LIGHT, DARK), (DARK, LIGHT)))
    canvas = Image.new("RGB", (picture.width, picture.height + bar), paper)
    above = dice.random() < 0.6  # noqa: PLR2004
    canvas.paste(picture, (0, bar if above else 0))
    draw = ImageDraw.Draw(canvas)
    top = 0 if above else picture.height
    for line in range(2):
        spot = picture.width * 0.04, top + bar * (0.12 + 0.42 * line)
        draw.text(spot, sentence(dice, 6), fill=ink, font=lettering(round(bar * 0.3)))
    return canvas


def page(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """On a 9:16 page over a blur of itself, as stories show a picture."""
    wide = 360
    high = 640
    back = fitted(picture, wide, high).filter(ImageFilter.GaussianBlur(18))
    back = ImageEnhance.Brightness(back).enhance(dice.uniform(0.6, 1.0))
    shown = ImageOps.contain(picture, (wide, round(high * 0.8)))
    back.paste(shown, ((wide - shown.width) // 2, (high - shown.height) // 2))
    return back


def screenshot(picture: Image.Image, dice: random.Random, _lend: Lender) -> Image.Image:
    """A phone's screen: status bar, a name above, buttons and comments below, light or dark."""
    paper, ink = dice.choice(((LIGHT, DARK), (DARK, LIGHT)))
    wide = 400
    shown = ImageOps.contain(picture, (wide, 560))
    head, foot = 92, dice.randint(150, 230)
    screen = Image.new("RGB", (wide, head + shown.height + foot), paper)
    screen.paste(shown, ((wide - shown.width) // 2, head))
    draw = ImageDraw.Draw(screen)
    draw.text((14, 6), f"{dice.randint(1, 23)}:{dice.randint(10, 59)}", fill=ink, font=lettering(16))
    draw.rectangle((wide - 46, 9, wide - 18, 21), outline=ink, width=2)
    draw.ellipse((12, 38, 52, 78), fill=any_colour(dice))
    draw.text((64, 40), sentence(dice, 2), fill=ink, font=lettering(17))
    draw.text((64, 62), sentence(dice, 4), fill=(128, 128, 128), font=lettering(13))
    below = head + shown.height
    for place in range(4):
        left = 16 + place * 44
        draw.ellipse((left, below + 12, left + 26, below + 38), outline=ink, width=3)
    for line in range((foot - 56) // 26):
        spot = (16, below + 50 + line * 26)
        draw.text(spot, sentence(dice, dice.randint(3, 7)), fill=ink, font=lettering(15))
    return screen


def refilmed(picture: Image.Image, dice: random.Random, lend: Lender) -> Image.Image:
    """A screen filmed by a camera: bezel and surroundings, perspective, grating, glare, noise, JPEG at 30."""
    room = fitted(lend(dice), 480, 400).filter(ImageFilter.GaussianBlur(6))
    shown = ImageOps.expand(ImageOps.contain(picture, (400, 330)), 12, (12, 12, 14))
    corner = (480 - shown.width) // 2, (400 - shown.height) // 2
    room.paste(shown, corner)
    levels = np.asarray(room, dtype=np.float32) / 255
    y, x = np.mgrid[0 : room.height, 0 : room.width].astype(np.float32)
    pitch, angle = dice.uniform(0.9, 2.2), dice.uniform(0, np.pi)
    phase = pitch * (x * np.cos(angle) + y * np.sin(angle))
    grating = np.stack([np.sin(phase), np.sin(phase + 1.2), np.sin(phase + 2.4)], -1)
    glare = np.exp(-(((x - dice.uniform(0, 480)) / 150) ** 2 + ((y - dice.uniform(0, 400)) / 120) ** 2))[..., None]
    numbers = np.random.default_rng(dice.getrandbits(32))
    levels = levels ** dice.uniform(0.75, 1.35) * (1 + 0.09 * grating) + 0.25 * glare
    levels = levels + numbers.standard_normal(levels.shape, dtype=np.float32) * 0.04
    filmed = Image.fromarray((levels.clip(0, 1) * 255).astype(np.uint8))
    return recoded(leaned(filmed, dice, 0.1), 30)


def inset(share: float) -> Change:
    """Shrunk to this share of another picture's side and put on it, anywhere."""

    def change(picture: Image.Image, dice: random.Random, lend: Lender) -> Image.Image:
        back = fitted(lend(dice), picture.width, picture.height)
        small = picture.resize((max(8, round(back.width * share)), max(8, round(back.height * share))))
        spot = dice.randint(0, back.width - small.width), dice.randint(0, back.height - small.height)
        back.paste(small, spot)
        return back

    return change


def side_by_side(picture: Image.Image, dice: random.Random, lend: Lender) -> Image.Image:
    """Beside or above another picture of the same size."""
    other = fitted(lend(dice), picture.width, picture.height)
    parts = [picture, other]
    dice.shuffle(parts)
    if dice.random() < 0.5:  # noqa: PLR2004
        joined = Image.new("RGB", (picture.width * 2, picture.height))
        joined.paste(parts[1], (picture.width, 0))
    else:
        joined = Image.new("RGB", (picture.width, picture.height * 2))
        joined.paste(parts[1], (0, picture.height))
    joined.paste(parts[0], (0, 0))
    return joined
