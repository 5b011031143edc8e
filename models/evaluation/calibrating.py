"""
Measuring the thresholds of a space on photographs that are known to be innocent.

The photographs are halved. Each half is banked in turn and asked about with the other; what normalises the scores of a
query is the rest of its own half. So no query, bank and background ever share a picture.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from models.calibration import BACKGROUND_KEY, CalibrationRecord, Growth, Normalisation, Sample, Threshold
from models.documents import write_json
from models.embedder import Embedder, Embeddings
from models.evaluation import queries
from models.evaluation.edits.registry import EDITS
from models.evaluation.errors import TooFewPictures, UnknownPicture
from models.evaluation.metrics import rate_over, threshold_letting, upper_bound
from models.evaluation.pictures import Folder, Picture, Tick, read_folder
from models.evaluation.systems import EmbeddingSystem

READABLE = 0o644
VARIANT_RATE, RELATED_RATE = 1e-4, 1e-2
LEAST = 20
GROWTH_STEPS = (8, 4, 2)
"""The rates are also measured against these fractions of the bank."""
NEAREST = 8


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """
    Args:
        photos: innocent photographs.
        edits: innocent queries made of each, beside itself.
        beta: of score normalisation; 0, for none, is what serves the bundled model best.
        neighbours: of score normalisation.
        same_scene: names of photographs that show one scene, by groups. Another shot of a banked event is not
            innocent, so these are never held against each other.
        seed: of the halves.
    """

    photos: Path
    edits: int = 12
    beta: float = 0.0
    neighbours: int = 3
    same_scene: tuple[frozenset[str], ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two photographs that were taken to be innocent of each other, and how near they are."""

    score: float
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class Calibrated:
    """
    What a folder of photographs gave.

    Args:
        record: of the space.
        nearest: the pairs most like copies, nearest first: look at them, for each may be a scene shot twice.
    """

    record: CalibrationRecord
    nearest: tuple[NearPair, ...]


@dataclass(frozen=True, slots=True)
class Innocent:
    """
    Embeddings of queries that match nothing, and of a bank that they are held against.

    Args:
        queries: each of shape (views, dim).
        owners: the picture of each query.
        bank: each of shape (views, dim).
        background: rows to normalise with, shape (n, dim), by the picture of each; none without normalisation.
        background_owners: shape (n,); a query is not held against its own picture.
    """

    queries: Sequence[Embeddings]
    owners: NDArray[np.int64]
    bank: Sequence[Embeddings]
    background: Embeddings
    background_owners: NDArray[np.int64]


def calibrate(options: CalibrationOptions, embedder: Embedder, tick: Tick) -> Calibrated:
    """
    Measure a space on a folder of photographs.

    Args:
        options: see there.
        embedder: of the space, with the views that it will be used with.
        tick: told how far it is.

    Raises:
        TooFewPictures: fewer than LEAST that can be read and differ, or of which half are not of one scene.
        UnknownPicture: a name of one scene that no readable picture has.
    """
    folder = read_folder(options.photos, tick)
    if len(folder.pictures) < LEAST:
        raise TooFewPictures(f"{len(folder.pictures)} distinct pictures that can be read; at least {LEAST} are needed")
    pictures = _shuffled(folder, options)
    system = EmbeddingSystem("calibrated", embedder)
    banked = queries.bank(pictures, [system], tick)[system.name]
    whole = np.concatenate([part[:1] for part in banked])
    edits = [edit for edit in EDITS if edit.counted]
    half = len(pictures) // 2
    parts: list[Innocent] = []
    for own, other in ((slice(0, half), slice(half, 2 * half)), (slice(half, 2 * half), slice(0, half))):
        # Edits that need a second picture take it from the same half: one that is banked would be a true match.
        lend = queries.lender(pictures[own])
        asked = queries.ask_some(
            pictures[own], edits, [system], lend, some=options.edits, tick=tick, label=f"asking {len(parts) + 1} of 2"
        )
        parts.append(
            Innocent(
                queries=asked.signatures[system.name],
                owners=np.array(asked.owner) + own.start,
                bank=banked[other],
                background=whole[own],
                background_owners=np.arange(own.start, own.stop),
            )
        )
    record = measured(embedder.space.embedder_id, parts, options.beta, options.neighbours)
    grouped = len(_grouped(options))
    record = replace(record, sample=replace(record.sample, pictures=len(pictures), same_scene=grouped))
    return Calibrated(record, _nearest([picture.name for picture in pictures], whole, options.same_scene))


def calibrate_on_traffic(
    embedder_id: str,
    sightings: Sequence[Embeddings],
    owners: NDArray[np.int64],
    bank: Embeddings,
    normalisation: Normalisation | None,
) -> CalibrationRecord:
    """
    Measure a space on what was really uploaded: recorded sightings that are taken to be innocent.

    True matches among them raise the thresholds, so leave out what was confirmed to be one; but not what only reached
    the present thresholds: what is measured would be what was left.

    Args:
        embedder_id: of the space.
        sightings: the rows of each upload, shape (views, dim).
        owners: what each shows: uploads that look alike count as one picture.
        bank: the rows of the bank, shape (m, dim).
        normalisation: that the space uses.

    Raises:
        TooFewPictures: fewer than LEAST sightings, or an empty bank.
    """
    if len(sightings) < LEAST or not len(bank):
        raise TooFewPictures(f"{len(sightings)} sightings against {len(bank)} banked rows; at least {LEAST} are needed")
    background = np.zeros((0, bank.shape[1]), np.float32) if normalisation is None else normalisation.background
    part = Innocent(
        queries=sightings,
        owners=owners,
        bank=np.split(bank, len(bank)),
        background=background,
        background_owners=np.full(len(background), -1),
    )
    if normalisation is None:
        return measured(embedder_id, [part], beta=0, neighbours=1)
    return measured(embedder_id, [part], normalisation.beta, normalisation.neighbours)


def measured(embedder_id: str, parts: Sequence[Innocent], beta: float, neighbours: int) -> CalibrationRecord:
    """
    A record from embeddings alone: of photographs, or of recorded traffic that is taken to be innocent.

    Args:
        embedder_id: of the space.
        parts: innocent queries and the banks they are held against; their banks are of one size.
        beta: of score normalisation; 0 for none.
        neighbours: of score normalisation.

    Raises:
        TooFewPictures: there are no queries.
    """
    count = sum(len(part.queries) for part in parts)
    if not count:
        raise TooFewPictures("no innocent queries to measure with")
    bank = min(len(part.bank) for part in parts)
    # Against nested banks: column s is the best score against the first of the bank's pictures, up to size s.
    sizes = [*(max(1, bank // step) for step in GROWTH_STEPS), bank]
    best = np.concatenate([_best(part, sizes, beta, neighbours) for part in parts])
    owners = np.concatenate([part.owners for part in parts])
    variant, related = (_threshold(best[:, -1], owners, rate) for rate in (VARIANT_RATE, RELATED_RATE))
    growth = tuple(
        Growth(size, rate_over(best[:, place], variant.score), rate_over(best[:, place], related.score))
        for place, size in enumerate(sizes)
    )
    normalisation = None
    if beta > 0 and len(parts[0].background):
        normalisation = Normalisation(beta, neighbours, parts[0].background.astype(np.float32))
    sample = Sample(len(np.unique(owners)), count, bank)
    created = datetime.now(UTC).date().isoformat()
    return CalibrationRecord(embedder_id, created, sample, variant, related, normalisation, growth)


def read_scenes(path: Path) -> tuple[frozenset[str], ...]:
    """Groups of file names: a group a line, its names separated by tabs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(frozenset(line.split("\t")) for line in lines if line.strip())


def _grouped(options: CalibrationOptions) -> set[str]:
    return {name for group in options.same_scene for name in group}


def _shuffled(folder: Folder, options: CalibrationOptions) -> list[Picture]:
    """In an order whose halves part no scene: all that share one come first."""
    grouped = _grouped(options)
    known = {picture.name for picture in folder.pictures}.union(*folder.copies)
    if grouped - known:
        raise UnknownPicture(f"no readable picture is called {min(grouped - known)}")
    pictures = list(folder.pictures)
    if len(grouped) > len(pictures) // 2:
        raise TooFewPictures(f"{len(grouped)} of {len(pictures)} pictures share a scene; half of them may")
    random.Random(options.seed).shuffle(pictures)
    pictures.sort(key=lambda picture: picture.name not in grouped)
    return pictures


def _nearest(names: Sequence[str], whole: Embeddings, same_scene: Sequence[frozenset[str]]) -> tuple[NearPair, ...]:
    """Of all the pictures as they are, one row each, the pairs with the highest scores that are not of one scene."""
    ones, others = np.triu_indices(len(names), 1)
    scores = (whole @ whole.T)[ones, others]
    pairs = (
        NearPair(round(float(scores[place]), 4), names[ones[place]], names[others[place]])
        for place in np.argsort(-scores, kind="stable")
    )
    apart = (pair for pair in pairs if not any({pair.one, pair.other} <= group for group in same_scene))
    return tuple(itertools.islice(apart, NEAREST))


def save(record: CalibrationRecord, path: Path) -> None:
    """Write a record, and its background beside it, named after it, in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if record.normalisation is not None:
        named = replace(record.normalisation, file=f"{path.stem}.background.safetensors")
        record = replace(record, normalisation=named)
        aside = path.parent / (named.file + ".part")
        save_file({BACKGROUND_KEY: named.background.astype(np.float16)}, str(aside))
        aside.chmod(READABLE)  # safetensors writes for its owner alone
        aside.replace(path.parent / named.file)
    write_json(path, record.to_json())


def _best(part: Innocent, sizes: Sequence[int], beta: float, neighbours: int) -> NDArray[np.float64]:
    """The best score of each query against the first `size` pictures of the bank, shape (q, sizes)."""
    theirs = np.concatenate(list(part.bank))
    ends = np.cumsum([len(rows) for rows in part.bank])
    best = np.empty((len(part.queries), len(sizes)))
    for place, rows in enumerate(part.queries):
        scores = rows @ theirs.T
        if beta > 0 and len(part.background):
            others = part.background[part.background_owners != part.owners[place]]
            scores = scores - Normalisation(beta, neighbours, others).shares(rows)[:, None]
        along = scores.max(axis=0)
        for column, size in enumerate(sizes):
            best[place, column] = along[: ends[size - 1]].max()
    return best


def _threshold(best: NDArray[np.float64], owners: NDArray[np.int64], rate: float) -> Threshold:
    """
    Where the expected rate is the wanted one, or the tightest that the sample supports: above every innocent query.

    A score that k of n queries reach, chosen on these queries, is reached by (k + 1) / (n + 1) of others. The queries
    made of one picture are alike, so the upper bound counts pictures.
    """
    score = threshold_letting(best, max(int(rate * (len(best) + 1)) - 1, 0))
    reached = best >= score
    return Threshold(
        score=round(score + 5e-5, 4),
        fpr=(int(reached.sum()) + 1) / (len(best) + 1),
        fpr_upper95=upper_bound(len(np.unique(owners[reached])), len(np.unique(owners))),
    )
