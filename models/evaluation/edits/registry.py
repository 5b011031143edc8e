"""
The edits of the evaluation, at fixed severities.

They are written with Pillow, apart from the training's, and the kinds marked as held out have no counterpart there.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

from PIL import Image

from models.evaluation.edits import framed, geometric, overlaid, photometric
from models.evaluation.edits.kinds import Change, Edit, Group, Lender

SINGLE: tuple[Edit, ...] = (
    Edit("jpeg", Group.PHOTOMETRIC, photometric.jpeg),
    Edit("blur", Group.PHOTOMETRIC, photometric.blur),
    Edit("noise", Group.PHOTOMETRIC, photometric.noise),
    Edit("resize", Group.PHOTOMETRIC, photometric.resize),
    Edit("grading", Group.PHOTOMETRIC, photometric.grading),
    Edit("grey", Group.PHOTOMETRIC, photometric.grey),
    Edit("hue", Group.PHOTOMETRIC, photometric.hue),
    Edit("mosaic", Group.PHOTOMETRIC, photometric.mosaic, held_out=True),
    Edit("mirror", Group.GEOMETRIC, geometric.mirror),
    Edit("upside_down", Group.GEOMETRIC, geometric.upside_down),
    Edit("quarter_turn", Group.GEOMETRIC, geometric.quarter_turn),
    Edit("tilt_5", Group.GEOMETRIC, geometric.tilt(5)),
    Edit("tilt_15", Group.GEOMETRIC, geometric.tilt(15)),
    Edit("stretch", Group.GEOMETRIC, geometric.stretch),
    Edit("perspective", Group.GEOMETRIC, geometric.perspective),
    Edit("lens", Group.GEOMETRIC, geometric.lens, held_out=True),
    Edit("swirl", Group.GEOMETRIC, geometric.swirl, held_out=True),
    Edit("crop_75", Group.GEOMETRIC, geometric.crop(0.75)),
    Edit("crop_50", Group.GEOMETRIC, geometric.crop(0.5)),
    Edit("crop_25", Group.GEOMETRIC, geometric.crop(0.25)),
    Edit("frame", Group.FRAMED, framed.frame),
    Edit("letterbox", Group.FRAMED, framed.letterbox),
    Edit("caption", Group.FRAMED, framed.caption),
    Edit("page", Group.FRAMED, framed.page),
    Edit("screenshot", Group.FRAMED, framed.screenshot),
    Edit("refilmed", Group.FRAMED, framed.refilmed),
    Edit("inset_70", Group.FRAMED, framed.inset(0.7)),
    Edit("inset_50", Group.FRAMED, framed.inset(0.5)),
    Edit("side_by_side", Group.FRAMED, framed.side_by_side, held_out=True),
    Edit("writing", Group.OVERLAID, overlaid.writing),
    Edit("sticker", Group.OVERLAID, overlaid.sticker),
    Edit("watermark", Group.OVERLAID, overlaid.watermark),
    Edit("tiled_watermark", Group.OVERLAID, overlaid.tiled_watermark, held_out=True),
    Edit("blend", Group.OVERLAID, overlaid.blend),
)


def _chain(length: int) -> Change:
    def change(picture: Image.Image, dice: random.Random, lend: Lender) -> Image.Image:
        for edit in dice.sample(SINGLE, length):
            picture = edit.change(picture, dice, lend)
            picture.thumbnail((640, 640))
        return picture

    return change


EDITS: tuple[Edit, ...] = (
    *SINGLE,
    Edit("chain_2", Group.CHAINED, _chain(2)),
    Edit("chain_3", Group.CHAINED, _chain(3)),
    Edit("crop_15", Group.GEOMETRIC, geometric.crop(0.15), counted=False),
    Edit("inset_30", Group.FRAMED, framed.inset(0.3), counted=False),
    Edit("negative", Group.PHOTOMETRIC, photometric.negative, held_out=True, counted=False),
)
"""All kinds; the last three are shown apart and are in no overall figure."""


LEAST_SIDE = 24
"""Smaller pictures are enlarged to this first: there is no room on them for a caption."""


def edited(edit: Edit, picture: Image.Image, name: str, lend: Lender) -> Image.Image:
    """The same edit of the same picture is the same on every run, whatever else is edited."""
    if min(picture.size) < LEAST_SIDE:
        picture = picture.resize((max(LEAST_SIDE, picture.width), max(LEAST_SIDE, picture.height)))
    return edit.change(picture, _dice(edit.name, name), lend)


def named(names: Iterable[str]) -> tuple[Edit, ...]:
    """
    The edits of these names, in the order of EDITS.

    Raises:
        KeyError: one is not known.
    """
    wanted = set(names)
    unknown = wanted - {edit.name for edit in EDITS}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return tuple(edit for edit in EDITS if edit.name in wanted)


def _dice(*names: str) -> random.Random:
    return random.Random(int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "big"))
