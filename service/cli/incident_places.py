"""Where incidents are opened, looked at and taken through their states: a running service, or a catalog."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from service.cli.catalogs import open_catalog
from service.cli.target import Place, service_client
from service.incidents.client import IncidentClient

if TYPE_CHECKING:
    from pydantic import BaseModel

    from index.catalog import Catalog

Json = dict[str, Any]
_Taken = TypeVar("_Taken", bound="BaseModel")


class IncidentPlace(Protocol):
    """Incidents as `/v1/incidents` answers them."""

    def all(self, states: list[str], most: int) -> list[Json]: ...

    def one(self, incident_id: str) -> Json: ...

    def create(self, wanted: Mapping[str, Any]) -> Json: ...

    def meet(self, before: Json, criteria: list[Json]) -> None:
        """Says which criteria of an incident are met, as it was seen."""

    def advance(self, incident_id: str, wish: Mapping[str, Any]) -> Json: ...

    def report(self, incident_id: str) -> Json: ...


class ServiceIncidents:
    """Those of a service at a URL."""

    def __init__(self, client: IncidentClient) -> None:
        self._client = client

    def all(self, states: list[str], most: int) -> list[Json]:
        return list(islice(self._client.incidents({"state": states}), most))

    def one(self, incident_id: str) -> Json:
        return self._client.incident(incident_id)

    def create(self, wanted: Mapping[str, Any]) -> Json:
        return self._client.create(wanted)

    def meet(self, before: Json, criteria: list[Json]) -> None:
        self._client.change(before["incident_id"], {"criteria": criteria}, f'"{before["revision"]}"')

    def advance(self, incident_id: str, wish: Mapping[str, Any]) -> Json:
        return self._client.advance(incident_id, wish)

    def report(self, incident_id: str) -> Json:
        return self._client.report(incident_id)


class CatalogIncidents:
    """Those of a catalog that is open here."""

    def __init__(self, catalog: "Catalog", types: Path | None) -> None:
        self._catalog = catalog
        self._types = types

    def all(self, states: list[str], most: int) -> list[Json]:
        from service.incidents.shapes import incident_resource

        page = self._catalog.incidents.page(most, states=frozenset(states))
        return [incident_resource(each).model_dump(mode="json") for each in page.items]

    def one(self, incident_id: str) -> Json:
        from service.incidents.shapes import incident_resource

        return incident_resource(self._catalog.incidents.get(incident_id)).model_dump(mode="json")

    def create(self, wanted: Mapping[str, Any]) -> Json:
        from service.incidents.changing import new_incident
        from service.incidents.shapes import IncidentBody, incident_resource
        from service.incidents.types import IncidentTypes

        body = _taken(IncidentBody, wanted)
        new = new_incident(body, IncidentTypes.load(self._types), body.participant)
        return incident_resource(self._catalog.incidents.create(new)).model_dump(mode="json")

    def meet(self, before: Json, criteria: list[Json]) -> None:
        from service.incidents.changing import change_of
        from service.incidents.shapes import IncidentPatch
        from service.incidents.types import IncidentTypes

        known = self._catalog.incidents.get(before["incident_id"])
        change = change_of(_taken(IncidentPatch, {"criteria": criteria}), known, IncidentTypes.load(self._types))
        self._catalog.incidents.change(known.incident_id, change, before["revision"])

    def advance(self, incident_id: str, wish: Mapping[str, Any]) -> Json:
        from index.records.incidents import Advance
        from service.incidents.shapes import TransitionBody, incident_resource

        body = _taken(TransitionBody, wish)
        wanted = Advance(body.to, body.reason, body.participant)
        return incident_resource(self._catalog.incidents.advance(incident_id, wanted)).model_dump(mode="json")

    def report(self, incident_id: str) -> Json:
        from datetime import UTC, datetime

        from service.incidents.report import report_of

        incident = self._catalog.incidents.get(incident_id)
        figures = self._catalog.figures.of_incident(incident.key)
        return report_of(incident, figures, datetime.now(UTC)).model_dump(mode="json")


@contextmanager
def open_incidents(place: Place, *, make: bool = False) -> Iterator[IncidentPlace]:
    """
    The incidents of a place; of a data directory also while a service runs on it.

    Args:
        place: where they are.
        make: whether a catalog is made where there is none.
    """
    if place.url is not None:
        yield ServiceIncidents(IncidentClient(service_client(place.url)))
        return
    from service.settings import load_settings

    types = load_settings(data_dir=place.data_dir, log_level="error").incident_types
    with open_catalog(place.data_dir, make=make) as catalog:
        yield CatalogIncidents(catalog, types)


def _taken(model: type[_Taken], wanted: Mapping[str, Any]) -> _Taken:
    """As a service would take it; a mistake is said by the name of its option."""
    from service.errors import RequestError
    from service.inputs import read_json

    try:
        return read_json(model, json.dumps(dict(wanted)).encode())
    except RequestError as error:
        first = error.faults[0]
        raise typer.BadParameter(first.detail, param_hint=first.pointer.strip("/")) from None
