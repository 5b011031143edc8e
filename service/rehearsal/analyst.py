"""
The people at the center: they take reports, look at what the service shows them, judge it, bank it, and confirm.

They are as slow as people are, in minutes of the event, and see what a service shows and no more; that they judge
rightly what they look at is all that they know better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from service.client import ServiceProblem
from service.rehearsal.agenda import Agenda
from service.rehearsal.causes import Causes
from service.rehearsal.desk import Cluster, Desk
from service.rehearsal.records import Banked, Catch, Log, Means, Milestone, Seen

LOOK_EVERY = 10.0
_ASSESS_AFTER, _FIRST_CONFIRMS_AFTER, _SECOND_CONFIRMS_AFTER = 2.0, 5.0, 11.0
_REPORT_TAKES = 5.0
_CLUSTER_TAKES, _UPLOAD_TAKES = 2.0, 1.0
_WORK_A_LOOK = 9.0
"""Minutes of each ten that go into judging; the rest is everything else."""


@dataclass(slots=True)
class _Hand:
    """How much of a look's time is spent."""

    began: float
    spent: float = 0.0

    def takes(self, minutes: float) -> float | None:
        """When something that takes so long is done; None when there is no time left for it."""
        if self.spent + minutes > _WORK_A_LOOK:
            return None
        self.spent += minutes
        return self.began + self.spent


class Analyst:
    """For one thread, that of the agenda."""

    def __init__(self, desk: Desk, agenda: Agenda, log: Log, causes: Causes, sightings: Mapping[str, Seen]) -> None:
        """
        Args:
            desk: where they work.
            agenda: where they note what they will have done by when.
            log: what they did is written down there.
            causes: likewise, for what follows from it.
            sightings: what an upload is, for whoever looks at it; it grows as uploads are recorded.
        """
        self._desk, self._agenda, self._log, self._causes = desk, agenda, log, causes
        self._sightings = sightings
        self._reported = self._confirmed = False
        self._judged: set[str] = set()
        """Sightings that were looked at."""
        self._sizes: dict[str, int] = {}
        """Clusters that were looked at, and how large they were."""

    def on_report(self, minute: float, seen: Seen) -> None:
        """Somebody reports an upload; its platform hands the file over."""
        if not self._reported:
            self._reported = True
            self._log.milestones.append(Milestone(minute, "first report"))
        self._agenda.note(minute + _REPORT_TAKES, lambda at: self._bank_reported(at, seen))

    def on_broadcast(self, minute: float, stills: Sequence[bytes]) -> None:
        """A broadcaster sends in what it shows."""
        for still in stills:
            self._desk.bank_news(still)
        self._log.milestones.append(Milestone(minute, "broadcast banked"))

    def look(self, minute: float) -> None:
        """Once there is an incident, what lies around it; and what spreads and is unknown."""
        hand = _Hand(minute)
        if self._desk.incident_id is not None:
            self._look_at_variants(hand)
        self._look_at_clusters(hand)

    def _bank_reported(self, minute: float, seen: Seen) -> None:
        self._open(minute, "incident opened")
        self._bank(minute, seen, "report", with_media=True)

    def _open(self, minute: float, says: str) -> None:
        if self._desk.incident_id is not None:
            return
        self._desk.open_incident()
        self._log.milestones.append(Milestone(minute, says))
        note = self._agenda.note
        note(minute + _ASSESS_AFTER, lambda _: self._move_on("assessing", "Reports of the same footage come in."))
        note(minute + _FIRST_CONFIRMS_AFTER, lambda _: self._move_on("confirmed", "The footage was seen."))
        note(minute + _SECOND_CONFIRMS_AFTER, self._confirm)

    def _move_on(self, to: str, reason: str) -> None:
        self._desk.move_on(to, reason)

    def _confirm(self, minute: float) -> None:
        asked_s = self._causes.now_s()
        state = self._desk.move_on("confirmed", "Seen here as well.", center=1)
        self._confirmed = state == "confirmed"
        if not self._confirmed:
            self._log.remarks.append(f"Two organisations confirmed the incident, and it is {state}.")
        self._causes.confirmed(minute, asked_s)
        self._log.milestones.append(Milestone(minute, "confirmed by two"))

    def conclude(self, minute: float) -> None:
        if self._confirmed:
            self._desk.move_on("concluding", "Hardly anything new comes in.")
            self._log.milestones.append(Milestone(minute, "concluding"))

    def _look_at_clusters(self, hand: _Hand) -> None:
        for cluster in self._desk.clusters():
            if cluster.sightings < 2 * self._sizes.get(cluster.cluster_id, 1):
                continue
            done = hand.takes(_CLUSTER_TAKES)
            if done is None:
                return
            self._sizes[cluster.cluster_id] = cluster.sightings
            self._agenda.note(done, partial(self._judge_cluster, cluster))

    def _judge_cluster(self, cluster: Cluster, minute: float) -> None:
        members = self._desk.members(cluster.cluster_id)
        shown = [self._sightings[each] for each in members if each in self._sightings]
        footage = [seen for seen in shown if seen.upload.of_footage]
        if 2 * len(footage) <= len(shown):  # of an earlier rehearsal's nobody can tell what they are
            self._log.looked_in_vain += not any(seen.upload.source is not None for seen in shown)
            return
        self._open(minute, "incident opened on an unknown cluster")
        self._bank(minute, footage[0], Means.EMERGING_CLUSTER)
        for seen in footage:
            self._log.catches.append(Catch(seen.upload.upload_id, minute, Means.EMERGING_CLUSTER))

    def _look_at_variants(self, hand: _Hand) -> None:
        for cluster in self._desk.variants():
            for sighting_id in cluster.frontier:
                if sighting_id in self._judged:
                    continue
                done = hand.takes(_UPLOAD_TAKES)
                if done is None:
                    return
                self._judged.add(sighting_id)
                self._agenda.note(done, partial(self._judge_upload, sighting_id))

    def _judge_upload(self, sighting_id: str, minute: float) -> None:
        seen = self._sightings.get(sighting_id)
        if seen is None or not seen.upload.of_footage:
            self._log.looked_in_vain += seen is None or seen.upload.source is None
            return
        self._log.catches.append(Catch(seen.upload.upload_id, minute, Means.VARIANT))
        self._bank(minute, seen, Means.VARIANT)

    def _bank(self, minute: float, seen: Seen, why: str, *, with_media: bool = False) -> None:
        asked_s = self._causes.now_s()
        try:
            if with_media or seen.sighting_id is None:
                item_id = self._desk.bank(seen.upload.data)
            else:
                item_id = self._desk.bank_sighting(seen.sighting_id)
        except ServiceProblem as problem:
            self._log.remarks.append(f"{seen.upload.upload_id} could not be banked: {problem}")
            return
        self._causes.banked(item_id, minute, asked_s)
        self._log.banked.append(Banked(seen.upload.upload_id, minute, seen.hash, str(why)))
