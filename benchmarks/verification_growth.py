"""
How recall falls as the bank grows from a thousand to a million frames, with and without a closer look.

There are no million photographs here: beyond those given, banked rows are made of real ones. A made row lies between a
picture's row and that of a near one, with a little noise, so that rows crowd where pictures crowd. Nobody can look at a
made row: a closer look never takes it for a copy here, but it takes a candidate's place. So what a growing bank does to
recall is measured, and what it does to the false matches of a closer look is not.

    python benchmarks/verification_growth.py --photos PHOTOS --others OTHER_PHOTOS MORE_PHOTOS
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import features
from models.embedder import Device, Embedder
from models.evaluation import metrics, queries
from models.evaluation.edits.registry import EDITS, edited
from models.evaluation.pictures import LIMITS, SUFFIXES, looked_at, original, read_folder
from models.evaluation.roles import drawn
from models.evaluation.systems import EmbeddingSystem
from models.evaluation.verified import BY_SCORE
from models.geometry import locate
from models.media.image import decode_image
from models.media.types import DecodedFrame
from models.openclip import open_embedder, use_threads
from models.opencv import use_one_thread
from models.perceptual import pdq_forms
from models.verification import Evidence, VerificationRecord

Rows = NDArray[np.float32]
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MADE_AT_ONCE = 50_000
NEIGHBOURS = 8
FEW = ("crop_25", "crop_50", "inset_50", "refilmed", "chain_2", "chain_3")


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--photos", type=Path, required=True)
    told.add_argument("--others", type=Path, nargs="+", required=True)
    told.add_argument("--originals", type=int, default=30)
    told.add_argument("--unknown", type=int, default=600)
    given = told.parse_args()
    use_threads(1)
    use_one_thread()
    embedder = open_embedder("bundled", Device.CPU)
    record = embedder.space.verification
    assert record is not None, "the bundled model has a verification record"
    system = EmbeddingSystem("bundled", embedder)
    roles = drawn(read_folder(given.photos, lambda *_: None).pictures, 1000, given.originals, seed=0)
    copies, own, strengths, names = asked(system, record, roles.bank[: given.originals], roles.negatives)
    print(f"{len(copies)} copies asked about", flush=True)
    real = [decode_image(path.read_bytes(), LIMITS).frames[0] for path in paths(given.others)]
    unknown = system.asked(real[: given.unknown])
    base = bank_rows(embedder, real[given.unknown :])
    print(f"{len(unknown)} unknown pictures asked about, {len(base)} real rows banked", flush=True)
    over = np.zeros(len(copies), np.int64)
    best = np.full(len(unknown), -1.0)
    banked = 0
    print(
        "| banked | in the first 20 | descriptor, recall at 1e-3 | with a closer look |",
        *(f" {n} |" for n in FEW),
        sep="",
    )
    print("|---|---|---|---|" + "---|" * len(FEW), flush=True)
    for rows in grown(base):
        if banked == 0:
            rows = base[: SIZES[0]] if len(base) > SIZES[0] else base  # noqa: PLW2901 the first size is all real
        over += np.concatenate([higher(part, own_part, rows) for part, own_part in blocks(copies, own)])
        best = np.maximum(best, nearest(unknown, rows))
        banked += len(rows)
        if banked in SIZES:
            threshold = metrics.threshold_at(best, 1e-3)
            found = (over < BY_SCORE) & (strengths >= record.strength_at(record.variant))
            alone = (over == 0) & (own >= threshold)
            by_edit = [found[names == name].mean() for name in FEW]
            told_edits = "".join(f" {share:.2f} |" for share in by_edit)
            print(
                f"| {banked} | {(over < BY_SCORE).mean():.3f} | {alone.mean():.3f} | {found.mean():.3f} |{told_edits}",
                flush=True,
            )


def asked(
    system: EmbeddingSystem, record: VerificationRecord, pictures: Sequence, lent: Sequence
) -> tuple[list[Rows], NDArray[np.float64], NDArray[np.float64], NDArray[np.str_]]:
    """Of every counted edit: its rows, the cosine of its original, what a closer look at that says, and its name."""
    lend = queries.lender(lent)
    rows: list[Rows] = []
    own, strengths, names = [], [], []
    for picture in pictures:
        frame = original(picture)
        kept, (banked,) = features.extract(frame.pixels), system.banked([frame])
        made = [edit for edit in EDITS if edit.counted]
        frames = [looked_at(edited(edit, Image.fromarray(frame.pixels), picture.name, lend)) for edit in made]
        for edit, query, seen in zip(made, frames, system.asked(frames), strict=True):
            score = float((seen @ banked.T).max())
            location = locate(features.extract_query(query.pixels), kept)
            distance = min(
                (int.from_bytes(form) ^ int.from_bytes(frame.pdq)).bit_count() for form in pdq_forms(query.pixels)
            )
            rows.append(seen)
            own.append(score)
            strengths.append(record.strength(Evidence(score, distance, looked=True, location=location)))
            names.append(edit.name)
    return rows, np.array(own), np.array(strengths), np.array(names)


def paths(folders: Sequence[Path]) -> list[Path]:
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    random.Random(0).shuffle(found)
    return found


def bank_rows(embedder: Embedder, frames: Sequence[DecodedFrame]) -> Rows:
    """Each picture as it is and mirrored."""
    views = [view for frame in frames for view in (frame.pixels, np.ascontiguousarray(frame.pixels[:, ::-1]))]
    parts = [
        embedder.embed([embedder.prepare(view) for view in views[at : at + 64]]) for at in range(0, len(views), 64)
    ]
    return np.concatenate(parts)


def grown(base: Rows):  # noqa: ANN201 a generator of blocks whose sizes add up to each of SIZES in turn
    """The real rows first, then rows made of them."""
    dice = np.random.default_rng(0)
    yield base
    banked = SIZES[0]
    rest = base[SIZES[0] :]
    for size in SIZES[1:]:
        while banked < size:
            wanted = min(MADE_AT_ONCE, size - banked)
            if len(rest):
                block, rest = rest[:wanted], rest[wanted:]
            else:
                block = made(base, wanted, dice)
            banked += len(block)
            yield block


def made(base: Rows, count: int, dice: np.random.Generator) -> Rows:
    """Rows between real ones and their neighbours."""
    one = dice.integers(0, len(base), count)
    pool = dice.integers(0, len(base), (count, 64))
    other = np.empty(count, np.int64)
    for start in range(0, count, 2000):
        part = slice(start, start + 2000)
        near = np.einsum("nd,nkd->nk", base[one[part]], base[pool[part]])
        rank = np.argsort(-near, axis=1)[:, :NEIGHBOURS]
        picked = rank[np.arange(len(rank)), dice.integers(0, NEIGHBOURS, len(rank))]
        other[part] = pool[part][np.arange(len(rank)), picked]
    share = dice.uniform(0.2, 0.5, (count, 1)).astype(np.float32)
    rows = base[one] * (1 - share) + base[other] * share
    rows += dice.standard_normal(rows.shape, dtype=np.float32) * np.float32(0.02)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def blocks(copies: list[Rows], own: NDArray[np.float64]):  # noqa: ANN201 pairs of parts
    for start in range(0, len(copies), 128):
        yield copies[start : start + 128], own[start : start + 128]


def higher(copies: list[Rows], own: NDArray[np.float64], rows: Rows) -> NDArray[np.int64]:
    """How many rows come at least as near to each query as its original."""
    starts = np.cumsum([0] + [len(part) for part in copies[:-1]])
    scores = np.maximum.reduceat(np.concatenate(copies) @ rows.T, starts, axis=0)
    return np.asarray((scores >= own[:, None]).sum(axis=1), np.int64)


def nearest(unknown: list[Rows], rows: Rows) -> NDArray[np.float64]:
    starts = np.cumsum([0] + [len(part) for part in unknown[:-1]])
    best = np.full(sum(map(len, unknown)), -1.0, np.float32)
    together = np.concatenate(unknown)
    for start in range(0, len(rows), 10_000):
        best = np.maximum(best, (together @ rows[start : start + 10_000].T).max(axis=1))
    return np.maximum.reduceat(best, starts).astype(np.float64)


if __name__ == "__main__":
    main()
