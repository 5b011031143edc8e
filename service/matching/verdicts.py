"""
What is suggested about an upload.

Pure: everything here is decided from values alone.

| match with a `harmful` bank | of no incident | of a confirmed incident |
|---|---|---|
| `exact`: same bytes, or PDQ within 31 | `block` | as its protocol says |
| `variant` | `review`; `block` where evidence is calibrated and the bank says `block_on_semantic` | likewise |
| `related` | `none`: it is listed, for people who look for more | likewise |

Where evidence is not calibrated, a protocol's `block` is `review` unless the match is exact.
Of an incident that is not confirmed yet, or is being concluded or over, it is `review` at most; of one that was
rejected or withdrawn, nothing. An item under quarantine suggests `review` at most; what is in shadow, nothing.

A match with a `public_interest` bank alone suggests nothing. Public interest caps what the others suggest at `review`.
"""

from collections.abc import Callable, Sequence

from index.records.banks import Purpose
from index.records.incidents import IncidentRule, IncidentState
from service.matching.policy import Judged, PublicInterest
from service.schemas import Action, Band, Reason, Verdict

_URGENCY = {Action.NONE: 0, Action.REVIEW: 1, Action.BLOCK: 2}

Suggests = Callable[[Judged], Action]


def intended_action(match: Judged) -> Action:
    """What a match would suggest by itself, were nothing in shadow."""
    if match.rule.purpose is Purpose.PUBLIC_INTEREST or match.band is Band.NONE:
        return Action.NONE
    incident = match.rule.incident
    action = _of_bank(match) if incident is None else _of_incident(match, incident)
    return _at_most_review(action) if match.under_quarantine else action


def action_of(match: Judged) -> Action:
    """What a match suggests by itself."""
    return Action.NONE if match.in_shadow else intended_action(match)


def verdict(
    matches: Sequence[Judged], interest: PublicInterest, *, low_information: bool, suggests: Suggests = action_of
) -> Verdict:
    """
    What is suggested about the upload.

    Args:
        matches: best first.
        interest: what speaks for leaving it up.
        low_information: there is too little to see in the upload.
        suggests: what each match does by itself.
    """
    band = max((match.band for match in matches), key=lambda each: each.strength, default=Band.NONE)
    action = Action.NONE
    capped = False
    for match in matches:
        suggested = suggests(match)
        if suggested is Action.BLOCK and interest.covers(match):
            suggested, capped = Action.REVIEW, True
        action = max(action, suggested, key=lambda each: _URGENCY[each])
    reasons = [
        reason for match in matches if match.band is band or suggests(match) is action for reason in match.reasons
    ]
    if band is Band.NONE:
        reasons = []
    if capped and action is not Action.BLOCK:
        reasons.append(Reason.PUBLIC_INTEREST_CAP)
    if low_information:
        reasons.append(Reason.LOW_INFORMATION)
    return Verdict(band=band, suggested_action=action, reasons=list(dict.fromkeys(reasons)))


def _of_bank(match: Judged) -> Action:
    if match.band is Band.EXACT:
        return Action.BLOCK
    if match.band is Band.VARIANT:
        return Action.BLOCK if match.calibrated and match.rule.settings.block_on_semantic else Action.REVIEW
    return Action.NONE


def _of_incident(match: Judged, incident: IncidentRule) -> Action:
    if incident.state.ended_early:
        return Action.NONE
    said = {Band.EXACT: incident.protocol.exact, Band.VARIANT: incident.protocol.variant}
    action = Action(said.get(match.band, incident.protocol.related))
    sure = match.band is Band.EXACT or match.calibrated
    return action if sure and incident.state is IncidentState.CONFIRMED else _at_most_review(action)


def _at_most_review(action: Action) -> Action:
    return min(action, Action.REVIEW, key=lambda each: _URGENCY[each])
