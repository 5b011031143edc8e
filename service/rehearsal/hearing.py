"""Listens to the service's events beside the play, as a subscriber would."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.client import Client, ClientError
from service.events.listening import Place, listen

Json = dict[str, Any]

_SUBSCRIBED_WITHIN_S = 10.0
_CLOCKS_AGREE_S = 0.05


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, and when it arrived."""

    event: Json
    real_s: float
    delay_s: float
    """Since it happened, as far as the two clocks agree."""

    @property
    def kind(self) -> str:
        return str(self.event["kind"])

    @property
    def data(self) -> Json:
        data: Json = self.event["data"]
        return data


class Hearing:
    """A thread that listens until it is closed, or is told that the incident has ended."""

    def __init__(self, client: Client, real: Callable[[], float], incident: str) -> None:
        """
        Args:
            client: of whoever listens.
            real: seconds of our time.
            incident: the name of the one whose end is awaited.
        """
        self._client = client
        self._incident = incident
        self._real = real
        self._place = Place()
        self._heard: list[Heard] = []
        self._closing = False
        self.lost: ClientError | None = None
        """Why nothing more was heard."""
        self._thread = threading.Thread(target=self._listen, name="hearing", daemon=True)

    def begin(self) -> None:
        """Returns when the service listens to whoever listens; what happens from then on is heard."""
        self._thread.start()
        until = time.monotonic() + _SUBSCRIBED_WITHIN_S
        while self._place.last_event_id is None and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)

    def heard(self) -> list[Heard]:
        """So far; of things that arrive, the earlier first."""
        return list(self._heard)

    def settle(self, quiet_s: float, most_s: float) -> None:
        """Waits until nothing was heard for a while."""
        until = time.monotonic() + most_s
        count, since = -1, time.monotonic()
        while time.monotonic() < until and self._thread.is_alive():
            if len(self._heard) != count:
                count, since = len(self._heard), time.monotonic()
            elif time.monotonic() - since >= quiet_s:
                return
            time.sleep(0.02)

    def close(self) -> None:
        """The thread ends with the next thing it hears; nobody waits for it long."""
        self._closing = True
        self._thread.join(1.0)

    def delays_s(self) -> list[float]:
        """From event to arrival; nothing where the service's clock is not ours."""
        delays = [heard.delay_s for heard in self._heard]
        return [] if any(delay < -_CLOCKS_AGREE_S for delay in delays) else [max(0.0, delay) for delay in delays]

    def _listen(self) -> None:
        try:
            for event in listen(self._client, {}, self._place, lost=self._note):
                happened = datetime.fromisoformat(event["at"]).timestamp() if "at" in event else time.time()
                self._heard.append(Heard(event, self._real(), time.time() - happened))
                if self._closing or self._is_the_end(event):
                    return
        except ClientError as error:
            self._note(error)

    def _note(self, error: ClientError) -> None:
        if not self._closing:
            self.lost = error

    def _is_the_end(self, event: Json) -> bool:
        ended = event.get("kind") == "incident_transition" and event["data"].get("to") == "debriefed"
        return ended and event["data"].get("name") == self._incident
