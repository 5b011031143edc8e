"""What the center does at the service's interface: banks, the incident, and the lists it looks at."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from service.client import Client, ClientError
from service.incidents.client import IncidentClient
from service.rehearsal.errors import RealIncident
from service.rehearsal.parties import Parties

Json = dict[str, Any]

TITLE = "Rehearsal"
"""How the names of its incidents begin; nothing else is taken for a rehearsal."""


@dataclass(frozen=True, slots=True)
class Cluster:
    cluster_id: str
    sightings: int
    frontier: tuple[str, ...]
    """Uploads in it or near it that nothing caught, by their sightings."""


class Desk:
    """
    The first center's, and the second's word when it is needed. For one thread.

    Args:
        parties: who takes part.
        run: what tells this rehearsal's banks from another's.
    """

    def __init__(self, parties: Parties, run: str) -> None:
        self._parties = parties
        self._client: Client = parties.centers[0].client
        self._incidents = IncidentClient(self._client)
        self.footage_bank = f"rehearsal-{run}-footage"
        self.news_bank = f"rehearsal-{run}-news"
        self.name = f"{TITLE} {run}"
        self.incident_id: str | None = None

    def open_banks(self) -> None:
        labels = {"rehearsal": True}
        self._client.put_bank(self.footage_bank, "harmful", labels)
        self._client.put_bank(self.news_bank, "public_interest", labels)

    def open_incident(self) -> None:
        """In the state `awareness`, for the four platforms."""
        made = self._incidents.create(
            {
                "name": self.name,
                "type": "rehearsal",
                "banks": [self.footage_bank, self.news_bank],
                "participants": self._parties.names,
            }
        )
        self.incident_id = made["incident_id"]

    def move_on(self, to: str, reason: str, *, center: int = 0) -> str:
        """Asks for a transition on behalf of one of the centers; answers the state it is in then."""
        party = self._parties.centers[center]
        wish: Json = {"to": to, "reason": reason}
        if party.names_itself:
            wish["participant"] = party.name
        return str(IncidentClient(party.client).advance(self._incident, wish)["state"])

    def bank(self, data: bytes) -> str:
        return str(self._client.add_item(self.footage_bank, data)[0]["item_id"])

    def bank_news(self, data: bytes) -> None:
        self._client.add_item(self.news_bank, data)

    def bank_sighting(self, sighting_id: str) -> str:
        """Without its media, which only the platform has."""
        body = {"bank": self.footage_bank}
        return str(self._incidents.bank_variant(self._incident, sighting_id, body)["item_id"])

    def variants(self) -> list[Cluster]:
        """Around the incident, in the order in which the service shows them."""
        return [_cluster(shown) for shown in self._incidents.variants(self._incident)]

    def clusters(self) -> list[Cluster]:
        """Of what nobody has banked, likewise."""
        return [_cluster(shown) for shown in self._incidents.clusters()]

    def members(self, cluster_id: str) -> list[str]:
        """The sightings of a cluster, the oldest first."""
        query = {"cluster": cluster_id, "order": "oldest"}
        return [str(each["sighting_id"]) for each in self._client.listed("/v1/sightings", query)]

    def behind(self) -> int:
        """How many sightings wait to be linked and put into clusters."""
        return self._incidents.behind()

    def report(self) -> Json:
        return self._incidents.report(self._incident)

    def tidy(self) -> None:
        """Takes the incident to its end and deletes the banks; what is missing is passed over."""
        if self.incident_id is not None:
            for state in ("concluding", "concluded", "debriefed", "withdrawn"):  # the last, where it broke off early
                with suppress(ClientError):
                    self.move_on(state, "The rehearsal is over.")
        for bank in (self.footage_bank, self.news_bank):
            with suppress(ClientError):
                self._client.delete(f"/v1/banks/{bank}")

    @property
    def _incident(self) -> str:
        if self.incident_id is None:
            raise RuntimeError("no incident was opened")
        return self.incident_id


def _cluster(shown: Json) -> Cluster:
    frontier = tuple(str(each["sighting_id"]) for each in shown["frontier"])
    return Cluster(str(shown["cluster_id"]), int(shown["sightings"]), frontier)


def refuse_real_incidents(client: Client) -> None:
    """
    Raises:
        RealIncident: one that is no rehearsal is confirmed, or abates.
    """
    for state in ("confirmed", "concluding"):
        for incident in IncidentClient(client).incidents({"state": state}):
            if not str(incident["name"]).startswith(TITLE):
                raise RealIncident(
                    "A real incident is under way at this service: whoever works on it would be told of the "
                    "rehearsal's uploads too. Rehearse elsewhere, without --url for one, or say --despite-incident."
                )
