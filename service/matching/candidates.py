"""What some banks have near an upload, with all the evidence there is of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from index.catalog import Catalog
from index.records.banks import BankRule
from index.records.items import ItemState
from index.views.reading import Reading
from service.matching.evidence import Findings, Query, Wanted, groups_of
from service.matching.policy import Judged
from service.matching.stage_clock import StageClock
from service.matching.verification import Verifier
from service.schemas import Band, Verify


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One upload, as it is answered."""

    query: Query
    reading: Reading
    rules: Sequence[BankRule]
    """Of the banks that it is compared with."""
    k: int
    least: Band
    verify: Verify
    deadline: float | None
    clock: StageClock

    @property
    def bank_names(self) -> set[str]:
        return {rule.name for rule in self.rules}


class CandidateFinder:
    """Safe from any thread."""

    def __init__(self, catalog: Catalog, verifier: Verifier) -> None:
        self._catalog = catalog
        self._verifier = verifier

    def near(self, inquiry: Inquiry, findings: Findings, banks: Collection[BankRule]) -> list[Judged]:
        """Everything that these banks have near the upload, with what a closer look showed where one was worth it."""
        reading, query = inquiry.reading, inquiry.query
        reach = self._verifier.reach(query, inquiry.verify, reading)
        wanted = Wanted(inquiry.k, inquiry.least, reach)
        for group in groups_of(banks, len(reading.banks)):
            findings.gather(reading, query, group, wanted)
        candidates = self._judged(reading, query, findings)
        inquiry.clock.lap("search")
        if reach is None or not candidates:
            return candidates
        findings.complete(reading, query, [match.item.item_id for match in candidates])
        candidates = [findings.judged(query, match.item, match.rule) for match in candidates]
        looks = self._verifier.looks(query, candidates, inquiry.verify, reading, inquiry.deadline)
        inquiry.clock.lap("verify")
        return [replace(match, look=looks.get(match.item.item_id)) for match in candidates]

    def looked_at(self, inquiry: Inquiry, matches: Sequence[Judged]) -> list[Judged]:
        """The same matches, each with a closer look where one can be had: also of what is clearly near."""
        lacking = [match for match in matches if match.look is None]
        if not lacking or inquiry.verify is Verify.NEVER:
            return list(matches)
        query, reading = inquiry.query, inquiry.reading
        looks = self._verifier.looks(query, lacking, Verify.ALWAYS, reading, inquiry.deadline)
        inquiry.clock.lap("verify")
        return [replace(match, look=match.look or looks.get(match.item.item_id)) for match in matches]

    def _judged(self, reading: Reading, query: Query, findings: Findings) -> list[Judged]:
        """The candidates that still exist; most uploads have none and cost no look-up."""
        item_ids = findings.item_ids
        items = self._catalog.items_by_id(item_ids) if item_ids else {}
        return [
            findings.judged(query, item, reading.banks[item.bank])
            for item in items.values()
            if item.state is ItemState.ACTIVE and item.bank in reading.banks
        ]
