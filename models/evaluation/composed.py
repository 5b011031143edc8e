"""Several edits at once, their severities drawn: what people do to a picture, beside one edit of a fixed severity."""

from __future__ import annotations

import random

from PIL import Image

from models.evaluation.edits import framed, overlaid, photometric
from models.evaluation.edits.geometric import crop, leaned, mirror, quarter_turn
from models.evaluation.edits.kinds import Edit, Group, Lender

FINISHES = (
    framed.caption,
    framed.frame,
    framed.page,
    framed.screenshot,
    framed.refilmed,
    framed.inset(0.7),
    overlaid.writing,
    overlaid.sticker,
    overlaid.watermark,
    photometric.jpeg,
    photometric.grading,
    photometric.blur,
)
LONGEST_SIDE_PX = 640


def moved(picture: Image.Image, dice: random.Random, lend: Lender, least: float = 0.3) -> Image.Image:
    """Cut (to no less than this share), mirrored, turned and leaned, each or not, by amounts that are drawn."""
    if dice.random() < 0.75:  # noqa: PLR2004 a probability
        picture = crop(dice.uniform(least, 0.95))(picture, dice, lend)
    if dice.random() < 0.5:  # noqa: PLR2004
        picture = mirror(picture, dice, lend)
    if dice.random() < 0.6:  # noqa: PLR2004
        paper = dice.choice(((0, 0, 0), (0, 0, 0), (255, 255, 255)))
        expand = dice.random() < 0.5  # noqa: PLR2004
        picture = picture.rotate(dice.uniform(-20, 20), Image.Resampling.BILINEAR, expand=expand, fillcolor=paper)
    elif dice.random() < 0.25:  # noqa: PLR2004
        picture = quarter_turn(picture, dice, lend)
    if dice.random() < 0.2:  # noqa: PLR2004
        picture = leaned(picture, dice, 0.1)
    return picture


def composed(picture: Image.Image, dice: random.Random, lend: Lender) -> Image.Image:
    """Moved, and up to two things more."""
    picture = moved(picture, dice, lend)
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        picture = dice.choice(FINISHES)(picture, dice, lend)
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    return picture


def composed_edits(count: int) -> tuple[Edit, ...]:
    """So many of them; each comes out otherwise for each picture."""
    return tuple(Edit(f"composed_{number}", Group.CHAINED, composed) for number in range(count))
