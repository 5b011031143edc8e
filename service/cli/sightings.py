"""`afterimage sightings`: uploads that were recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table
from rich.text import Text

from service.cli.catalogs import open_catalog
from service.cli.options import DataDirOption, JsonOption, UrlOption
from service.cli.output import answers, print_json, printable
from service.cli.target import chosen, service_client
from service.client import Client

Json = dict[str, Any]

_ABOUT = """
Look at sightings: uploads that platforms had recorded.

Kept are embeddings, hashes and facts, no media; for some days. `show` says what an upload matches, at once or found
later, and which others look like it.
"""
_COLUMNS = ("sighting_id", "platform", "upload_id", "received_at", "band", "suggested_action", "incident", "cluster")


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("list")(list_sightings)
    app.command("show")(show)
    return app


@dataclass(frozen=True, slots=True)
class _Wanted:
    platform: str | None
    incident: str | None
    cluster: str | None
    band: str | None
    upload_id: str | None


def list_sightings(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many, the newest first.")] = 20,
    platform: Annotated[str | None, typer.Option(help="Of this platform.", show_default=False)] = None,
    incident: Annotated[str | None, typer.Option(help="What matches this incident.", show_default=False)] = None,
    cluster: Annotated[str | None, typer.Option(help="What belongs to this cluster.", show_default=False)] = None,
    band: Annotated[str | None, typer.Option(help="What was answered with this band.", show_default=False)] = None,
    upload_id: Annotated[str | None, typer.Option(help="What its platform calls this.", show_default=False)] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was recorded last."""
    wanted = _Wanted(platform, incident, cluster, band, upload_id)
    with _place(context, url, data_dir) as place:
        found = place.list(wanted, limit)
    if as_json:
        print_json(found)
        return
    table = Table(box=None, header_style="bold")
    for heading in ("sighting", "platform", "upload", "received (UTC)", "band", "action", "incident", "cluster"):
        table.add_column(heading, overflow="fold")
    for one in found:
        table.add_row(*(_cell(name, one[name]) for name in _COLUMNS))
    answers().print(table)


def show(
    context: typer.Context,
    sighting_id: Annotated[str, typer.Argument(metavar="SIGHTING_ID", help="As `list` shows it.", show_default=False)],
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one: its facts, what it matches, and what looks like it."""
    with _place(context, url, data_dir) as place:
        found = place.get(sighting_id)
    if as_json:
        print_json(found)
        return
    facts = Table.grid(padding=(0, 2))
    for name, value in found.items():
        if name not in {"matches", "edges"}:
            text = ", ".join(value) if isinstance(value, list) else value
            facts.add_row(name.replace("_", " "), _cell(name, text))
    answers().print(facts)
    _print(found["matches"], "Matches", ("item_id", "bank", "means", "band", "score", "distance", "at"))
    _print(found["edges"], "Looks like", ("sighting_id", "platform", "earlier", "score", "distance"))


def _print(rows: list[Json], title: str, names: tuple[str, ...]) -> None:
    if not rows:
        return
    table = Table(box=None, header_style="bold", title=title, title_justify="left")
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in names))
    answers().print()
    answers().print(table)


def _cell(name: str, value: Any) -> Text:  # noqa: ANN401 - whatever JSON has
    if value is None:
        return Text("")
    if name in {"received_at", "observed_at", "at"}:
        return Text(str(value)[:19].replace("T", " "))
    return Text(printable(f"{value:.3f}" if isinstance(value, float) else str(value)))


class _OfService:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, wanted: _Wanted, limit: int) -> list[Json]:
        query = {name: value for name, value in asdict(wanted).items() if value is not None}
        return list(islice(self._client.listed("/v1/sightings", query), limit))

    def get(self, sighting_id: str) -> Json:
        return self._client.get(f"/v1/sightings/{quote(sighting_id, safe='')}")


class _OfCatalog:
    def __init__(self, table: Any) -> None:  # noqa: ANN401 - imported where it is opened
        self._table = table

    def list(self, wanted: _Wanted, limit: int) -> list[Json]:
        from index.records.sightings import SightingQuery
        from service.sightings.shapes import sighting_resource

        query = SightingQuery(
            platform=wanted.platform,
            incident_id=wanted.incident,
            cluster_id=wanted.cluster,
            band=wanted.band,
            upload_id=wanted.upload_id,
        )
        page = self._table.page(query, limit)
        return [sighting_resource(one).model_dump(mode="json") for one in page.items]

    def get(self, sighting_id: str) -> Json:
        from service.sightings.shapes import detail_resource

        return detail_resource(self._table.get(sighting_id)).model_dump(mode="json")


@contextmanager
def _place(context: typer.Context, url: str | None, data_dir: Path | None) -> Iterator[_OfService | _OfCatalog]:
    place = chosen(context, url, data_dir)
    if place.url is not None:
        yield _OfService(service_client(place.url))
        return
    with open_catalog(place.data_dir) as catalog:
        yield _OfCatalog(catalog.sightings)
