"""Draws how footage is shown by others: broadcasts with their channel's graphics, and what imitates them."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Picture = Image.Image
Dice = np.random.Generator
_FRAME = (1280, 720)
_HEADLINES = (
    "POLICE CONFIRM ATTACK IN CITY CENTRE",
    "WITNESSES DESCRIBE PANIC AS SHOTS WERE HEARD",
    "MAYOR: STAY AT HOME, DO NOT SHARE FOOTAGE",
    "PLATFORMS RACE TO REMOVE COPIES OF VIDEO",
)


@dataclass(frozen=True)
class Channel:
    """The graphics of one broadcaster."""

    name: str
    colour: tuple[int, int, int]
    bar: tuple[int, int, int]
    left: bool
    """Which upper corner its logo is in."""
    inset: bool
    """Whether footage is shown in a window beside a studio wall, or fills the screen."""
    headline: bool = True
    """Whether there is a lower third, or only a narrow ticker."""


CHANNELS = (
    Channel("KN7", (196, 22, 28), (14, 26, 66), left=True, inset=False),
    Channel("NORDWELT", (0, 92, 150), (240, 240, 240), left=False, inset=True),
    Channel("CANAL4", (170, 20, 60), (30, 30, 30), left=True, inset=False, headline=False),
)


def broadcast(footage: Picture, channel: Channel, dice: Dice) -> Picture:
    """The footage under a channel's logo and lower third."""
    screen = _studio(footage, channel, dice) if channel.inset else _filled(footage, _FRAME)
    draw = ImageDraw.Draw(screen, "RGBA")
    width, height = screen.size
    _logo(draw, channel.name, channel.colour, (40, 32) if channel.left else (width - 300, 32))
    if channel.headline:
        top = int(height * 0.76)
        draw.rectangle((0, top, width, height - 44), fill=(*channel.bar, 235))
        ink = (255, 255, 255) if sum(channel.bar) < 380 else (20, 20, 20)
        draw.rectangle((0, top, 150, top + 34), fill=channel.colour)
        draw.text((14, top + 4), "LIVE", font=_font(26), fill=(255, 255, 255))
        draw.text((32, top + 46), _HEADLINES[int(dice.integers(len(_HEADLINES)))], font=_font(40), fill=ink)
    draw.rectangle((0, height - 44, width, height), fill=(12, 12, 12, 255))
    ticker = "MARKETS STEADY  ·  WEATHER: RAIN FROM THE WEST  ·  21:04"
    draw.text((20, height - 36), ticker, font=_font(24), fill=(230, 230, 230))
    return screen


def with_fake_logo(footage: Picture, dice: Dice) -> Picture:
    """What somebody does who wants an upload to pass for news: a logo and no more."""
    picture = footage.copy()
    draw = ImageDraw.Draw(picture, "RGBA")
    width, height = picture.size
    scale = max(0.5, width / 1280)
    name = ("NEWS", "KN7", "TV24", "WORLD")[int(dice.integers(4))]
    left, top = bool(dice.integers(2)), bool(dice.integers(2))
    x = int(30 * scale) if left else int(width - 230 * scale)
    y = int(24 * scale) if top else int(height - 100 * scale)
    colour = tuple(int(value) for value in dice.integers(0, 220, 3))
    _logo(draw, name, (colour[0], colour[1], colour[2]), (x, y), scale)
    return picture


def with_logo_of(footage: Picture, channel: Channel) -> Picture:
    """The same, in the corner and the colour of a channel that showed it, and with another name."""
    picture = _filled(footage, _FRAME)
    draw = ImageDraw.Draw(picture, "RGBA")
    x = 40 if channel.left else _FRAME[0] - 300
    _logo(draw, "TV-24", channel.colour, (x, 32))
    draw.rectangle((x, 112, x + 110, 146), fill=channel.colour)
    draw.text((x + 12, 114), "LIVE", font=_font(26), fill=(255, 255, 255))
    return picture


def imitated(footage: Picture, dice: Dice) -> Picture:
    """A whole broadcast imitated: logo, bar and headline, none of them a channel's own."""
    own = Channel("N24", tuple(int(v) for v in dice.integers(0, 200, 3)), (60, 10, 60), bool(dice.integers(2)), False)  # type: ignore[arg-type]
    return broadcast(footage, own, dice)


def recorded(picture: Picture, dice: Dice) -> bytes:
    """As people pass pictures on: cut a little, resized, brightened or not, and compressed again."""
    width, height = picture.size
    cut = dice.uniform(0, 0.05, 4) * (width, height, width, height)
    picture = picture.crop((int(cut[0]), int(cut[1]), int(width - cut[2]), int(height - cut[3])))
    scale = float(dice.uniform(0.4, 1.0))
    picture = picture.resize((max(64, int(picture.width * scale)), max(64, int(picture.height * scale))))
    picture = ImageEnhance.Brightness(picture).enhance(float(dice.uniform(0.85, 1.15)))
    if dice.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(float(dice.uniform(0.3, 1.0))))
    return as_jpeg(picture, int(dice.integers(45, 86)))


def as_jpeg(picture: Picture, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _filled(picture: Picture, size: tuple[int, int]) -> Picture:
    """Cut to the shape of a screen."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    grown = picture.resize((max(size[0], round(picture.width * scale)), max(size[1], round(picture.height * scale))))
    left, top = (grown.width - size[0]) // 2, (grown.height - size[1]) // 2
    return grown.crop((left, top, left + size[0], top + size[1]))


def _studio(footage: Picture, channel: Channel, dice: Dice) -> Picture:
    screen = Image.new("RGB", _FRAME, channel.bar)
    wall = ImageDraw.Draw(screen)
    for _ in range(24):
        x = int(dice.integers(0, _FRAME[0]))
        wall.rectangle((x, 0, x + int(dice.integers(10, 60)), _FRAME[1]), fill=tuple(int(c * 0.8) for c in channel.bar))
    window = _filled(footage, (880, 495))
    screen.paste(window, (360, 40))
    return screen


def _logo(
    draw: ImageDraw.ImageDraw, name: str, colour: tuple[int, int, int], place: tuple[int, int], scale: float = 1.0
) -> None:
    left, top = place
    font, pad = _font(int(40 * scale)), int(14 * scale)
    wide = int(draw.textlength(name, font=font)) + 2 * pad
    draw.rectangle((left, top, left + wide, top + int(70 * scale)), fill=(*colour, 255))
    draw.text((left + pad, top + int(12 * scale)), name, font=font, fill=(255, 255, 255))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=max(8, size))
