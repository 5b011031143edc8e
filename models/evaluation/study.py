"""
What each test-time option brings and costs: resolution, views of the query, score normalisation.

To be run on the photographs that thresholds are set on, never on those of the evaluation: defaults are chosen by it.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.calibration import Normalisation
from models.embedder import Embedder, Embeddings
from models.evaluation import metrics, queries
from models.evaluation.edits.registry import EDITS, edited
from models.evaluation.errors import TooFewPictures
from models.evaluation.pictures import Picture, Tick, looked_at, original, read_folder
from models.evaluation.systems import BATCH, best_of_views
from models.media.types import Frame
from models.views import View, Views

LEAST = 30
VIEW_SETS: tuple[tuple[View, ...], ...] = (
    (View.WHOLE,),
    (View.WHOLE, View.BOXED),
    (View.WHOLE, View.MIRRORED),
    (View.WHOLE, View.TURNED),
    (View.WHOLE, View.CENTRE),
    (View.WHOLE, View.HALVES),
    (View.WHOLE, View.QUARTERS),
    (View.WHOLE, View.BOXED, View.TURNED),
    (View.WHOLE, View.BOXED, View.CENTRE),
    (View.WHOLE, View.BOXED, View.TURNED, View.CENTRE),
    (View.WHOLE, View.BOXED, View.TURNED, View.QUARTERS),
    (View.WHOLE, View.BOXED, View.TURNED, View.HALVES, View.QUARTERS),
)
NORMALISED = (VIEW_SETS[0], VIEW_SETS[1], VIEW_SETS[7])
"""Views with which normalisation is tried."""
NORMALISATIONS: tuple[tuple[float, int], ...] = ((0.5, 3), (1.0, 1), (1.0, 3), (1.0, 10), (1.2, 3))
RATES = (1e-2, 1e-3)


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """
    Args:
        photos: photographs that are in neither training nor evaluation.
        bank: how many are banked; the others are unknown, or the background.
        originals: how many of these are edited.
        unknown: how many unknown ones are asked about.
        unknown_edits: queries made of each of them.
        seed: of the roles.
    """

    photos: Path
    bank: int = 450
    originals: int = 80
    unknown: int = 250
    unknown_edits: int = 10
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """
    One set of options.

    Args:
        option: what was varied.
        value: how it was set.
        micro_ap: see `metrics`.
        recalls: at the rates of RATES, thresholds set on the same unknown queries.
        top_20: the share of queries whose original is among the first twenty.
        views: mean embeddings a query.
        ms: mean milliseconds a query, preparing and embedding, one thread.
    """

    option: str
    value: str
    micro_ap: float
    recalls: tuple[float, ...]
    top_20: float
    views: float
    ms: float


@dataclass(frozen=True, slots=True)
class _Frames:
    bank: list[Frame]
    positives: list[Frame]
    truth: np.ndarray
    unknown: list[Frame]
    background: list[Frame]


def study(options: StudyOptions, at_size: Callable[[int], Embedder], sizes: Sequence[int], tick: Tick) -> list[Row]:
    """
    Measure one option at a time, then the views together.

    Args:
        options: see there.
        at_size: gives the embedder that looks at squares of this side.
        sizes: the sides to try; views and normalisation are tried at the first.
        tick: told how far it is.
    """
    frames = _frames(options, tick)
    rows: list[Row] = []
    for size in sizes:
        tick("resolution", size, max(sizes))
        embedder = at_size(size)
        rows.append(_row("resolution", f"{size} px", frames, _looked(embedder, frames, (View.WHOLE,)), None))
    embedder = at_size(sizes[0])
    every = tuple(dict.fromkeys(itertools.chain.from_iterable(VIEW_SETS)))
    apart = {view: _looked(embedder, frames, (view,)) for view in every}
    background = np.concatenate(_embedded(embedder, [[frame] for frame in frames.background])[0])
    for views in VIEW_SETS:
        tick("views", len(rows), len(rows))
        rows.append(_row("query views", " + ".join(views), frames, _together([apart[view] for view in views]), None))
    for beta, neighbours in NORMALISATIONS:
        label = f"beta {beta}, {neighbours} nearest of {len(background)}"
        normalisation = Normalisation(beta, neighbours, background)
        for views in NORMALISED:
            seen = _together([apart[view] for view in views])
            rows.append(_row("normalisation", f"{label}; {' + '.join(views)}", frames, seen, normalisation))
    return rows


@dataclass(frozen=True, slots=True)
class _Seen:
    bank: list[Embeddings]
    positives: list[Embeddings]
    unknown: list[Embeddings]
    ms: float


def _frames(options: StudyOptions, tick: Tick) -> _Frames:
    pictures = list(read_folder(options.photos, tick).pictures)
    if len(pictures) < LEAST:
        raise TooFewPictures(f"{len(pictures)} distinct pictures that can be read; at least {LEAST} are needed")
    random.Random(options.seed).shuffle(pictures)
    size = min(options.bank, len(pictures) // 2)
    unknown, background = pictures[size : size + options.unknown], pictures[size + options.unknown :]
    edits = [edit for edit in EDITS if edit.counted]
    lend = queries.lender(background or unknown)

    def made(picture: Picture, some: int) -> list[Frame]:
        still = Image.fromarray(original(picture).pixels)
        chosen = random.Random(picture.name).sample(edits, min(some, len(edits))) if some < len(edits) else edits
        return [looked_at(edited(edit, still, picture.name, lend)).pixels for edit in chosen]

    positives: list[Frame] = []
    known = pictures[: min(options.originals, size)]
    for place, picture in enumerate(known):
        tick("editing the banked", place, len(known))
        positives += made(picture, len(edits))
    innocent: list[Frame] = []
    for place, picture in enumerate(unknown):
        tick("editing the unknown", place, len(unknown))
        innocent += made(picture, options.unknown_edits)
    truth = np.repeat(np.arange(len(known)), len(edits))
    bank = [original(picture).pixels for picture in pictures[:size]]
    return _Frames(bank, positives, truth, innocent, [original(picture).pixels for picture in background])


def _embedded(embedder: Embedder, views: list[list[Frame]]) -> tuple[list[Embeddings], float]:
    """Rows of each frame's views, and the milliseconds that it took."""
    started = time.process_time()
    flat = [view for of_one in views for view in of_one]
    rows = [
        embedder.embed([embedder.prepare(view) for view in flat[start : start + BATCH]])
        for start in range(0, len(flat), BATCH)
    ]
    spent = (time.process_time() - started) * 1000
    joined = np.concatenate(rows) if rows else np.zeros((0, embedder.space.dim), dtype=np.float32)
    ends = np.cumsum([len(of_one) for of_one in views])
    return list(np.split(joined, ends[:-1])), spent


def _looked(embedder: Embedder, frames: _Frames, views: tuple[View, ...]) -> _Seen:
    """The embeddings of one kind of view; frames that have none of it get none."""
    only = Views(query=views)

    def of(frame: Frame) -> list[Frame]:
        seen = only.query_views(frame)
        return [] if views != (View.WHOLE,) and len(seen) == 1 and seen[0] is frame else seen

    bank, _ = _embedded(embedder, [[frame] for frame in frames.bank])
    positives, first = _embedded(embedder, [of(frame) for frame in frames.positives])
    unknown, second = _embedded(embedder, [of(frame) for frame in frames.unknown])
    return _Seen(bank, positives, unknown, (first + second) / (len(frames.positives) + len(frames.unknown)))


def _together(parts: list[_Seen]) -> _Seen:
    def joined(lists: list[list[Embeddings]]) -> list[Embeddings]:
        return [np.concatenate(rows) for rows in zip(*lists, strict=True)]

    positives, unknown = joined([part.positives for part in parts]), joined([part.unknown for part in parts])
    return _Seen(parts[0].bank, positives, unknown, sum(part.ms for part in parts))


def _row(option: str, value: str, frames: _Frames, seen: _Seen, normalisation: Normalisation | None) -> Row:
    positives = best_of_views(seen.positives, seen.bank, normalisation).astype(np.float64)
    unknown = best_of_views(seen.unknown, seen.bank, normalisation).astype(np.float64)
    own = positives[np.arange(len(frames.truth)), frames.truth]
    ranks = metrics.ranks(positives, frames.truth)
    best = unknown.max(axis=1)
    hits = np.zeros_like(positives, dtype=bool)
    hits[np.arange(len(frames.truth)), frames.truth] = True
    ranked = metrics.Predictions(
        scores=np.concatenate([positives.ravel(), unknown.ravel()]),
        hits=np.concatenate([hits.ravel(), np.zeros(unknown.size, dtype=bool)]),
        owners=np.zeros(positives.size + unknown.size, dtype=np.int64),
        truths=len(frames.truth),
        truth_owners=np.zeros(len(frames.truth), dtype=np.int64),
    ).ordered()
    asked = seen.positives + seen.unknown
    return Row(
        option=option,
        value=value,
        micro_ap=metrics.micro_average_precision(ranked),
        recalls=tuple(float((own >= metrics.threshold_at(best, rate)).mean()) for rate in RATES),
        top_20=float((ranks <= 20).mean()),  # noqa: PLR2004
        views=float(np.mean([len(rows) for rows in asked])),
        ms=seen.ms,
    )
