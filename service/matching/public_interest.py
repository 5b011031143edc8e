"""
What speaks for leaving an upload up: who publishes it, or that it shows news rather than what the news is about.

News of an event shows the footage, and whoever re-uploads the footage may put a logo over it. By score and by hash the
two are alike: each is near the footage, and near the broadcast. So where both could be meant, the broadcast and the
footage are both looked for in the upload: a copy of the broadcast shows the channel's own graphics where they were, a
re-upload shows something else there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from index.records.banks import BankRule, Purpose
from models.geometry import Location
from service.matching.candidates import CandidateFinder, Inquiry
from service.matching.evidence import Findings, public_interest
from service.matching.likeness import is_rather
from service.matching.policy import Judged, PublicInterest
from service.matching.verdicts import intended_action
from service.schemas import Action


class InterestFinder:
    """
    Safe from any thread.

    Args:
        candidates: finds what is near.
        trusted: the publishers that the operator trusts.
    """

    def __init__(self, candidates: CandidateFinder, trusted: frozenset[str]) -> None:
        self._candidates = candidates
        self._trusted = trusted

    def interest(
        self, inquiry: Inquiry, matches: Sequence[Judged], holders: Collection[str], publisher: str | None
    ) -> PublicInterest:
        """
        For what is not in shadow; news that is in shadow itself holds nothing back.

        Costs nothing where nothing calls for action, and next to nothing where no bank is of public interest.

        Args:
            inquiry: about the upload.
            matches: what was found.
            holders: banks that hold the same bytes.
            publisher: who publishes it, as its platform says.
        """
        loud = [match for match in matches if not match.in_shadow]
        public = [rule for rule in _news(inquiry) if not rule.in_shadow]
        return self._of(inquiry, loud, public, Said(holders, publisher))

    def tried(
        self, inquiry: Inquiry, matches: Sequence[Judged], holders: Collection[str], publisher: str | None
    ) -> PublicInterest:
        """Likewise for what is in shadow, which would be held back by the news that is tried with it."""
        if not any(match.in_shadow for match in matches):
            return PublicInterest()
        return self._of(inquiry, matches, _news(inquiry), Said(holders, publisher))

    def _of(
        self, inquiry: Inquiry, matches: Sequence[Judged], public: Sequence[BankRule], said: "Said"
    ) -> PublicInterest:
        acting = [match for match in matches if intended_action(match) is not Action.NONE]
        if not acting:
            return PublicInterest()
        if said.publisher in self._trusted:
            return PublicInterest(trusted_publisher=True)
        if not public:
            return PublicInterest()
        names = [rule.name for rule in public]
        interest = public_interest(inquiry.reading, inquiry.query, names, said.holders)
        contested = [match for match in acting if match.verified or interest.covers(match)]
        if interest.same_bytes or not contested:
            return interest
        news = [match for match in matches if match.rule.name in names]
        unasked = [rule for rule in public if rule.name not in inquiry.bank_names]
        if unasked:
            news += self._candidates.near(inquiry, Findings(), unasked)
        seen = self._candidates.looked_at(inquiry, news)
        if all(match.look is None for match in seen):
            return interest  # it cannot be looked for: what score and hash say stands
        # Everything that calls for action, or the upload would be compared with its distant likes alone.
        items = self._candidates.looked_at(inquiry, acting)
        return replace(interest, shown=_shown(_found(seen), _found(items)))


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of an upload besides what it shows."""

    holders: Collection[str]
    """Banks that hold the same bytes."""
    publisher: str | None


def _news(inquiry: Inquiry) -> list[BankRule]:
    """Of every bank there is; not of incidents that came to nothing."""
    public = [rule for rule in inquiry.reading.banks.values() if rule.purpose is Purpose.PUBLIC_INTEREST]
    return [rule for rule in public if rule.incident is None or not rule.incident.state.ended_early]


def _shown(news: Sequence[Location], items: Sequence[Location]) -> bool | None:
    """Whether it is news that the upload shows; None where neither was found in it, or both as they are."""
    if not items:
        return True if news else None
    rather = [[is_rather(one, item) for item in items] for one in news]
    if any(all(each) for each in rather):
        return True
    return False if all(False in each for each in rather) else None


def _found(matches: Sequence[Judged]) -> list[Location]:
    """Where those lie that were found in the upload."""
    looks = [match.look for match in matches if match.look is not None and match.look.confirmed]
    return [look.location for look in looks if look.location is not None]
