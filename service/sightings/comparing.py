"""Which of the sightings are near what is banked: in a space, or by their hashes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.engines.halves import whole
from index.identifiers import item_id_of
from index.records.banks import BankRule, Purpose
from index.records.changes import Origins
from index.records.items import ItemId
from index.records.sightings import Found, NewMatch
from index.records.spaces import SpaceId
from index.sightings.hash_store import trusted
from index.sightings.view import SightingView
from index.views.reading import Reading
from service.matching.policy import PDQ_EXACT_DISTANCE
from service.schemas import Band
from service.sightings.linking import Bounds

_AT_ONCE: Final = 1_000
"""Finds that are made of their numbers at once: there may be many, and not all may be wanted."""
_KEY_BITS: Final = 44
_KEY_MASK: Final = (1 << _KEY_BITS) - 1
"""Of the number of a pair, what is the sighting's."""


def compared(view: SightingView, reading: Reading, items: NDArray[np.int64], bounds: Bounds) -> Iterator[Found]:
    """
    Every sighting that is a variant of one of these items, or has the same hash; by item, then by age.

    Args:
        view: the sightings.
        reading: what is banked; items that may not be found now are passed over.
        items: keys, ascending, some thousands at most.
        bounds: where the bands of a space begin.
    """
    wanted = _Wanted(reading, items)
    scored = _strongest([_by_rows(view, reading, wanted, space, bounds) for space in view.spaces])
    hashed = _by_hashes(view, reading, wanted)
    codes = np.union1d(scored.codes, hashed.codes)
    scores, distances = np.full(len(codes), np.nan), np.full(len(codes), -1, np.int64)
    scores[np.searchsorted(codes, scored.codes)] = scored.strengths
    distances[np.searchsorted(codes, hashed.codes)] = -hashed.strengths
    for start in range(0, len(codes), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        for code, score, distance in zip(
            codes[some].tolist(), scores[some].tolist(), distances[some].tolist(), strict=True
        ):
            item_id, rule = wanted.names[int(items[code >> _KEY_BITS])]
            yield _found(
                code & _KEY_MASK,
                item_id,
                rule,
                None if score != score else score,  # noqa: PLR0124 - only nan is not itself
                None if distance < 0 else distance,
            )


class _Wanted:
    """Items that are looked for, as far as they may be found now."""

    def __init__(self, reading: Reading, items: NDArray[np.int64]) -> None:
        self.names: dict[int, tuple[ItemId, BankRule]] = {}
        self.items = items
        self._rules = {reading.bank_keys[rule.name]: rule for rule in reading.banks.values() if is_looked_for(rule)}

    def those_of(self, origins: Origins) -> NDArray[np.bool_]:
        """Which rows are to be looked for."""
        there: NDArray[np.bool_] = np.isin(origins.banks, list(self._rules))
        for row in np.flatnonzero(there).tolist():
            item = int(origins.items[row])
            if item not in self.names:
                self.names[item] = item_id_of(item, int(origins.tags[row])), self._rules[int(origins.banks[row])]
        return there

    def codes(self, items: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each pair of an item and a sighting."""
        return (np.searchsorted(self.items, items) << _KEY_BITS) + keys


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Of items and sightings: their numbers, ascending and each once, and how near they are."""

    codes: NDArray[np.int64]
    strengths: NDArray[np.float64]


def _strongest(parts: Sequence[_Pairs]) -> _Pairs:
    codes = np.concatenate([np.empty(0, np.int64), *(part.codes for part in parts)])
    strengths = np.concatenate([np.empty(0), *(part.strengths for part in parts)])
    order = np.lexsort((-strengths, codes))
    codes, first = np.unique(codes[order], return_index=True)
    return _Pairs(codes, strengths[order][first])


def _by_rows(view: SightingView, reading: Reading, wanted: _Wanted, space: SpaceId, bounds: Bounds) -> _Pairs:
    """Every pair that reaches the variant threshold: the item's own, or what is measured for the sighting's row."""
    if space not in reading.semantic:
        return _strongest([])
    origins, rows = reading.rows_of(space, wanted.items)
    there = wanted.those_of(origins)
    owners, rows = origins.items[there], rows[there]
    if not len(rows):
        return _strongest([])
    set_by_hand = [wanted.names[item][1].settings.variant_score for item in owners.tolist()]
    own = np.array([np.nan if each is None else each for each in set_by_hand], np.float32)
    # Where a query's own looks shift its threshold, the shift is added to what the calibration says of none.
    base = float(bounds(space, np.zeros((1, rows.shape[1]), np.float32))[0, 0])
    least = float(np.where(np.isnan(own), base, own).min())
    parts = []
    for near in view.spaces[space].over(rows, least):
        given, measured = own[near.queries], bounds(space, whole(near.rows))[near.places, 0]
        enough = near.scores >= np.where(np.isnan(given), measured, given)
        codes = wanted.codes(owners[near.queries[enough]], near.keys[enough])
        parts.append(_strongest([_Pairs(codes, near.scores[enough].astype(np.float64))]))
    return _strongest(parts)


def _by_hashes(view: SightingView, reading: Reading, wanted: _Wanted) -> _Pairs:
    """Every pair of hashes that are as good as equal; the nearer, the stronger."""
    origins, hashes, qualities = reading.hashes_of(wanted.items)
    good = wanted.those_of(origins) & trusted(qualities)
    lines, keys, far = view.hashes.within(hashes[good], PDQ_EXACT_DISTANCE)
    return _strongest([_Pairs(wanted.codes(origins.items[good][lines], keys), -far.astype(np.float64))])


def _found(key: int, item_id: ItemId, rule: BankRule, score: float | None, distance: int | None) -> Found:
    band = Band.EXACT if distance is not None else Band.VARIANT
    incident = rule.incident
    announced = Band.VARIANT if incident is None else Band(incident.protocol.announce)
    return Found(
        sighting_key=key,
        match=NewMatch(item_id, band.value, None if score is None else min(round(score, 6), 1.0), distance, None),
        bank=rule.name,
        incident_key=None if incident is None else incident.key,
        participants=frozenset() if incident is None else incident.participants,
        tells=band.strength >= announced.strength,
    )


def is_looked_for(rule: BankRule) -> bool:
    """
    What is of public interest is not looked for; nor what an incident has not confirmed, or should not have; nor what
    is in shadow, of which no platform may hear: an incident that leaves it is looked for then.
    """
    acts = rule.incident is None or (rule.incident.state.acts and not rule.incident.shadow)
    return acts and rule.purpose is Purpose.HARMFUL and not rule.settings.shadow
