"""From what was done at the center to what followed from it: when an upload was found by looking back."""

from collections.abc import Iterable
from typing import Any

from service.rehearsal.clock import EventClock
from service.rehearsal.hearing import Heard
from service.rehearsal.records import Catch, Means, Seen


class Causes:
    """
    What was banked and confirmed when, in the event's time and in ours.

    What a person did takes its minute of the event; what the service made of it takes the seconds that it took.
    """

    def __init__(self, clock: EventClock) -> None:
        self._clock = clock
        self._items: dict[str, tuple[float, float]] = {}
        """By item: the minute, and our seconds."""
        self._confirmed: tuple[float, float] | None = None

    def now_s(self) -> float:
        return self._clock.real()

    def banked(self, item_id: str, minute: float, asked_s: float) -> None:
        """At this minute of the event; the service was asked at this second of ours."""
        self._items[item_id] = (minute, asked_s)

    def confirmed(self, minute: float, asked_s: float) -> None:
        self._confirmed = (minute, asked_s)

    def minute_of(self, item_id: str | None, real_s: float) -> float | None:
        """When something that was heard at this second happened in the event; None where nobody caused it."""
        banked = self._items.get(item_id or "")
        if banked is None and item_id is not None:
            return None
        done = [each for each in (banked, self._confirmed) if each is not None and each[1] <= real_s]
        if not done:
            return None
        minute, second = max(done, key=lambda each: each[1])
        return minute + (real_s - second) / 60


def found_looking_back(heard: Iterable[Heard], causes: Causes, sightings: dict[str, Seen]) -> list[Catch]:
    """What subscribers were told of uploads that came before what finds them; everyday uploads as well."""
    found = []
    for each in heard:
        if each.kind != "retro_match":
            continue
        data: dict[str, Any] = each.data
        seen = sightings.get(str(data.get("sighting_id")))
        minute = causes.minute_of(data.get("item_id"), each.real_s)
        if seen is not None and minute is not None and data.get("band") in {"exact", "variant"}:
            found.append(Catch(seen.upload.upload_id, max(minute, seen.upload.minute), Means.RETRO_SCAN))
    return found
