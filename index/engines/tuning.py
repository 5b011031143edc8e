"""How an engine that may miss something is held to what it must find."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.engines.description import CurvePoint
from index.engines.halves import Halves, whole
from index.engines.scan import scan
from index.engines.vectors import Neighbours
from index.records.rows import Embeddings

NEIGHBOURS: Final = 10
_NEAREST, _FARTHEST = 0.95, 0.5
"""Cosines between a row and its perturbed copies: from a mild edit down to where a copy is only just told apart."""
_ROUNDING: Final = 1e-3
"""Scores in half precision; a row this near the last true one is as good as it."""

_UNDISTURBED: Final = 0.2
"""The share of queries that nothing else on the machine got in the way of."""

Search = Callable[[Embeddings, int], Neighbours]


@dataclass(frozen=True, slots=True)
class RecallTarget:
    """What an engine must find, by the exact answer to perturbed rows."""

    planted: float = 0.995
    """The share of perturbed rows that find the nearest."""
    overlap: float = 0.95
    """The share of the ten nearest."""
    queries: int = 400
    """Perturbed rows to tune on; and as many others to prove it on."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Queries, and the scores of their exact answers."""

    queries: Embeddings
    nearest: NDArray[np.float32]
    """Shape (q, NEIGHBOURS), best first."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How far an engine looks."""

    cells: int
    """Whose rows are looked at."""
    candidates: int = 0
    """How many rows are measured again; 0 for an engine that measures all of them well."""

    def parameters(self) -> dict[str, int]:
        return {"cells": self.cells, "candidates": self.candidates}


@dataclass(frozen=True, slots=True)
class Tuned:
    setting: Setting
    curve: tuple[CurvePoint, ...]
    """What was tried, from little to much; last the setting itself, on the queries it was not chosen by."""


def hold_out(rows: Halves, target: RecallTarget) -> tuple[HeldOut, HeldOut]:
    """
    Perturbed copies of some rows: those to tune on, and those to prove it on.

    A direction at random is added to a row until their cosine is one between a mild edit's and a harsh one's.
    """
    dice = np.random.default_rng(target.seed)
    count, dim = 2 * target.queries, rows.shape[1]
    chosen = np.sort(dice.integers(0, len(rows), count))
    originals = _unit(whole(rows[chosen]))
    aside = dice.standard_normal((count, dim)).astype(np.float32)
    aside = _unit(aside - np.sum(aside * originals, axis=1, keepdims=True) * originals)
    cosines = dice.uniform(_FARTHEST, _NEAREST, (count, 1)).astype(np.float32)
    queries: Embeddings = (cosines * originals + np.sqrt(1 - cosines**2) * aside).astype(np.float32)
    nearest = scan(rows, queries, NEIGHBOURS, None).scores
    places = dice.permutation(count)
    tuning, proof = places[: target.queries], places[target.queries :]
    return HeldOut(queries[tuning], nearest[tuning]), HeldOut(queries[proof], nearest[proof])


def tune(
    engine: Callable[[Setting], Search],
    grid: Sequence[Sequence[Setting]],
    held_out: tuple[HeldOut, HeldOut],
    target: RecallTarget,
) -> Tuned | None:
    """
    The fastest setting that finds what it must; None when there is none.

    It is chosen on one half of the held-out queries and proven on the other: the fastest of many that seemed to
    suffice is often one that was lucky.

    Args:
        engine: the search with a setting.
        grid: lines of settings, each from little to much: what more finds is never less.
        held_out: as `hold_out` makes them.
        target: what must be found.
    """
    tuning, proof = held_out
    tried = [list(_narrowed(engine, line, tuning, target)) for line in grid]
    enough = [
        (place, setting, point.query_ms)
        for place, points in enumerate(tried)
        for setting, point in points
        if reaches(point, target)
    ]
    for place, setting, _ in sorted(enough, key=lambda entry: entry[2]):
        proven = measured(engine(setting), setting, proof)
        if reaches(proven, target):
            curve = sorted((point for _, point in tried[place]), key=lambda point: point.parameters["cells"])
            return Tuned(setting, (*curve, proven))
    return None


def reaches(point: CurvePoint, target: RecallTarget) -> bool:
    return point.planted >= target.planted and point.overlap >= target.overlap


def measured(search: Search, setting: Setting, held_out: HeldOut) -> CurvePoint:
    """What a search finds of the exact answers, one query at a time."""
    found = np.empty_like(held_out.nearest)
    seconds = []
    for line, query in enumerate(held_out.queries):
        began = time.perf_counter()
        found[line] = search(query[None], NEIGHBOURS).scores[0]
        seconds.append(time.perf_counter() - began)
    bar = held_out.nearest - _ROUNDING
    return CurvePoint(
        parameters=setting.parameters(),
        planted=float(np.mean(found[:, 0] >= bar[:, 0])),
        overlap=float(np.mean(found >= bar[:, -1:])),
        query_ms=round(1e3 * float(np.quantile(seconds, _UNDISTURBED)), 4),
    )


def _narrowed(
    engine: Callable[[Setting], Search], line: Sequence[Setting], tuning: HeldOut, target: RecallTarget
) -> Iterator[tuple[Setting, CurvePoint]]:
    """The settings that a bisection of the line looks at for the least that suffices."""
    low, high = 0, len(line) - 1
    middle = high  # the most first: where it does not suffice, nothing does
    while True:
        point = measured(engine(line[middle]), line[middle], tuning)
        yield line[middle], point
        if reaches(point, target):
            high = middle
        elif middle == high:
            return
        else:
            low = middle + 1
        if low >= high:
            return
        middle = (low + high) // 2


def steps(most: int) -> list[int]:
    """From 1 on, each half as many again or a third more, to the most."""
    grown = (step for power in range(most.bit_length()) for step in (1 << power, 3 << power))
    return [*sorted(step for step in grown if step < most), most]


def _unit(rows: Embeddings) -> Embeddings:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    normal: Embeddings = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return normal
