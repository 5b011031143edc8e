"""A descriptor whose nearest candidates are looked at closer, as systems of the evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import features
from models.evaluation.pictures import dihedral_hashes, signs
from models.evaluation.systems import EmbeddingSystem, Scores
from models.features import Features
from models.geometry import Location, locate_each
from models.media.types import DecodedFrame
from models.verification import SAME_PDQ, STEEPEST, Evidence, VerificationRecord, flat_terms

BY_SCORE, BY_PDQ = 20, 3
"""How many candidates are looked at: the nearest by cosine, and by PDQ."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """
    What is known of one picture.

    Args:
        rows: its embeddings, shape (views, dim).
        pdq: its hash; of a query those of its eight turns and mirror images.
        features: its local features.
    """

    rows: NDArray[np.float32]
    pdq: tuple[bytes, ...]
    features: Features


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """
    What was found of queries in a bank.

    Args:
        scores: the best cosines, shape (queries, bank).
        distances: PDQ distances, shape (queries, bank).
        locations: of each query, what came of each candidate that was looked at, by its place in the bank.
        low_texture: shape (queries, bank), whether a look at the pair says little.
        rows: how many embeddings the queries were compared with; more than one of a picture where views were banked.
    """

    scores: Scores
    distances: NDArray[np.int16]
    locations: tuple[dict[int, Location | None], ...]
    low_texture: NDArray[np.bool_]
    rows: int

    def evidence(self, query: int, candidate: int) -> Evidence:
        """All that is known of a pair."""
        return Evidence(
            score=float(self.scores[query, candidate]),
            pdq_distance=int(self.distances[query, candidate]),
            looked=candidate in self.locations[query],
            location=self.locations[query].get(candidate),
            low_texture=bool(self.low_texture[query, candidate]),
        )


class Eye:
    """
    Signatures of pictures, and closer looks at them.

    Args:
        embeddings: of the space.
    """

    def __init__(self, embeddings: EmbeddingSystem) -> None:
        self._embeddings = embeddings
        self._last: tuple[Any, list[Any]] = (None, [])
        self._last_banked: tuple[Any, list[Any]] = (None, [])
        self._again: tuple[int, list[Any]] = (0, [])
        self._looked: dict[tuple[int, ...], tuple[Looked, Seen, Seen]] = {}

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        """Of pictures that are banked; what is kept of them went through bytes. Shared like the answers of `asked`."""
        if self._last_banked[0] is not frames:
            rows = self._embeddings.banked(frames)
            seen = [
                Seen(row, (frame.pdq,), features.from_bytes(features.to_bytes(features.extract(frame.pixels))))
                for row, frame in zip(rows, frames, strict=True)
            ]
            self._last_banked = frames, seen
        return list(self._last_banked[1])

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        """Of queries; two systems that ask about the same frames one after the other share the answer."""
        if self._last[0] is not frames:
            rows = self._embeddings.asked(frames)
            seen = [
                Seen(row, tuple(dihedral_hashes(frame.pixels)), features.extract_query(frame.pixels))
                for row, frame in zip(rows, frames, strict=True)
            ]
            self._last = frames, seen
        return list(self._last[1])

    def as_banked(self, queries: Sequence[Seen]) -> list[Any]:
        """Queries as if they had been banked: embeddings of the whole picture alone."""
        if self._again[0] != id(queries[0]):
            self._again = id(queries[0]), [Seen(one.rows[:1], one.pdq[:1], one.features) for one in queries]
        return list(self._again[1])

    def looked(self, queries: Sequence[Seen], bank: Sequence[Seen]) -> Looked:
        """Compare all, and look closer at the nearest."""
        key = id(queries[0]), len(queries), id(bank[0]), len(bank)
        if key not in self._looked:
            # The two are held so that no other picture takes their place in memory.
            self._looked[key] = self._look(queries, bank), queries[0], bank[0]
        return self._looked[key][0]

    def _look(self, queries: Sequence[Seen], bank: Sequence[Seen]) -> Looked:
        scores = self._embeddings.scores([one.rows for one in queries], [one.rows for one in bank])
        distances = pdq_distances([one.pdq for one in queries], [one.pdq[0] for one in bank])
        locations: list[dict[int, Location | None]] = []
        for place, query in enumerate(queries):
            chosen = candidates(scores[place], distances[place])
            found = locate_each(query.features, [bank[at].features for at in chosen])
            locations.append(dict(zip(chosen, found, strict=True)))
        few = np.array([one.features.low_texture for one in queries])
        none = np.array([one.features.low_texture for one in bank])
        rows = sum(len(one.rows) for one in bank)
        return Looked(scores, distances, tuple(locations), few[:, None] | none[None], rows)


def candidates(scores: NDArray[np.float32], distances: NDArray[np.int16]) -> list[int]:
    """Which of the bank are looked at: the nearest by cosine, then those by PDQ that are not among them."""
    nearest = [int(at) for at in np.argsort(-scores, kind="stable")[:BY_SCORE]]
    return nearest + [int(at) for at in np.argsort(distances, kind="stable")[:BY_PDQ] if at not in nearest]


def pdq_distances(queries: Sequence[Sequence[bytes]], bank: Sequence[bytes]) -> NDArray[np.int16]:
    """The least distance over the forms of each query, shape (queries, bank)."""
    theirs = signs(bank).T
    forms = [(256 - signs([forms[form] for forms in queries]) @ theirs) / 2 for form in range(len(queries[0]))]
    return np.asarray(np.min(forms, axis=0), dtype=np.int16)


class VerifiedSystem:
    """
    The descriptor, PDQ and a closer look at the nearest, as one score: the logit of the probability.

    Args:
        name: as in tables.
        eye: that looks.
        record: that weighs.
    """

    def __init__(self, name: str, eye: Eye, record: VerificationRecord) -> None:
        self.name = name
        self.fixed_threshold: float | None = None
        self.record = record
        self.eye = eye

    def banked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return self.eye.banked(frames)

    def asked(self, frames: Sequence[DecodedFrame]) -> list[Any]:
        return self.eye.asked(frames)

    def as_banked(self, queries: Sequence[Any]) -> list[Any]:
        """The same, but for embeddings of the whole picture alone."""
        return self.eye.as_banked(queries)

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> Scores:
        return logits(self.record, self.eye.looked(queries, bank))


class AutomaticSystem(VerifiedSystem):
    """The same as a service does it by default: the clearly near and the clearly far are not looked at."""

    def scores(self, queries: Sequence[Any], bank: Sequence[Any]) -> Scores:
        looked = self.eye.looked(queries, bank)
        strengths = flat_strengths(self.record, looked).astype(np.float32)
        near = (looked.scores >= self.record.near) | (looked.distances <= SAME_PDQ)
        strengths[near] = STEEPEST
        for query, candidate in self._worth(looked):
            strengths[query, candidate] = self.record.strength(looked.evidence(query, candidate))
        return strengths

    def share_looked(self, queries: Sequence[Any], bank: Sequence[Any]) -> float:
        """The share of queries with any candidate that is looked at."""
        return len({query for query, _ in self._worth(self.eye.looked(queries, bank))}) / len(queries)

    def _worth(self, looked: Looked) -> Iterator[tuple[int, int]]:
        for query, found in enumerate(looked.locations):
            for candidate in found:
                score, distance = float(looked.scores[query, candidate]), int(looked.distances[query, candidate])
                if self.record.worth_looking(score, distance, looked.rows):
                    yield query, candidate


def logits(record: VerificationRecord, looked: Looked) -> Scores:
    """The strength of every pair; those that were not looked at count as looked at in vain."""
    strengths = flat_strengths(record, looked)
    for query, found in enumerate(looked.locations):
        for candidate in found:
            strengths[query, candidate] = record.strength(looked.evidence(query, candidate))
    return strengths.astype(np.float32)


def flat_strengths(record: VerificationRecord, looked: Looked) -> NDArray[np.float64]:
    """The strength of every pair without geometry."""
    strengths = np.full(looked.scores.shape, record.weights["one"])
    for name, values in flat_terms(looked.scores, looked.distances).items():
        strengths += record.weights[name] * values
    return strengths
