"""`afterimage incidents`: what organisations decide together about an event."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from index.records.incidents import IncidentState
from service.cli.incident_places import IncidentPlace, open_incidents
from service.cli.incident_texts import decisions_of, figures_of, minute
from service.cli.options import DataDirOption, IncidentArgument, JsonOption, UrlOption
from service.cli.output import answers, print_json, printable, remarks
from service.cli.target import chosen

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


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("list")(list_incidents)
    app.command("show")(show)
    app.command("create")(create)
    app.command("advance")(advance)
    app.command("report")(report)
    return app


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
    with open_incidents(chosen(context, url, data_dir)) as incidents:
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
    with open_incidents(chosen(context, url, data_dir)) as incidents:
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
    with open_incidents(chosen(context, url, data_dir), make=True) as incidents:
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
    with open_incidents(chosen(context, url, data_dir)) as incidents:
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
    with open_incidents(chosen(context, url, data_dir)) as incidents:
        found = incidents.report(incident_id)
    if as_json:
        print_json(found)
        return
    answers().print(figures_of(found))


def _meet(incidents: IncidentPlace, incident_id: str, met: list[str]) -> None:
    """Says that criteria are met; nothing where that is known, for a change takes confirmations back."""
    before = incidents.one(incident_id)
    said = {each["name"]: each for each in before["criteria"]}
    new = [name for name in dict.fromkeys(met) if not said.get(name, {}).get("met")]
    if new:
        said |= {name: {"evidence": "", **said.get(name, {}), "name": name, "met": True} for name in new}
        incidents.meet(before, [{key: each[key] for key in ("name", "met", "evidence")} for each in said.values()])
