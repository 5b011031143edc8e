"""
Fitting what cosine, PDQ and geometry say together, and measuring which probabilities innocent queries reach.

The photographs are halved, as for the thresholds of a space: each half is banked in turn, some of it edited, and asked
about with the other. Beside it are pictures that resemble each other, halved likewise, and pictures on pages of one
app, with one logo, of one way of writing: a threshold must hold for both.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize

from models.calibration import Sample, Threshold
from models.embedder import Embedder
from models.evaluation import queries
from models.evaluation.edits.kinds import Lender
from models.evaluation.edits.registry import EDITS
from models.evaluation.errors import TooFewPictures
from models.evaluation.metrics import threshold_letting, upper_bound
from models.evaluation.pictures import Picture, Tick, looked_at, original, read_folder
from models.evaluation.surroundings import surrounded
from models.evaluation.systems import EmbeddingSystem
from models.evaluation.verified import Eye, Looked, VerifiedSystem, logits
from models.features import EXTRACTOR
from models.media.types import DecodedFrame
from models.verification import Far, VerificationRecord, terms_of

VARIANT_RATE, RELATED_RATE = 1e-3, 1e-2
ALIKE_RATE = 2e-3
"""The share of look-alikes that may reach the threshold of `variant`."""
LEAST = 20
WRONG, WRONG_ALIKE = 4, 10
"""Wrong candidates that are learned from, of each query; those that resemble it teach most."""
BENIGN_LOOKED = 0.1
"""The share of innocent queries that may be looked at."""
PDQ_FAR_RATE = 0.002
"""The share of innocent queries that PDQ alone may bring."""
GROWTH_STEPS = (8, 4, 2, 1)
NEAR_MARGIN = 0.03
RIDGE = 0.002
PAGED_COUNTS = 2.0
"""What a query in shared surroundings counts for: they are few, and in service they are many."""


@dataclass(frozen=True, slots=True)
class VerifyingOptions:
    """
    Args:
        photos: innocent photographs.
        alike: pictures that resemble each other and are no copies; they may be those the descriptor was trained on.
        originals: of each half, how many are edited in every way.
        edits: innocent queries made of each photograph, beside itself.
        alike_pictures: how many of `alike` are used.
        paged: of each half, so many are banked, and as many asked about, in surroundings that they share.
        seed: of the halves.
    """

    photos: Path
    alike: Path
    originals: int = 25
    edits: int = 2
    alike_pictures: int = 1000
    paged: int = 80
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Half:
    photos: Sequence[Picture]
    alike: Sequence[Picture]


@dataclass(frozen=True, slots=True)
class _Part:
    """One direction: a half is banked, and asked about with edits of itself, the other half, and look-alikes."""

    copies: Looked
    truth: NDArray[np.int64]
    innocent: Looked
    innocent_owners: NDArray[np.int64]
    alike: Looked
    paged: Looked


def fit(options: VerifyingOptions, embedder: Embedder, tick: Tick) -> VerificationRecord:
    """
    Fit and measure on folders of photographs.

    Raises:
        TooFewPictures: fewer than LEAST distinct ones in either folder.
    """
    photos, alike = (list(read_folder(folder, tick).pictures) for folder in (options.photos, options.alike))
    if min(len(photos), len(alike)) < LEAST:
        raise TooFewPictures(f"at least {LEAST} distinct pictures are needed in each folder")
    for pictures in (photos, alike):
        random.Random(options.seed).shuffle(pictures)
    alike = alike[: options.alike_pictures]
    eye = Eye(EmbeddingSystem("descriptor", embedder))
    middle, centre = len(photos) // 2, len(alike) // 2
    one, other = _Half(photos[:middle], alike[:centre]), _Half(photos[middle:], alike[centre:])
    parts = [_part(eye, options, one, other, tick), _part(eye, options, other, one, tick)]
    return fitted(embedder.space.embedder_id, parts, len(photos) + len(alike))


def _part(eye: Eye, options: VerifyingOptions, banked: _Half, asked: _Half, tick: Tick) -> _Part:
    system = _Watching(eye)
    name = system.name
    counted = [edit for edit in EDITS if edit.counted]
    lend = queries.lender(asked.photos)
    bank = queries.bank([*banked.photos, *banked.alike], [system], tick)[name]
    pages = [_on_page(picture, place, lend) for place, picture in enumerate(banked.photos[-options.paged :])]
    bank += system.banked(pages)
    copies = queries.ask(
        banked.photos[: options.originals], counted, [system], lend, tick=tick, label="asking about edits"
    )
    innocent = queries.ask_some(
        asked.photos, counted, [system], lend, some=options.edits, tick=tick, label="asking about the innocent"
    )
    alike = queries.ask(asked.alike, (), [system], lend, tick=tick, label="asking about look-alikes")
    paged = [
        system.asked([_on_page(picture, place, lend)])[0] for place, picture in enumerate(asked.photos[: options.paged])
    ]
    signatures = copies.signatures[name], innocent.signatures[name], alike.signatures[name], paged
    found = [eye.looked(made, bank) for made in signatures]
    return _Part(found[0], np.array(copies.owner), found[1], np.array(innocent.owner), found[2], found[3])


def _on_page(picture: Picture, place: int, lend: Lender) -> DecodedFrame:
    dice = random.Random(picture.name)
    return looked_at(surrounded(Image.fromarray(original(picture).pixels), place, dice, lend))


class _Watching(VerifiedSystem):
    """Signatures alone: there is nothing yet to weigh them with."""

    def __init__(self, eye: Eye) -> None:
        self.name = "watching"
        self._eye = eye


def fitted(embedder_id: str, parts: Sequence[_Part], pictures: int) -> VerificationRecord:
    """A record from what was found of copies, of the innocent and of look-alikes."""
    rows, labels, counts = _examples(parts)
    names = list(rows[0])
    weights = _logistic(
        np.array([[row[name] for name in names] for row in rows]), np.array(labels, dtype=np.float64), np.array(counts)
    )
    innocent = [part.innocent for part in parts]
    banks = min(found.scores.shape[1] for found in innocent)
    provisional = VerificationRecord(
        embedder_id=embedder_id,
        extractor=EXTRACTOR,
        created=datetime.now(UTC).date().isoformat(),
        sample=Sample(pictures, sum(len(found.scores) for found in innocent), banks),
        weights=dict(zip(names, weights.round(4).tolist(), strict=True)),
        variant=Threshold(1.0, 0.0, 0.0),
        related=Threshold(1.0, 0.0, 0.0),
        near=1.0,
        far=(Far(1, 1.0),),
        pdq_far=0,
    )
    return _measured(provisional, parts)


def _examples(parts: Sequence[_Part]) -> tuple[list[dict[str, float]], list[bool], list[float]]:
    """Terms, labels and what each counts: of edits the original and the first wrong ones, of the others the nearest."""
    rows: list[dict[str, float]] = []
    labels: list[bool] = []
    counts: list[float] = []
    for part in parts:
        for looked, truth, most, counted in (
            (part.copies, part.truth, WRONG, 1.0),
            (part.innocent, None, WRONG, 1.0),
            (part.alike, None, WRONG_ALIKE, 1.0),
            (part.paged, None, WRONG_ALIKE, PAGED_COUNTS),
        ):
            for query, found in enumerate(looked.locations):
                right = -1 if truth is None else int(truth[query])
                wrong = [candidate for candidate in found if candidate != right][:most]
                for candidate in wrong + [right] * (right in found):
                    rows.append(terms_of(looked.evidence(query, candidate)))
                    labels.append(candidate == right)
                    counts.append(counted)
    return rows, labels, counts


def _logistic(
    terms: NDArray[np.float64], labels: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of the terms: of the first any, of the others none below 0, so that more evidence never says less."""

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        strength = terms @ weights
        expected = 1 / (1 + np.exp(-np.clip(strength, -40, 40)))
        wrong = float((counts * (np.logaddexp(0, strength) - labels * strength)).sum())
        ridge = RIDGE * np.concatenate([[0.0], weights[1:]])
        return wrong + float(ridge @ weights), terms.T @ (counts * (expected - labels)) + 2 * ridge

    bounds = [(None, None)] + [(0.0, None)] * (terms.shape[1] - 1)
    found = minimize(
        loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000}
    )
    return np.asarray(found.x, dtype=np.float64)


def _measured(record: VerificationRecord, parts: Sequence[_Part]) -> VerificationRecord:
    innocent, alike = (
        np.concatenate([logits(record, looked).max(axis=1) for looked in found]).astype(np.float64)
        for found in (
            [part.innocent for part in parts],
            [looked for part in parts for looked in (part.alike, part.paged)],
        )
    )
    shift = np.cumsum([0] + [part.innocent_owners.max() + 1 for part in parts[:-1]])
    owners = np.concatenate([part.innocent_owners + start for part, start in zip(parts, shift, strict=True)])
    smallest = min(part.innocent.scores.shape[1] for part in parts)
    scores = np.concatenate([part.innocent.scores[:, :smallest] for part in parts])
    distances = np.concatenate([part.innocent.distances.min(axis=1) for part in parts])
    highest = max(float(looked.scores.max()) for part in parts for looked in (part.innocent, part.alike, part.paged))
    far = {
        len(range(0, scores.shape[1], step)): float(np.quantile(scores[:, ::step].max(axis=1), 1 - BENIGN_LOOKED))
        for step in GROWTH_STEPS
    }
    return dataclasses.replace(
        record,
        variant=_threshold(innocent, owners, VARIANT_RATE, alike),
        related=_threshold(innocent, owners, RELATED_RATE),
        near=round(min(0.99, highest + NEAR_MARGIN), 4),
        far=tuple(Far(size, round(score, 4)) for size, score in sorted(far.items())),
        pdq_far=int(np.floor(threshold_far(distances, PDQ_FAR_RATE))),
    )


def threshold_far(distances: NDArray[np.int16], rate: float) -> float:
    """The largest distance that at most this share of innocent queries comes to."""
    return -threshold_letting(-distances.astype(np.float64), int(rate * len(distances)))


def _threshold(
    best: NDArray[np.float64], owners: NDArray[np.int64], rate: float, alike: NDArray[np.float64] | None = None
) -> Threshold:
    """
    The probability that at most this share of innocent queries reaches, and at most this share of look-alikes.

    A strength that k of n queries reach, chosen on these queries, is reached by (k + 1) / (n + 1) of others. The
    queries made of one picture are alike, so the upper bound counts pictures.
    """
    strength = threshold_letting(best, max(int(rate * (len(best) + 1)) - 1, 0))
    if alike is not None:
        strength = max(strength, threshold_letting(alike, int(ALIKE_RATE * len(alike))))
    reached = best >= strength
    return Threshold(
        score=round(1 / (1 + math.exp(-strength)) + 5e-7, 6),
        fpr=(int(reached.sum()) + 1) / (len(best) + 1),
        fpr_upper95=upper_bound(len(np.unique(owners[reached])), len(np.unique(owners))),
    )
