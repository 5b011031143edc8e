"""
Two sheets for the model card, of generated pictures only: what it is trained on, and where it fails.

The second shows, of each edit of the evaluation that is ever missed, the miss with the lowest score: the original, the
edited query, and the score of the two beside the threshold.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.embedder import Device
from models.evaluation.edits.registry import EDITS, edited
from models.evaluation.systems import best_of_views
from models.openclip import BUNDLED, open_embedder, use_threads
from models.training.dice import Dice
from models.training.edits.pairs import paired
from models.training.generator import generate

CELL = 112
SIDE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default=BUNDLED)
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument("--originals", type=int, default=24)
    options = parser.parse_args()
    use_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    _training_sheet().save(options.output / "descriptor-training.jpg", quality=80)
    _failures(options).save(options.output / "descriptor-failures.jpg", quality=80)


def _training_sheet() -> Image.Image:
    """Eight rows of four: a generated picture, its moderate view, its hard view."""
    import torch  # noqa: PLC0415 after the command line was understood

    pictures = generate(Dice.of("model card"), 64, CELL)
    ids = torch.arange(32)
    origins = torch.stack([ids, torch.full_like(ids, -1)], 1)
    made = paired(Dice.of("model card", "views"), pictures[:32], origins, pictures[32:], ids + 32, size=CELL)
    clean = (pictures[:32] * 255).round().to(torch.uint8)
    sheet = Image.new("RGB", (12 * (CELL + 2), 8 * (CELL + 2)), "white")
    for place, row in enumerate(zip(clean, made.near, made.hard, strict=True)):
        for column, picture in enumerate(row):
            across = (place % 4 * 3 + column) * (CELL + 2)
            sheet.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (across, place // 4 * (CELL + 2)))
    return sheet


def _failures(options: argparse.Namespace) -> Image.Image:
    embedder = open_embedder(options.model, Device.CPU)
    record = embedder.space.calibration
    threshold = record.variant.score if record else 0.7
    normalisation = record.normalisation if record else None
    made = [generate(Dice.of("failures", part), 64, SIDE) for part in range(-(-options.pictures // 64))]
    pixels = [(picture.permute(1, 2, 0).numpy() * 255).astype(np.uint8) for part in made for picture in part]
    stills = [Image.fromarray(part) for part in pixels[: options.pictures]]
    bank = [embedder.embed([embedder.prepare(part)]) for part in pixels[: options.pictures]]
    cells = []
    for edit in EDITS:
        queries = [
            edited(edit, stills[at], f"{at}", lambda dice: _other(dice, stills)) for at in range(options.originals)
        ]
        views = [embedder.query_views(np.asarray(query)) for query in queries]
        rows = [embedder.embed([embedder.prepare(view) for view in part]) for part in views]
        own = np.diagonal(best_of_views(rows, bank[: options.originals], normalisation))
        worst = int(own.argmin())
        missed = int((own < threshold).sum())
        if missed:
            text = f"{edit.name}: {missed} of {options.originals} missed, {own[worst]:.2f} < {threshold:.2f}"
            cells.append((stills[worst], queries[worst], text))
    return _sheet(cells)


def _other(dice: random.Random, stills: list[Image.Image]) -> Image.Image:
    """From the end of the pictures, which are never asked about here."""
    return dice.choice(stills[-48:])


def _sheet(cells: list[tuple[Image.Image, Image.Image, str]]) -> Image.Image:
    columns = 4
    wide, high = 2 * CELL + 24, CELL + 20
    sheet = Image.new("RGB", (columns * wide, max(1, -(-len(cells) // columns)) * high), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (original, query, text) in enumerate(cells):
        left, top = place % columns * wide, place // columns * high
        for column, picture in enumerate((original, query)):
            small = picture.copy()
            small.thumbnail((CELL, CELL))
            sheet.paste(small, (left + column * (CELL + 4), top + 16))
        draw.text((left + 2, top + 2), text, fill="black", font=ImageFont.load_default(11))
    return sheet


if __name__ == "__main__":
    main()
