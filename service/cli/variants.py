"""`afterimage variants` and `afterimage clusters`: near-copies, known and not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from service.cli.catalogs import open_catalog
from service.cli.options import DataDirOption, IncidentArgument, JsonOption, UrlOption
from service.cli.output import answers, print_json, printable, remarks
from service.cli.target import chosen, service_client
from service.incidents.client import IncidentClient

Json = dict[str, Any]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="The most to list.")]
_PAGE = 100


def variants(
    context: typer.Context,
    incident_id: IncidentArgument,
    *,
    limit: LimitOption = 20,
    bank: Annotated[
        str | None,
        typer.Option("--bank-from", metavar="SIGHTING_ID", help="Bank this one, and list nothing.", show_default=False),
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="Into this bank; needed where it has several.", show_default=False)
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    List the variants of an incident: clusters of near-copies around its items, and what nothing caught.

    First what nobody has banked and what spreads. `--bank-from` banks one from a recorded upload, without its media.
    """
    with _place(context, url, data_dir) as place:
        if bank is not None:
            _tell_banked(place.bank(incident_id, bank, into), as_json=as_json)
            return
        found = place.variants(incident_id, limit)
    _show(found, as_json=as_json)


def clusters(
    context: typer.Context,
    *,
    limit: LimitOption = 20,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List uploads that look alike and match nothing known: what nobody has banked yet. First what grows."""
    with _place(context, url, data_dir) as place:
        found = place.clusters(limit)
    _show(found, as_json=as_json)


class _OfService:
    def __init__(self, client: IncidentClient) -> None:
        self._client = client

    def variants(self, incident_id: str, limit: int) -> list[Json]:
        return list(islice(self._client.variants(incident_id), limit))

    def clusters(self, limit: int) -> list[Json]:
        return list(islice(self._client.clusters(), limit))

    def bank(self, incident_id: str, sighting_id: str, bank: str | None) -> Json:
        return self._client.bank_variant(incident_id, sighting_id, {"bank": bank})


class _OfCatalog:
    def __init__(self, catalog: Any) -> None:  # noqa: ANN401 - imported where it is opened
        from service.variants.lists import Variants

        self._catalog = catalog
        self._variants = Variants(catalog)

    def variants(self, incident_id: str, limit: int) -> list[Json]:
        incident = self._catalog.incidents.get(incident_id)
        return _listed(lambda size, cursor: self._variants.of_incident(incident, size, cursor), limit)

    def clusters(self, limit: int) -> list[Json]:
        from service.keys.viewer import Viewer

        return _listed(lambda size, cursor: self._variants.unknown(size, cursor, Viewer()), limit)

    def bank(self, incident_id: str, sighting_id: str, bank: str | None) -> Json:
        from service.keys.viewer import Viewer
        from service.schemas import banked

        name = self._variants.bank_of(self._catalog.incidents.get(incident_id), bank)
        return banked(self._variants.bank(name, sighting_id, {}, Viewer())).model_dump(mode="json")


def _listed(page: Any, limit: int) -> list[Json]:  # noqa: ANN401 - one of the lists above
    found: list[Json] = []
    cursor = None
    while len(found) < limit:
        piece = page(min(_PAGE, limit - len(found)), cursor)
        found += [each.model_dump(mode="json") for each in piece.items]
        cursor = piece.next
        if cursor is None:
            break
    return found


@contextmanager
def _place(context: typer.Context, url: str | None, data_dir: Path | None) -> "Iterator[_OfService | _OfCatalog]":
    place = chosen(context, url, data_dir)
    if place.url is not None:
        yield _OfService(IncidentClient(service_client(place.url)))
        return
    with open_catalog(place.data_dir) as catalog:
        yield _OfCatalog(catalog)


def _tell_banked(made: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(dict(made))
        return
    typer.echo(made["item_id"])


def _show(found: list[Json], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if not found:
        remarks().print("There is none.")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("cluster", "uploads", "matched", "lately", "platforms", "first seen (UTC)", "weakest", "banked"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "cluster")
    for each in found:
        table.add_row(*(Text(printable(text)) for text in _row(each)))
    answers().print(table)


def _row(cluster: Json) -> tuple[str, ...]:
    platforms = sorted({str(count["platform"] or "others") for count in cluster["counts"]})
    first, weakest = cluster["first_seen"], cluster["weakest_link"]
    uncaught = len(cluster["frontier"])
    return (
        cluster["cluster_id"],
        str(cluster["sightings"]),
        f"{cluster['matched']}" + (f" (+{uncaught} near)" if uncaught else ""),
        str(cluster["growth"]["sightings"]),
        " ".join(platforms),
        f"{first['at'][:16].replace('T', ' ')} {first['platform'] or ''}".rstrip(),
        "" if weakest is None else f"{weakest['strength']:.2f}",
        " ".join(sorted({item["bank"] for item in cluster["banked"]})) or "no",
    )
