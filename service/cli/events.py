"""`afterimage events`: what happens, as it happens."""

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from service.cli.options import UrlOption
from service.cli.output import Exit, answers, complain, print_json, printable, remarks
from service.cli.target import service_client
from service.client import ClientError
from service.errors import BadSettings
from service.events.listening import Place, listen

_STYLES = {
    "incident_transition": "bold",
    "match": "yellow",
    "retro_match": "yellow",
    "new_variant": "cyan",
    "emerging_cluster": "magenta",
    "quarantine": "bold red",
    "gap": "red",
}
_ABOUT = """
Hear what happens, at once: transitions of incidents, matches, matches of earlier uploads, new variants, clusters that
emerge, quarantines. Ids and facts; no media.
"""


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("follow")(follow)
    return app


def follow(
    *,
    url: UrlOption = None,
    incident: Annotated[str | None, typer.Option(help="Only of this incident.", show_default=False)] = None,
    platform: Annotated[str | None, typer.Option(help="Only of this platform.", show_default=False)] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only of this kind; may be repeated.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="EVENT_ID", help="Begin after this event; 0 is the oldest kept.", show_default=False),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End once everything up to now was told.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON, an event a line.")] = False,
) -> None:
    """
    Follow the events of a running service until Ctrl-C.

    A lost connection is made again by itself, and goes on where it was.
    """
    if url is None:
        raise BadSettings("Name the service with --url, or AFTERIMAGE_URL.")
    query: dict[str, Any] = {"kind": kind or []}
    query |= {name: value for name, value in (("incident", incident), ("platform", platform)) if value is not None}
    query |= {"follow": "false"} if end else {}
    client = service_client(url)

    def lost(error: ClientError) -> None:
        remarks().print(Text(f"{printable(str(error))} Trying again …", style="dim"), soft_wrap=True)

    missed = False
    try:
        for event in listen(client, query, Place(since), reconnect=not end, lost=lost):
            missed = missed or event["event"] == "gap"
            if as_json:
                print_json(event)
            else:
                show(event)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    if missed:
        raise typer.Exit(Exit.NOT_ALL_WELL)


def show(event: dict[str, Any]) -> None:
    """One event, on one line."""
    kind = event["event"]
    if kind == "gap":
        complain("Some events were missed: they are no longer kept. Going on with the oldest that is.")
        return
    about = " ".join(str(each) for each in (event.get("incident_id"), event.get("platform")) if each)
    facts = json.dumps(event.get("data", {}), ensure_ascii=False)
    line = Text()
    line.append(f"{printable(str(event.get('at', '')))[:19].replace('T', ' ')} ", style="dim")
    line.append(f"{printable(kind)} ", style=_STYLES.get(kind, ""))
    line.append(f"{printable(about)} " if about else "", style="bold")
    line.append(printable(facts))
    answers().print(line, soft_wrap=True)
