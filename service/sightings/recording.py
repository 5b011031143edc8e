"""Recording uploads as sightings, when their platforms ask for it: what finds them again, and nothing more."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from structlog.typing import FilteringBoundLogger

from index.catalog.sightings.sightings import SightingTable
from index.errors import IndexingError
from index.records.changes import Version
from index.records.incidents import IncidentRule
from index.records.rows import Embeddings
from index.records.sightings import NewMatch, NewSighting, SightedFrame, SightingId
from index.records.spaces import SpaceId
from service.logs import where
from service.matching.evidence import Query, SpaceRows
from service.matching.policy import Judged
from service.metrics import Metrics
from service.schemas import Band, Verdict

UNNAMED = "unnamed"
"""The platform of uploads that nobody named one for."""
_AWAY_S: Final = 5.0
"""After a recording failed because the catalog could not be written, the next ones are not tried for so long."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a platform says of an upload that is to be recorded."""

    platform: str = UNNAMED
    upload_id: str | None = None
    observed_at: datetime | None = None
    publisher: str | None = None
    context: str | None = None
    may: Callable[[], bool] = lambda: True
    """Takes one from the budget of recordings; False when there is none left."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was made of an upload: as much of the answer as is kept."""

    query: Query
    verdict: Verdict
    matches: Sequence[Judged]
    index_version: Version


class Recorder:
    """
    Safe from any thread. Recording never fails an answer: what cannot be recorded has no sighting, is counted, and
    told in the log.

    Args:
        table: where sightings are kept.
        keep: for how long.
        metrics: where to count.
        log: where to tell.
        clock: for tests.
    """

    def __init__(
        self,
        table: SightingTable,
        keep: timedelta,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._keep = keep
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._away_until = -float("inf")

    def record(self, recording: Recording, answered: Answered) -> SightingId | None:
        """The sighting's id, once it is durable; None where it could not be recorded."""
        if self._clock() < self._away_until:  # each of those who come now would wait for it in vain
            self._metrics.recordings.labels("unavailable").inc()
            return None
        try:
            if not recording.may():
                self._metrics.recordings.labels("over_budget").inc()
                return None
            sighting_id = self._table.record(new_sighting(recording, answered), self._keep)
        except IndexingError as error:
            self._away_until = self._clock() + _AWAY_S
            self._failed("unavailable", recording, error)
            return None
        except Exception as error:  # noqa: BLE001 - the answer is there, and is not withheld for its recording
            self._failed("failed", recording, error)
            return None
        self._metrics.recordings.labels("recorded").inc()
        return sighting_id

    def _failed(self, outcome: str, recording: Recording, error: Exception) -> None:
        self._metrics.recordings.labels(outcome).inc()
        self._log.warning("an upload could not be recorded", platform=recording.platform, **where(error))


def new_sighting(recording: Recording, answered: Answered) -> NewSighting:
    verdict = answered.verdict
    matches = [match for match in answered.matches if match.band is not Band.NONE]
    incident = next((match.rule.incident for match in matches if match.rule.incident is not None), None)
    return NewSighting(
        platform=recording.platform,
        upload_id=recording.upload_id,
        observed_at=recording.observed_at,
        publisher=recording.publisher,
        context=recording.context,
        kind=answered.query.media.kind,
        band=verdict.band.value,
        action=verdict.suggested_action.value,
        reasons=[reason.value for reason in verdict.reasons],
        index_version=answered.index_version,
        frames=frames_of(answered.query),
        matches=[_new_match(match) for match in matches],
        incident_key=None if incident is None else incident.key,
        tells=bool(matches) and verdict.band.strength >= _announced(incident).strength,
    )


def frames_of(query: Query) -> list[SightedFrame]:
    """What can be found again of a query, frame by frame."""
    embeddings: dict[int, dict[SpaceId, Embeddings]] = defaultdict(dict)
    positions: dict[int, int] = {}
    for space, rows in query.spaces.items():
        for number, of_frame in _by_frame(rows).items():
            embeddings[number][space] = rows.embeddings[of_frame]
            positions[number] = rows.positions_ms[of_frame[0]]
    hashes: dict[int, int] = {}
    for row, position in enumerate(query.hashes.positions_ms):
        number = query.hashes.frames[row] if query.hashes.frames else row
        hashes[number] = row
        positions[number] = position
    return [
        SightedFrame(
            position_ms=position,
            pdq=query.hashes.hashes[hashes[number]].tobytes() if number in hashes else None,
            pdq_quality=query.hashes.qualities[hashes[number]] if number in hashes else None,
            embeddings=embeddings.get(number, {}),
        )
        for number, position in sorted(positions.items())
    ]


def _by_frame(rows: SpaceRows) -> dict[int, list[int]]:
    """Which rows each frame has, that of the whole frame first; a row without a frame's number is a frame."""
    found: dict[int, list[int]] = defaultdict(list)
    for row in range(len(rows.embeddings)):
        found[rows.frames[row] if rows.frames else row].append(row)
    return found


def _new_match(match: Judged) -> NewMatch:
    semantic, perceptual = match.semantic, match.perceptual
    return NewMatch(
        item_id=match.item.item_id,
        band=match.band.value,
        score=None if semantic is None else round(float(np.float32(semantic.hit.score)), 6),
        distance=None if perceptual is None else perceptual.distance,
        verified=match.verified,
    )


def _announced(incident: IncidentRule | None) -> Band:
    """The least band that subscribers hear of."""
    return Band.VARIANT if incident is None else Band(incident.protocol.announce)
