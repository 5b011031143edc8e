"""What a center asks of a running service: incidents, what spreads around them, and what spreads unknown."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from service.client import Client

Json = dict[str, Any]


class IncidentClient:
    """Safe from any thread, as its client is."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def incidents(self, query: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """Newest first; `query` takes what `GET /v1/incidents` takes."""
        return self._client.listed("/v1/incidents", query)

    def incident(self, incident_id: str) -> Json:
        return self._client.get(_path(incident_id))

    def create(self, body: Mapping[str, Any]) -> Json:
        """Opens one."""
        return self._client.send("POST", "/v1/incidents", body)[0]

    def advance(self, incident_id: str, wish: Mapping[str, Any], etag: str | None = None) -> Json:
        """Asks for another state; the answer says which one it is in then."""
        headers = {} if etag is None else {"If-Match": etag}
        return self._client.send("POST", f"{_path(incident_id)}/transitions", wish, headers)[0]

    def change(self, incident_id: str, patch: Mapping[str, Any], etag: str) -> Json:
        """Replaces what is given, if it still is what that ETag is of."""
        return self._client.send("PATCH", _path(incident_id), patch, {"If-Match": etag})[0]

    def timeline(self, incident_id: str) -> Json:
        return self._client.get(f"{_path(incident_id)}/timeline")

    def report(self, incident_id: str) -> Json:
        return self._client.get(f"{_path(incident_id)}/report")

    def variants(self, incident_id: str) -> Iterator[Json]:
        """Clusters around the incident, page by page."""
        return self._client.listed(f"{_path(incident_id)}/variants")

    def bank_variant(self, incident_id: str, sighting_id: str, body: Mapping[str, Any]) -> Json:
        """Banks an upload without its media."""
        path = f"{_path(incident_id)}/variants/{quote(sighting_id, safe='')}/bank"
        return self._client.send("POST", path, body)[0]

    def clusters(self) -> Iterator[Json]:
        """Uploads that look alike and match nothing known, page by page."""
        return self._client.listed("/v1/clusters")

    def behind(self) -> int:
        """How many recorded uploads are in no cluster yet because nobody has looked at them."""
        return int(self._client.get("/v1/clusters", {"limit": 1})["behind"])


def _path(incident_id: str) -> str:
    return f"/v1/incidents/{quote(incident_id, safe='')}"
