"""
Puts items under quarantine that suddenly match far more than their calibration expects.

The rule. In the hour that runs and the one before it, N uploads were asked about, and n of them were said to be copies
of the item by their scores alone: without the same bytes, without a PDQ hash within its threshold, and without the
original being found in them. Were they all innocent and the item as its calibration says, n would be Poisson with mean

    m  =  N p  +  w s  +  2 a

where p is the rate at which innocent uploads reach the variant threshold in an index of as many frames as the item has;
s the uploads in the same time that certainly are copies (exact or verified), since where there are copies there are
some that can only be told by their score, `w` of them each; and a what somebody has looked at before and let be.
An item goes under quarantine where so many or more would come with a probability under 0.001 / M, M being the frames
of the index: so that, of all items together, the rule is wrong once in a thousand hours at most, as far as m holds.

Quarantine touches only matches by score alone. An attacker who floods a platform with look-alikes of an item takes
nothing from what is known by its bytes, its hash or its geometry.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from scipy.special import pdtrc

from index.catalog.duties import Step, Turn
from index.catalog.incidents.quarantines import QuarantineTable, Rush

LEAST: Final = 20
"""Fewer than that harm nobody much, and say little."""
FALSE_IN_AN_HOUR: Final = 1e-3
UNCONFIRMED_A_COPY: Final = 1.0
CONFIRMED_INCIDENT_A_COPY: Final = 4.0
"""Two organisations have said that a flood of edited copies is to be expected."""
_AS_MUCH_AGAIN: Final = 2.0
"""What an analyst let be may double before it is asked about again."""
_LOOK_EVERY_S: Final = 5.0
_FORGET_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the space that leads expects of innocent uploads."""

    rate_of: Callable[[int], float]
    """The share that reaches the variant threshold, in an index of so many embeddings."""
    frames: int
    """Of the whole index: tiles of a frame count each."""


@dataclass(frozen=True, slots=True)
class Excess:
    expected: float
    probability: float
    """Of as many or more, were the expectation right."""


def excess(rush: Rush, asked: int, expectation: Expectation) -> Excess | None:
    """How far an item is beyond what is expected of it; None where it is not."""
    if rush.unconfirmed < LEAST:
        return None
    copies = CONFIRMED_INCIDENT_A_COPY if rush.confirmed_incident else UNCONFIRMED_A_COPY
    by_chance = asked * expectation.rate_of(max(rush.rows, 1))
    expected = by_chance + copies * (rush.uploads - rush.unconfirmed) + _AS_MUCH_AGAIN * rush.accepted
    probability = float(pdtrc(rush.unconfirmed - 1, expected)) if expected > 0 else 0.0
    if math.isnan(probability) or probability >= FALSE_IN_AN_HOUR / max(expectation.frames, 1):
        return None
    return Excess(expected, probability)


class WatchItems:
    """
    The duty.

    Args:
        table: what was counted, and where quarantines are kept.
        expectation: as of now; None where nobody calibrated the space that leads, which suggests no more than `review`.
        clock: for tests.
    """

    name = "quarantine"

    def __init__(
        self,
        table: QuarantineTable,
        expectation: Callable[[], Expectation | None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._table = table
        self._expectation = expectation
        self._clock = clock
        self._looked_at = self._forgot_at = -math.inf

    def step(self, turn: Turn) -> bool:
        now = self._clock()
        step = Step(turn, self.name, 0)
        if now - self._forgot_at >= _FORGET_EVERY_S:
            if self._table.forget(step):
                return True
            self._forgot_at = now
        if now - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        expectation = self._expectation()
        rushes = self._table.rushes(LEAST)
        for rush in rushes.items:
            found = None if expectation is None else excess(rush, rushes.asked, expectation)
            if found is not None:
                facts = {
                    "by": "rate",
                    "uploads": rush.uploads,
                    "unconfirmed": rush.unconfirmed,
                    "expected": round(found.expected, 3),
                    "asked": rushes.asked,
                }
                self._table.put(step, rush.item_key, facts)
        return False
