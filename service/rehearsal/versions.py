"""What people make of footage, with more and more effort; what broadcasters make of it, and who poses as one."""

import hashlib
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from models.evaluation.edits.framed import sentence
from models.evaluation.edits.kinds import Edit, Lender
from models.evaluation.edits.registry import EDITS, edited

_LONGEST_SIDE = 720
_LEAST_SIDE = 96
_SCREEN = (640, 360)
_RED, _BLUE, _PAPER, _INK = (186, 24, 34), (16, 44, 98), (250, 250, 250), (18, 18, 22)


class Grade(IntEnum):
    """How hard a version is to recognise, by what was done to it."""

    SENT_ON = 0
    LIGHT = 1
    FRAMED = 2
    HARD = 3
    COMPOSED = 4

    @property
    def said(self) -> str:
        return _SAID[self]


_SAID = {
    Grade.SENT_ON: "sent on",
    Grade.LIGHT: "lightly edited",
    Grade.FRAMED: "framed or written on",
    Grade.HARD: "cut, turned, re-filmed",
    Grade.COMPOSED: "several of these",
}

_BY_GRADE = {
    Grade.SENT_ON: ("jpeg", "resize"),
    Grade.LIGHT: ("grading", "grey", "hue", "blur", "noise", "frame", "crop_75", "mirror", "stretch"),
    Grade.FRAMED: ("letterbox", "caption", "page", "screenshot", "writing", "sticker", "watermark", "tiled_watermark"),
    Grade.HARD: ("refilmed", "inset_70", "inset_50", "side_by_side", "crop_50", "crop_25", "tilt_5", "tilt_15",
                 "perspective", "blend"),
}  # fmt: skip
_EDITS = {edit.name: edit for edit in EDITS}
_GRADE_OF = {name: grade for grade, names in _BY_GRADE.items() for name in names}


@dataclass(frozen=True, slots=True)
class Version:
    """A picture as somebody uploads it, and how it came to be."""

    picture: Image.Image
    edits: tuple[str, ...] = ()
    """From the original on, the latest last."""

    @property
    def grade(self) -> Grade:
        grades = [_GRADE_OF[name] for name in self.edits]
        if sum(grade >= Grade.FRAMED for grade in grades) > 1:
            return Grade.COMPOSED
        return max(grades, default=Grade.SENT_ON)


def any_edit(grade: Grade, dice: random.Random) -> Edit:
    """One of a grade; `COMPOSED` is none of its own, but what several make."""
    return _EDITS[dice.choice(_BY_GRADE[grade])]


def edited_version(parent: Version, edits: Sequence[Edit], name: str, lend: Lender) -> Version:
    """Another version; the same name gives the same one."""
    picture = parent.picture
    for edit in edits:
        picture = edited(edit, picture, f"{name} {edit.name}", lend)
        if max(picture.size) > _LONGEST_SIDE:
            picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BILINEAR)
        if min(picture.size) < _LEAST_SIDE:
            scale = _LEAST_SIDE / min(picture.size)
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    return Version(picture, (*parent.edits, *(edit.name for edit in edits)))


def uploaded(picture: Image.Image, dice: random.Random) -> bytes:
    """The file that a platform receives; no two uploads are the same bytes."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=dice.randint(62, 92), comment=dice.randbytes(8))
    return buffer.getvalue()


def broadcast(picture: Image.Image, channel: str, dice: random.Random) -> Image.Image:
    """The footage as a news channel shows it: over a blur of itself, a logo in a corner, a lower third across it."""
    shown = ImageOps.fit(picture, _SCREEN, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(18))
    whole = ImageOps.contain(picture, _SCREEN, Image.Resampling.LANCZOS)
    shown.paste(whole, ((_SCREEN[0] - whole.width) // 2, (_SCREEN[1] - whole.height) // 2))
    draw = ImageDraw.Draw(shown)
    accent = _accent(channel)
    draw.rectangle((0, 274, 640, 332), fill=accent)
    draw.rectangle((0, 332, 640, 360), fill=_INK)
    draw.rectangle((18, 256, 128, 278), fill=_PAPER)
    draw.text((73, 267), "BREAKING", font=_font(15), fill=accent, anchor="mm", stroke_width=0.5)
    draw.text((20, 303), sentence(dice, 5).capitalize(), font=_font(27), fill=_PAPER, anchor="lm", stroke_width=0.6)
    draw.text((20, 346), sentence(dice, 11), font=_font(14), fill=_PAPER, anchor="lm")
    _channel_logo(draw, channel, (520, 18))
    return shown


def live_picture(picture: Image.Image, channel: str, dice: random.Random) -> Image.Image:
    """The footage as a channel shows it while it is live: as it comes, with a logo and a narrow ticker."""
    shown = ImageOps.contain(picture, (640, 480), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(shown)
    strip = max(20, shown.height // 15)
    draw.rectangle((0, shown.height - strip, shown.width, shown.height), fill=_INK)
    words = sentence(dice, 9)
    draw.text((8, shown.height - strip / 2), words, font=_font(strip * 0.6), fill=_PAPER, anchor="lm")
    _channel_logo(draw, channel, (shown.width - 118, 14))
    return shown


def with_fake_logo(picture: Image.Image, channel: str, dice: random.Random) -> Image.Image:
    """Footage with a channel's logo stuck on it and `LIVE` beside it, which makes no journalism of it."""
    shown = picture.copy()
    draw = ImageDraw.Draw(shown)
    left = max(0, shown.width - 122) if dice.random() < 0.5 else 8  # noqa: PLR2004 - either side
    _channel_logo(draw, channel, (left, 12))
    draw.rectangle((12, shown.height - 40, 76, shown.height - 14), fill=_RED)
    draw.text((44, shown.height - 27), "LIVE", font=_font(16), fill=_PAPER, anchor="mm", stroke_width=0.5)
    return shown


def _channel_logo(draw: ImageDraw.ImageDraw, channel: str, corner: tuple[int, int]) -> None:
    left, top = corner
    draw.rectangle((left, top, left + 102, top + 40), fill=_accent(channel))
    draw.rectangle((left, top + 40, left + 102, top + 45), fill=_PAPER)
    draw.text((left + 51, top + 20), channel, font=_font(22), fill=_PAPER, anchor="mm", stroke_width=0.7)


def _accent(channel: str) -> tuple[int, int, int]:
    return (_RED, _BLUE)[hashlib.sha256(channel.encode()).digest()[0] % 2]


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
