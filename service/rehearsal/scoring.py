"""What a log comes to: who was caught when and by which means, and what PDQ alone would have made of it."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from service.rehearsal.records import Banked, Catch, Hash, Log, Means, Seen
from service.rehearsal.script import Kind, Upload
from service.rehearsal.versions import Grade

PDQ_DISTANCE = 31
PDQ_QUALITY = 50
"""Source: PDQ's own recommendation, for both."""
SOON_MINUTES = 10.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one upload of the footage. Minutes are those of the event."""

    upload: Upload
    catch: Catch | None
    pdq_minute: float | None
    """When PDQ alone, asked once when it was uploaded, would have caught it."""
    pdq_later_minute: float | None
    """When PDQ would have, had earlier uploads been compared with everything banked later."""
    pdq_by_reports: bool
    """Whether PDQ alone would have, given only what people reported: nothing else shows them the rest."""

    @property
    def delay(self) -> float | None:
        return None if self.catch is None else max(0.0, self.catch.minute - self.upload.minute)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Uploads of one sort, and what was suggested about them."""

    uploads: int
    stopped: int
    """`review` or `block` was suggested."""
    blocked: int
    capped: int
    """Held at `review` out of public interest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    log: Log
    fates: tuple[Fate, ...]
    versions: Crowd
    """Those that nobody claims to be news."""
    news: Crowd
    troll: Crowd
    benign: Crowd
    benign_pulled: int
    """Everyday uploads that somebody was told of afterwards."""

    @property
    def caught(self) -> tuple[Fate, ...]:
        return tuple(fate for fate in self.fates if fate.catch is not None)

    @property
    def missed(self) -> tuple[Fate, ...]:
        return tuple(fate for fate in self.fates if fate.catch is None)

    @property
    def by_means(self) -> dict[Means, int]:
        counts = Counter(fate.catch.means for fate in self.fates if fate.catch is not None)
        return {means: counts[means] for means in Means}

    @property
    def by_pdq(self) -> int:
        return sum(fate.pdq_minute is not None for fate in self.fates)

    @property
    def by_pdq_later(self) -> int:
        return sum(fate.pdq_later_minute is not None for fate in self.fates)

    @property
    def by_pdq_of_reports(self) -> int:
        return sum(fate.pdq_by_reports for fate in self.fates)

    @property
    def delays(self) -> list[float]:
        """Minutes from the upload until it was caught, of those that were, ascending."""
        return sorted(fate.delay for fate in self.fates if fate.delay is not None)

    @property
    def delays_of_later(self) -> list[float]:
        """Of those that were caught after they were uploaded."""
        return [delay for delay in self.delays if delay > 0]

    @property
    def false_alarms(self) -> int:
        return self.benign.stopped + self.benign_pulled

    @property
    def news_stands(self) -> bool:
        return self.news.blocked == 0

    @property
    def troll_is_no_news(self) -> bool:
        return self.troll.capped == 0

    def within(self, minutes: float) -> int:
        return sum(delay <= minutes for delay in self.delays)

    def grades(self) -> dict[Grade, tuple[int, int, int]]:
        """By how hard they are: uploads of the footage, those caught, and those that PDQ alone would have."""
        found = {}
        for grade in Grade:
            fates = [fate for fate in self.fates if fate.upload.grade is grade]
            caught = sum(fate.catch is not None for fate in fates)
            found[grade] = (len(fates), caught, sum(fate.pdq_minute is not None for fate in fates))
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "minutes": self.log.minutes,
            "versions": len(self.fates),
            "caught": len(self.caught),
            "share_caught": _share(len(self.caught), len(self.fates)),
            "by_means": {means.value: count for means, count in self.by_means.items()},
            "minutes_to_catch": {
                "median": quantile(self.delays, 0.5),
                "p90": quantile(self.delays, 0.9),
                "within_10": self.within(SOON_MINUTES),
                "caught_later": len(self.delays_of_later),
                "median_of_later": quantile(self.delays_of_later, 0.5),
            },
            "pdq_alone": {
                "caught": self.by_pdq,
                "share_caught": _share(self.by_pdq, len(self.fates)),
                "looking_back": self.by_pdq_later,
                "of_reports": self.by_pdq_of_reports,
            },
            "grades": {
                grade.name.lower(): {"versions": count, "caught": caught, "pdq_alone": pdq}
                for grade, (count, caught, pdq) in self.grades().items()
            },
            "held_as_news": self.versions.capped,
            "news": _crowd(self.news),
            "troll": _crowd(self.troll),
            "benign": {**_crowd(self.benign), "pulled_later": self.benign_pulled},
            "looked_in_vain": self.log.looked_in_vain,
            "banked": Counter(banked.why for banked in self.log.banked),
            "event_delay_ms": {
                "events": len(self.log.delays_s),
                "median": _ms(quantile(self.log.delays_s, 0.5)),
                "p99": _ms(quantile(self.log.delays_s, 0.99)),
            },
            "match_ms": {
                "median": _ms(quantile([seen.took_s for seen in self.log.seen], 0.5)),
                "p99": _ms(quantile([seen.took_s for seen in self.log.seen], 0.99)),
            },
            "milestones": [{"minute": each.minute, "says": each.says} for each in self.log.milestones],
            "service_report": self.log.report,
            "missed": [_upload(fate.upload) for fate in self.missed],
            "remarks": self.log.remarks,
        }


def score(log: Log) -> Outcome:
    """Judges a log. A catch counts once, by the earliest; at the same minute, by the means that comes first."""
    order = list(Means)
    first: dict[str, Catch] = {}
    for catch in sorted(log.catches, key=lambda catch: (catch.minute, order.index(catch.means))):
        first.setdefault(catch.upload_id, catch)
    fates = [
        Fate(seen.upload, first.get(seen.upload.upload_id), *_by_pdq(seen, log.banked))
        for seen in log.seen
        if seen.upload.of_footage
    ]
    benign = {seen.upload.upload_id for seen in log.seen if seen.upload.kind is Kind.BENIGN and not seen.stopped}
    return Outcome(
        log=log,
        fates=tuple(fates),
        versions=_of_kind(log.seen, Kind.VERSION),
        news=_of_kind(log.seen, Kind.NEWS),
        troll=_of_kind(log.seen, Kind.TROLL),
        benign=_of_kind(log.seen, Kind.BENIGN),
        benign_pulled=len(benign & first.keys()),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of them does not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    if share == 0.5:  # noqa: PLR2004 - the median lies between two
        return statistics.median(ordered)
    return ordered[math.ceil(share * len(ordered)) - 1]


def _of_kind(seen: Iterable[Seen], kind: Kind) -> Crowd:
    of_kind = [each for each in seen if each.upload.kind is kind]
    return Crowd(
        uploads=len(of_kind),
        stopped=sum(each.stopped for each in of_kind),
        blocked=sum(each.action == "block" for each in of_kind),
        capped=sum(each.capped for each in of_kind),
    )


def _by_pdq(seen: Seen, banked: Iterable[Banked]) -> tuple[float | None, float | None, bool]:
    """When PDQ would have caught it: asked once, and asked again whenever something is banked; whether by reports."""
    near = [each for each in banked if _near(seen.hash, each.hash)]
    own = seen.upload.minute
    before = [each for each in near if each.minute <= own]
    later = max(own, min(each.minute for each in near)) if near else None
    return own if before else None, later, any(each.why == "report" for each in before)


def _near(one: Hash, other: Hash) -> bool:
    if min(one.quality, other.quality) < PDQ_QUALITY:
        return False
    return (int.from_bytes(one.digest) ^ int.from_bytes(other.digest)).bit_count() <= PDQ_DISTANCE


def _crowd(crowd: Crowd) -> dict[str, int]:
    return {"uploads": crowd.uploads, "stopped": crowd.stopped, "blocked": crowd.blocked, "capped": crowd.capped}


def _upload(upload: Upload) -> dict[str, Any]:
    return {
        "upload_id": upload.upload_id,
        "platform": upload.platform,
        "minute": round(upload.minute, 1),
        "grade": upload.grade.name.lower(),
        "edits": list(upload.edits),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
