"""Plays a script against a service: uploads come, people at the center do their work, and all of it is written down."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

from models.media.image import decode_image
from models.media.types import MediaLimits
from service.client import ServiceProblem
from service.rehearsal.agenda import Agenda, Deed
from service.rehearsal.analyst import LOOK_EVERY, Analyst
from service.rehearsal.causes import Causes, found_looking_back
from service.rehearsal.clock import EventClock
from service.rehearsal.desk import Desk
from service.rehearsal.hearing import Hearing
from service.rehearsal.parties import Parties
from service.rehearsal.records import Catch, Hash, Log, Means, Seen
from service.rehearsal.script import Report, Script, Upload

Json = dict[str, Any]
Tick = Callable[[str], None]
"""Told what is being done; of uploads, each time one is answered."""

UPLOADING, SETTLING = "Uploading", "Waiting for the last events"
_LISTENING = "beacon"
"""The platform that listens as well, and must hear of nothing that concerns another."""
_CONCLUDE_AT = 0.97
_CAUGHT_UP_WITHIN_S = 20.0
_QUIET_S = 1.0
_ASK_AGAIN_S = 0.25
"""Others use the service as well."""


class Play:
    """One performance; use it once."""

    def __init__(
        self, script: Script, parties: Parties, desk: Desk, clock: EventClock, tick: Tick = lambda _: None
    ) -> None:
        self._script, self._parties, self._desk, self._clock, self._tick = script, parties, desk, clock, tick
        self._log = Log(script.minutes, tuple(parties.platforms))
        self._agenda = Agenda()
        self._causes = Causes(clock)
        self._hearing = Hearing(parties.centers[0].client, clock.real, desk.name)
        self._overhearing = Hearing(parties.platforms[_LISTENING].client, clock.real, desk.name)
        self._sightings: dict[str, Seen] = {}
        self._by_upload: dict[str, Seen] = {}
        self._writing = threading.Lock()
        self._analyst = Analyst(desk, self._agenda, self._log, self._causes, self._sightings)

    def perform(self) -> Log:
        """
        Raises:
            ClientError: the service cannot be asked, or refuses what it must not.
        """
        with ExitStack() as stack:
            for hearing in (self._hearing, self._overhearing):
                stack.callback(hearing.close)
            stack.callback(self._desk.tidy)
            self._hearing.begin()
            self._overhearing.begin()
            self._desk.open_banks()
            self._note_what_is_known()
            self._run(stack.enter_context(_Streams(self._parties)))
            self._tick(SETTLING)
            self._catch_up()
            self._hearing.settle(_QUIET_S, _CAUGHT_UP_WITHIN_S)
            self._log.catches.extend(found_looking_back(self._hearing.heard(), self._causes, self._sightings))
            self._log.delays_s.extend(self._hearing.delays_s())
            self._remark_on_hearing()
            if self._desk.incident_id is not None:
                self._log.report = self._desk.report()
        return self._log

    def _remark_on_hearing(self) -> None:
        for hearing in (self._hearing, self._overhearing):
            if hearing.lost is not None:
                self._log.remarks.append(f"The event stream was lost: {hearing.lost}")
        party = self._parties.platforms[_LISTENING]
        others = [heard for heard in self._overhearing.heard() if heard.event["platform"] not in {None, party.name}]
        if others and not party.names_itself:
            self._log.remarks.append(f"{party.name} was told of {len(others)} events that concern other platforms.")
        heard = {each.event["seq"] for each in self._overhearing.heard()}
        own = {each.event["seq"] for each in self._hearing.heard() if each.event["platform"] == party.name}
        if own - heard:
            self._log.remarks.append(f"{party.name} was not told of {len(own - heard)} events that concern it.")

    def _note_what_is_known(self) -> None:
        """Reports, the broadcaster's still, and that somebody looks every so often until the event abates."""
        script, note = self._script, self._agenda.note
        note(script.broadcast.minute, lambda at: self._analyst.on_broadcast(at, script.broadcast.stills))
        for report in script.reports:
            note(report.minute, self._reporting(report))
        minute = LOOK_EVERY
        while minute < script.minutes:
            note(minute, self._look)
            minute += LOOK_EVERY
        note(script.minutes * _CONCLUDE_AT, self._analyst.conclude)

    def _reporting(self, report: Report) -> Deed:
        def deed(minute: float) -> None:
            seen = self._by_upload.get(report.upload_id)
            if seen is not None:
                self._analyst.on_report(minute, seen)

        return deed

    def _run(self, streams: "_Streams") -> None:
        """Uploads of the platforms beside one another; before anything is done at the center, all are answered."""
        for upload in self._script.uploads:
            self._do_what_is_due(upload.minute, streams)
            self._clock.reach(upload.minute)
            streams.send(upload.platform, self._upload, upload)
        self._do_what_is_due(self._script.minutes, streams)
        streams.wait()

    def _do_what_is_due(self, until: float, streams: "_Streams") -> None:
        while (minute := self._agenda.next_minute()) is not None and minute <= until:
            streams.wait()
            at, deed = self._agenda.take()
            self._clock.reach(at)
            try:
                deed(at)
            except ServiceProblem as problem:  # worth knowing, and no reason to break off what everyone takes part in
                self._log.remarks.append(f"At minute {at:.0f} the service said {problem.status}: {problem}")

    def _look(self, minute: float) -> None:
        self._catch_up()
        self._analyst.look(minute)

    def _catch_up(self) -> None:
        """Ten minutes of the event are seconds of ours: what the service does meanwhile is waited for."""
        until = self._clock.real() + _CAUGHT_UP_WITHIN_S
        while (behind := self._desk.behind()) > 0:
            if self._clock.real() > until:
                self._log.remarks.append(f"After {_CAUGHT_UP_WITHIN_S:.0f} s {behind} uploads were not linked yet.")
                return
            threading.Event().wait(_ASK_AGAIN_S)

    def _upload(self, upload: Upload) -> None:
        party = self._parties.platforms[upload.platform]
        query: Json = {
            "record": "true",
            "upload_id": upload.upload_id,
            "observed_at": self._clock.date(upload.minute).isoformat(),
        }
        if party.names_itself:
            query["platform"] = party.name
        query |= {
            name: value for name, value in (("publisher", upload.publisher), ("context", upload.context)) if value
        }
        began = self._clock.real()
        try:
            answer = party.client.match(upload.data, query)
        except ServiceProblem as problem:
            self._log.remarks.append(f"{upload.upload_id} was not answered: {problem}")
            return
        self._see(upload, answer, self._clock.real() - began)
        self._tick(UPLOADING)

    def _see(self, upload: Upload, answer: Json, took_s: float) -> None:
        verdict = answer["verdict"]
        ours = {self._desk.footage_bank, self._desk.news_bank}
        seen = Seen(
            upload=upload,
            band=verdict["band"],
            action=verdict["suggested_action"],
            reasons=tuple(verdict["reasons"]),
            hash=hash_of(upload.data),
            took_s=took_s,
            sighting_id=answer["sighting_id"],
            ours=any(match["bank"] in ours for match in answer["matches"]),
        )
        with self._writing:
            self._log.seen.append(seen)
            self._by_upload[upload.upload_id] = seen
            if seen.sighting_id is not None:
                self._sightings[seen.sighting_id] = seen
            if seen.stopped and upload.of_footage:
                self._log.catches.append(Catch(upload.upload_id, upload.minute, Means.MATCH))


class _Streams:
    """One thread a platform: its uploads come in their order, beside those of the others."""

    def __init__(self, parties: Parties) -> None:
        self._threads: Mapping[str, ThreadPoolExecutor] = {
            name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in parties.platforms
        }
        self._under_way: list[Future[None]] = []

    def send(self, platform: str, upload: Callable[[Upload], None], what: Upload) -> None:
        self._under_way.append(self._threads[platform].submit(upload, what))

    def wait(self) -> None:
        """
        Raises:
            ClientError: an upload could not be asked about.
        """
        for sent in self._under_way:
            sent.result()
        self._under_way.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)


def hash_of(data: bytes) -> Hash:
    """As the service takes it, for the comparison with PDQ alone."""
    frame = decode_image(data, MediaLimits()).frames[0]
    return Hash(frame.pdq, frame.pdq_quality)
