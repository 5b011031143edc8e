"""One evaluation: any number of systems on the same photographs, the same edits and the same innocent queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation import queries
from models.evaluation.cases import Case, worst_cases
from models.evaluation.compared import Named, compared
from models.evaluation.edits.kinds import Edit
from models.evaluation.edits.registry import EDITS, named
from models.evaluation.errors import TooFewPictures, UnknownEdit
from models.evaluation.measure import Answers, Asked, SystemReport, measure
from models.evaluation.pictures import SAME_PDQ, Folder, Picture, Tick, read_folder, signs
from models.evaluation.queries import Queries
from models.evaluation.roles import Roles, drawn
from models.evaluation.systems import (
    EmbeddingSystem,
    System,
)
from models.evaluation.tiled import TiledSystem, banks_tiles
from models.evaluation.verified import AutomaticSystem, VerifiedSystem


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """
    Args:
        photos: photographs to bank, edit and ask about.
        calibration: other photographs, which thresholds are set on; without, some of `photos` are kept for that.
        lookalikes: pictures that resemble each other and are no copies, for a table of their own.
        bank: how many pictures are banked at most.
        originals: how many of them are edited.
        threshold_edits: innocent queries made of each threshold photograph, beside itself.
        unknown_edits: edits of each photograph that is not banked, others for each; all of them without.
        edits: names of the edits; all of them without.
        tiles: numbers of tiles; each model is measured again with so many of each picture banked beside the whole.
        baselines: whether perceptual hashes and the untrained network are measured as well.
        rounds: of the bootstrap.
        seed: of roles and bootstrap.
    """

    photos: Path
    calibration: Path | None = None
    lookalikes: Path | None = None
    bank: int = 1000
    originals: int = 300
    threshold_edits: int = 8
    unknown_edits: int | None = None
    edits: tuple[str, ...] | None = None
    tiles: tuple[int, ...] = ()
    baselines: bool = True
    rounds: int = 300
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was measured."""

    pictures: int
    broken: int
    groups_of_copies: int
    bank: int
    originals: int
    positives: int
    negatives: int
    threshold_queries: int
    lookalikes: int


@dataclass(frozen=True, slots=True)
class Report:
    """
    Args:
        created: ISO time.
        options: what was asked for.
        counts: how much was measured.
        edits: names, families and whether counted and held out, in order.
        systems: the figures of each.
        misses: the worst misses of the first system.
        false_matches: its worst false matches.
        copies: names of pictures that are copies of each other.
        rows: how many embeddings were banked, by the systems that bank tiles.
        looked: of the unknown and of copies, the share of queries that `auto` looks closer at, by system.
        seconds: what it took.
    """

    created: str
    options: EvaluationOptions
    counts: Counts
    edits: tuple[Edit, ...]
    systems: tuple[SystemReport, ...]
    misses: tuple[Case, ...]
    false_matches: tuple[Case, ...]
    copies: tuple[tuple[str, ...], ...]
    rows: dict[str, int]
    looked: dict[str, dict[str, float]]
    seconds: float


_QUIET: Tick = lambda _what, _done, _total: None  # noqa: E731


def evaluate(options: EvaluationOptions, models: Sequence[Named], tick: Tick = _QUIET) -> Report:
    """
    Measure models, and beside them the hashes that they should beat.

    Args:
        options: see there.
        models: embedders with the names they have in tables; the first is the one whose errors are shown.
        tick: told how far it is.

    Raises:
        TooFewPictures: the folder holds too few that can be read.
        UnknownEdit: an edit was asked for that does not exist.
    """
    started = time.monotonic()
    had = _gathered(options, models, tick)
    reports: list[SystemReport] = []
    cases: tuple[tuple[Case, ...], tuple[Case, ...]] = ((), ())
    for place, system in enumerate(had.systems):
        tick("scoring", place, len(had.systems))
        answers = _answers(system, had)
        fixed = _fixed(system, models)
        reports.append(measure(system.name, had.asked, answers, fixed, rounds=options.rounds, seed=options.seed))
        if place == 0:
            cases = worst_cases(had.asked, answers, had.roles, had.judged)
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        options=options,
        counts=had.counts,
        edits=had.edits,
        systems=tuple(reports),
        misses=cases[0],
        false_matches=cases[1],
        copies=had.folder.copies,
        rows={
            system.name: sum(len(rows) for rows in had.bank[system.name])
            for system in had.systems
            if isinstance(system, TiledSystem)
        },
        looked={system.name: _looked(system, had) for system in had.systems if isinstance(system, AutomaticSystem)},
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Signatures of everything, by every system, before anything is compared."""

    edits: tuple[Edit, ...]
    folder: Folder
    roles: Roles
    judged: tuple[Picture, ...]
    systems: list[System]
    bank: dict[str, list[Any]]
    positives: Queries
    negatives: Queries
    innocent: Queries
    alike: Queries | None
    alike_banked: dict[str, list[Any]]
    """Of the systems that bank more of a picture than a query tells."""

    @property
    def asked(self) -> Asked:
        return Asked(
            edits=tuple(edit.name for edit in self.edits),
            counted=np.array([edit.counted for edit in self.edits]),
            truth=np.array(self.positives.owner),
            edit=np.array(self.positives.edit),
            negative_owner=np.array(self.negatives.owner),
            negative_edit=np.array(self.negatives.edit),
            bank=len(self.roles.bank),
        )

    @property
    def counts(self) -> Counts:
        return Counts(
            pictures=len(self.folder.pictures),
            broken=len(self.folder.broken),
            groups_of_copies=len(self.folder.copies),
            bank=len(self.roles.bank),
            originals=self.roles.originals,
            positives=len(self.positives.owner),
            negatives=len(self.negatives.owner),
            threshold_queries=len(self.innocent.owner),
            lookalikes=0 if self.alike is None else len(self.alike.owner),
        )


def _gathered(options: EvaluationOptions, models: Sequence[Named], tick: Tick) -> _Gathered:
    edits = _edits(options.edits)
    folder = read_folder(options.photos, tick)
    roles = drawn(folder.pictures, options.bank, options.originals, options.seed)
    judged, spare = _threshold_pictures(options, roles, folder, tick)
    systems = compared(models, options.tiles, baselines=options.baselines)
    lend, lend_spare = queries.lender(judged), queries.lender(spare)
    known = roles.bank[: roles.originals]
    some = options.threshold_edits
    alike, alike_banked = _lookalikes(options, systems, lend, tick)
    return _Gathered(
        edits=edits,
        folder=folder,
        roles=roles,
        judged=judged,
        systems=systems,
        bank=queries.bank(roles.bank, systems, tick),
        positives=queries.ask(known, edits, systems, lend, tick=tick, label="asking about the banked"),
        negatives=queries.ask_some(
            judged,
            edits,
            systems,
            lend,
            some=len(edits) if options.unknown_edits is None else options.unknown_edits,
            tick=tick,
            label="asking about the unknown",
            plain=False,
        ),
        innocent=queries.ask_some(spare, edits, systems, lend_spare, some=some, tick=tick, label="setting thresholds"),
        alike=alike,
        alike_banked=alike_banked,
    )


def _edits(names: tuple[str, ...] | None) -> tuple[Edit, ...]:
    try:
        return EDITS if names is None else named(names)
    except KeyError as error:
        raise UnknownEdit(f"no such edit: {error.args[0]}") from error


def _threshold_pictures(
    options: EvaluationOptions, roles: Roles, folder: Folder, tick: Tick
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Who is asked about as unknown, and whom thresholds are set on: never the same."""
    if options.calibration is None:
        half = len(roles.negatives) // 2
        return roles.negatives[half:], roles.negatives[:half]
    other = read_folder(options.calibration, tick)
    spare = _without_copies(other.pictures, folder.pictures)
    if not spare:
        raise TooFewPictures("the folder for thresholds holds no picture of its own")
    return roles.negatives, spare


def _without_copies(pictures: tuple[Picture, ...], others: tuple[Picture, ...]) -> tuple[Picture, ...]:
    if not pictures or not others:
        return pictures
    near = signs([picture.pdq for picture in pictures]) @ signs([picture.pdq for picture in others]).T
    apart = ((256 - near) / 2 > SAME_PDQ).all(axis=1)
    return tuple(picture for picture, alone in zip(pictures, apart, strict=True) if alone)


def _lookalikes(
    options: EvaluationOptions, systems: Sequence[System], lend: Callable[..., Any], tick: Tick
) -> tuple[Queries | None, dict[str, list[Any]]]:
    """As they are asked about, and banked where what is banked cannot be had of what is asked."""
    if options.lookalikes is None:
        return None, {}
    folder = read_folder(options.lookalikes, tick)
    asked = queries.ask(folder.pictures, (), systems, lend, tick=tick, label="asking about look-alikes")
    tiled = [system for system in systems if banks_tiles(system)]
    return asked, queries.bank(folder.pictures, tiled, tick) if tiled else {}


def _answers(system: System, had: _Gathered) -> Answers:
    bank = had.bank[system.name]
    positives, negatives, innocent = (
        system.scores(part.signatures[system.name], bank) for part in (had.positives, had.negatives, had.innocent)
    )
    best = np.zeros(0)
    if had.alike is not None:
        rows = had.alike.signatures[system.name]
        held = had.alike_banked.get(system.name) or system.as_banked(rows)
        scores = system.scores(rows, held)
        np.fill_diagonal(scores, -np.inf)
        best = scores.max(axis=1).astype(np.float64)
    return Answers(positives, negatives, innocent.max(axis=1).astype(np.float64), best)


def _fixed(system: System, models: Sequence[Named]) -> dict[str, float]:
    """Thresholds that are in use: a hash's usual one, a calibrated model's own."""
    if system.fixed_threshold is not None:
        return {f"as used ({-system.fixed_threshold:.0f} bits)": system.fixed_threshold}
    if isinstance(system, VerifiedSystem):
        weighing = system.record
        return {"variant": weighing.strength_at(weighing.variant), "related": weighing.strength_at(weighing.related)}
    if not isinstance(system, EmbeddingSystem):
        return {}
    for _, embedder in models:
        record = embedder.space.calibration
        if embedder is system.embedder and record is not None and record.embedder_id == embedder.space.embedder_id:
            return {"variant": record.variant.score, "related": record.related.score}
    return {}


def _looked(system: AutomaticSystem, had: _Gathered) -> dict[str, float]:
    bank = had.bank[system.name]
    parts = {"unknown": had.negatives, "copies": had.positives, "for thresholds": had.innocent}
    return {label: system.share_looked(part.signatures[system.name], bank) for label, part in parts.items()}
