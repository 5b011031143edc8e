"""Counting what is answered: in memory, on nobody's way, and written down every second."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from structlog.typing import FilteringBoundLogger

from index.catalog.incidents.tallies import ItemTally, Means, Tallied, Tally, TallyTable
from index.errors import CatalogUnavailable
from index.identifiers import item_key_of
from index.views.reading import Reading
from service.logs import where
from service.matching.policy import Judged, PublicInterest
from service.matching.verdicts import intended_action, verdict
from service.schemas import Band, Reason, Verdict

FLUSH_EVERY_S: Final = 1.0
"""What a process that is killed has counted for so long is lost."""


@dataclass(frozen=True, slots=True)
class Counted:
    """An answer, as much of it as is counted."""

    verdict: Verdict
    matches: Sequence[Judged]
    """Best first, those in shadow too."""
    interest: PublicInterest
    tried: PublicInterest
    """As it is for what is in shadow."""
    reading: Reading


@dataclass(slots=True)
class _Pending:
    tallies: Counter[Tally] = field(default_factory=Counter)
    items: Counter[tuple[int, datetime]] = field(default_factory=Counter)
    unconfirmed: Counter[tuple[int, datetime]] = field(default_factory=Counter)
    first_matches: dict[int, datetime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tallies)

    def add(self, other: "_Pending") -> None:
        self.tallies.update(other.tallies)
        self.items.update(other.items)
        self.unconfirmed.update(other.unconfirmed)
        for key, at in other.first_matches.items():
            self.first_matches[key] = min(at, self.first_matches.get(key, at))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and when an answer is counted."""

    at: datetime
    platform: str

    @property
    def hour(self) -> datetime:
        return self.at.replace(minute=0, second=0, microsecond=0)


class Tallying:
    """
    Safe from any thread. Every process counts for itself; the catalog adds up.

    Args:
        table: where tallies are kept.
        log: where to tell.
        clock: for tests.
    """

    def __init__(
        self, table: TallyTable, log: FilteringBoundLogger, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._table = table
        self._log = log
        self._clock = clock
        self._pending = _Pending()
        self._counting = threading.Lock()
        self._flushing = threading.Lock()

    def count(self, platform: str, counted: Counted) -> None:
        """One answer."""
        place = _Place(self._clock(), platform)
        found = _Pending()
        found.tallies[_tally(place, counted.verdict)] += 1
        matches = [match for match in counted.matches if match.band is not Band.NONE]
        if matches:
            _count_matches(found, matches, counted, place)
        with self._counting:
            self._pending.add(found)

    def flush(self) -> None:
        """
        Writes down what was counted. What cannot be written is kept for the next time.

        Raises:
            CatalogUnavailable
        """
        with self._flushing:
            with self._counting:
                pending, self._pending = self._pending, _Pending()
            if not pending:
                return
            items = [ItemTally(*place, count, pending.unconfirmed[place]) for place, count in pending.items.items()]
            try:
                self._table.add(Tallied(pending.tallies, items, pending.first_matches))
            except BaseException:
                with self._counting:
                    self._pending.add(pending)
                raise

    def tick(self) -> None:
        """As `flush`, for whoever has nobody to tell."""
        try:
            self.flush()
        except CatalogUnavailable as error:
            self._log.warning("what was counted cannot be written yet", **where(error))


def _count_matches(found: _Pending, matches: Sequence[Judged], counted: Counted, place: _Place) -> None:
    for name in dict.fromkeys(match.rule.name for match in matches):
        of_bank = [match for match in matches if match.rule.name == name]
        key = counted.reading.bank_keys[name]
        said, shadow = _outcome(of_bank, counted)
        found.tallies[_tally(place, said, shadow=shadow, bank_key=key)] += 1
    incidents = {match.rule.incident.key: match.rule.incident for match in matches if match.rule.incident is not None}
    for key, incident in incidents.items():
        if not (incident.state.acts or incident.shadow):
            continue  # somebody assesses it; that is no part of it
        of_incident = [match for match in matches if match.rule.incident is incident]
        said, shadow = _outcome(of_incident, counted)
        found.tallies[_tally(place, said, shadow=shadow, incident_key=key)] += 1
        if incident.state.acts:
            found.first_matches[key] = place.at
    for match in matches:
        item_key = item_key_of(match.item.item_id)
        if item_key is not None and match.band.strength >= Band.VARIANT.strength:
            found.items[(item_key, place.hour)] += 1
            found.unconfirmed[(item_key, place.hour)] += match.by_score_alone


def _outcome(matches: Sequence[Judged], counted: Counted) -> tuple[Verdict, bool]:
    """What these matches suggest together, and whether that is only counted: where all of them are in shadow."""
    loud = [match for match in matches if not match.in_shadow]
    interest = counted.interest if loud else counted.tried
    return verdict(loud or matches, interest, low_information=False, suggests=intended_action), not loud


def _tally(place: _Place, said: Verdict, *, shadow: bool = False, incident_key: int = 0, bank_key: int = 0) -> Tally:
    return Tally(
        hour=place.hour,
        platform=place.platform,
        incident_key=incident_key,
        bank_key=bank_key,
        means=Means.MATCH,
        band=said.band.value,
        action=said.suggested_action.value,
        capped=Reason.PUBLIC_INTEREST_CAP in said.reasons,
        shadow=shadow,
    )
