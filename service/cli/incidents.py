"""`afterimage incidents`: what organisations decide together about an event."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from index.incident_records import IncidentState
from service.cli.catalogs import open_catalog
from service.cli.incident_texts import decisions_of, figures_of, minute
from service.cli.output import answers, print_json, printable, remarks
from service.cli.target import DataDirOption, UrlOption, chosen, service_client
from service.incidents.client import IncidentClient

if TYPE_CHECKING:
    from pydantic import BaseModel

    from index.catalog import Catalog

Json = dict[str, Any]
IncidentArgument = Annotated[
    str, typer.Argument(metavar="INCIDENT_ID", help="As `incidents list` shows it.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]
ParticipantOption = Annotated[
    str | None,
    typer.Option(help="On behalf of which organisation; a key says it of itself.", show_default=False),
]
_STATE_STYLES = {"confirmed": "bold red", "concluding": "yellow", "assessing": "cyan", "awareness": "cyan"}
_ABOUT = """
Open an incident, take it through its states, and read its figures.

These commands work on the data directory (or AFTERIMAGE_CATALOG), also while a service runs on it, which goes by what
they change at once; or, with `--url` and a key, on a service elsewhere.
"""
_Taken = TypeVar("_Taken", bound="BaseModel")


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("list")(list_incidents)
    app.command("show")(show)
    app.command("create")(create)
    app.command("advance")(advance)
    app.command("report")(report)
    return app


class Incidents(Protocol):
    """What the commands do, here or on a service. Incidents are as they are answered over HTTP."""

    def all(self, states: list[str], most: int) -> list[Json]: ...

    def one(self, incident_id: str) -> Json: ...

    def create(self, wanted: Mapping[str, Any]) -> Json: ...

    def meet(self, before: Json, criteria: list[Json]) -> None:
        """Says which criteria of an incident are met, as it was seen."""

    def advance(self, incident_id: str, wish: Mapping[str, Any]) -> Json: ...

    def report(self, incident_id: str) -> Json: ...


class _OfService:
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


class _OfCatalog:
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
        from index.incident_records import Advance
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


def list_incidents(
    context: typer.Context,
    *,
    state: Annotated[
        list[IncidentState] | None, typer.Option(help="Only in this state; may be repeated.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most to list.")] = 100,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List incidents, newest first."""
    with _incidents(context, url, data_dir) as incidents:
        found = incidents.all([each.value for each in state or ()], limit)
    if as_json:
        print_json(found)
        return
    if not found:
        remarks().print("There is none. Open one with: afterimage incidents create NAME --type TYPE")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("incident", "state", "type", "opened", "banks", "name"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "incident")
    for each in found:
        told = Text(each["state"], _STATE_STYLES.get(each["state"], ""))
        shadow = " (shadow)" if each["shadow"] else ""
        name = printable(each["name"]) + shadow
        texts = (each["type"], minute(each["created_at"]), " ".join(each["banks"]), name)
        table.add_row(Text(each["incident_id"]), told, *(Text(text) for text in texts))
    answers().print(table)


def show(
    context: typer.Context,
    incident_id: IncidentArgument,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one incident: who decided what, when and why."""
    with _incidents(context, url, data_dir) as incidents:
        found = incidents.one(incident_id)
    if as_json:
        print_json(found)
        return
    answers().print(decisions_of(found))


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.", show_default=False)],
    *,
    type_name: Annotated[
        str, typer.Option("--type", help="Its type: any name; of some, the criteria are known.")
    ] = "exercise",
    bank: Annotated[
        list[str] | None, typer.Option(help="A bank that belongs to it; may be repeated.", show_default=False)
    ] = None,
    takes_part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who takes part; may be repeated; else all.", show_default=False),
    ] = None,
    met: Annotated[
        list[str] | None, typer.Option(metavar="CRITERION", help="A criterion that is met.", show_default=False)
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Only count what it would suggest.")] = False,
    participant: ParticipantOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open an incident, in the state `awareness`: nothing changes for anyone until two organisations confirm it."""
    wanted = {
        "name": name,
        "type": type_name,
        "banks": bank or [],
        "participants": takes_part or [],
        "criteria": [{"name": each, "met": True} for each in met or ()],
        "shadow": shadow,
        "participant": participant,
    }
    with _incidents(context, url, data_dir, make=True) as incidents:
        made = incidents.create(wanted)
    if as_json:
        print_json(made)
        return
    typer.echo(made["incident_id"])


def advance(
    context: typer.Context,
    incident_id: IncidentArgument,
    to: Annotated[IncidentState, typer.Argument(help="The state to go to.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why; kept with it.", show_default=False)],
    met: Annotated[
        list[str] | None,
        typer.Option(metavar="CRITERION", help="Say first that it is met; may be repeated.", show_default=False),
    ] = None,
    participant: ParticipantOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an incident to its next state. `confirmed` takes two organisations: this command, once by each."""
    wish = {"to": to.value, "reason": reason, "participant": participant}
    with _incidents(context, url, data_dir) as incidents:
        if met:
            _meet(incidents, incident_id, met)
        now = incidents.advance(incident_id, wish)
    if as_json:
        print_json(now)
        return
    if now["state"] == to.value:
        remarks().print(Text(f"It is {now['state']}."))
        return
    confirmed = ", ".join(each["participant"] for each in now["confirmations"])
    remarks().print(Text(f"Noted: {confirmed}. It is still {now['state']}; another organisation must confirm it."))


def report(
    context: typer.Context,
    incident_id: IncidentArgument,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the figures that a debrief publishes."""
    with _incidents(context, url, data_dir) as incidents:
        found = incidents.report(incident_id)
    if as_json:
        print_json(found)
        return
    answers().print(figures_of(found))


@contextmanager
def _incidents(
    context: typer.Context, url: str | None, data_dir: Path | None, *, make: bool = False
) -> Iterator[Incidents]:
    place = chosen(context, url, data_dir)
    if place.url is not None:
        yield _OfService(IncidentClient(service_client(place.url)))
        return
    from service.settings import load_settings

    types = load_settings(data_dir=place.data_dir, log_level="error").incident_types
    with open_catalog(place.data_dir, make=make) as catalog:
        yield _OfCatalog(catalog, types)


def _meet(incidents: Incidents, incident_id: str, met: list[str]) -> None:
    """Says that criteria are met; nothing where that is known, for a change takes confirmations back."""
    before = incidents.one(incident_id)
    said = {each["name"]: each for each in before["criteria"]}
    new = [name for name in dict.fromkeys(met) if not said.get(name, {}).get("met")]
    if new:
        said |= {name: {"evidence": "", **said.get(name, {}), "name": name, "met": True} for name in new}
        incidents.meet(before, [{key: each[key] for key in ("name", "met", "evidence")} for each in said.values()])


def _taken(model: type[_Taken], wanted: Mapping[str, Any]) -> _Taken:
    """As a service would take it; a mistake is said by the name of its option."""
    from service.errors import RequestError
    from service.inputs import read_json

    try:
        return read_json(model, json.dumps(dict(wanted)).encode())
    except RequestError as error:
        first = error.faults[0]
        raise typer.BadParameter(first.detail, param_hint=first.pointer.strip("/")) from None
