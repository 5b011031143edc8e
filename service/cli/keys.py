"""`afterimage keys`: who may ask a service."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.table import Table
from rich.text import Text

from index.records.keys import KeyId, Role, Scope
from service.cli.catalogs import open_catalog
from service.cli.options import DataDirOption, JsonOption, UrlOption
from service.cli.output import answers, print_json, printable, remarks
from service.cli.target import chosen, service_client
from service.client import Client

if TYPE_CHECKING:
    from index.catalog.keys import KeyTable
    from index.records.keys import Key
    from service.keys.shapes import KeyBody

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Json = dict[str, Any]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.", show_default=False)]

_ABOUT = """
Make, list, replace and end the keys of those who may ask a service.

These commands work on the data directory (or AFTERIMAGE_CATALOG), also while a service runs on it, which takes notice
at once; or, with `--url` and a key that allows `admin`, on a service elsewhere. The first key shuts the door: from then
on every request needs one.
"""


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("create")(create)
    app.command("list")(list_keys)
    app.command("rotate")(rotate)
    app.command("revoke")(revoke)
    return app


class Keys(Protocol):
    """What the commands do, here or on a service. Keys are as they are answered over HTTP."""

    def all(self) -> list[Json]: ...

    def create(self, wanted: "KeyBody") -> Json:
        """The new key, in full."""

    def rotate(self, key_id: str, grace: timedelta) -> Json:
        """The new key, in full."""

    def revoke(self, key_id: str) -> Json: ...


class _OfService:
    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self) -> list[Json]:
        return list(self._client.keys())

    def create(self, wanted: "KeyBody") -> Json:
        return self._client.create_key(wanted.model_dump(mode="json"))

    def rotate(self, key_id: str, grace: timedelta) -> Json:
        return self._client.rotate_key(key_id, int(grace.total_seconds()))

    def revoke(self, key_id: str) -> Json:
        return self._client.revoke_key(key_id)


class _OfCatalog:
    def __init__(self, table: "KeyTable") -> None:
        self._table = table

    def all(self) -> list[Json]:
        return [_json(key) for key in self._table.ring().keys.values()]

    def create(self, wanted: "KeyBody") -> Json:
        from service.keys.keyring import make_key

        text, secret = make_key()
        return {"key": text, **_json(self._table.create(wanted.wanted, secret))}

    def rotate(self, key_id: str, grace: timedelta) -> Json:
        from service.keys.keyring import make_key

        text, secret = make_key()
        return {"key": text, **_json(self._table.rotate(KeyId(key_id), secret, datetime.now(UTC) + grace))}

    def revoke(self, key_id: str) -> Json:
        return _json(self._table.revoke(KeyId(key_id)))


def create(
    context: typer.Context,
    participant: Annotated[str, typer.Argument(help="The organisation that will hold it.", show_default=False)],
    *,
    role: Annotated[Role, typer.Option(help="What it is; a participant keeps its role.")] = Role.PLATFORM,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="|".join(("all", *Scope)), help="What it allows; may be repeated.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="90d|DATE", help="When it ends: after a time, or at the start of a day in UTC."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second; 0 is no limit, and nothing said the service's.")
    ] = None,
    queries_per_day: Annotated[int | None, typer.Option(help="Uploads it may ask about in a day; likewise.")] = None,
    note: Annotated[str, typer.Option(help="What it is for; shown in lists.")] = "",
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Make a key, and print it. It is shown this once: only its digest is kept.

    Unless scopes are named, a platform's key allows `match` and `record`; a center's these, `curate`, `incident`,
    `confirm` and `read`; an auditor's `read` and `audit`. `admin` is never given unasked.
    """
    wanted = {
        "participant": participant,
        "role": role,
        "scopes": _scopes(scope),
        "note": note,
        "expires_at": None if expires is None else _instant(expires).isoformat(),
        "rate_per_s": rate,
        "queries_per_day": queries_per_day,
    }
    body = _body(wanted)
    with _keys(context, url, data_dir, make=True) as keys:
        _show(keys.create(body), as_json=as_json)


def list_keys(
    context: typer.Context, *, url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """List the keys: whose they are, what they allow, and when they were last used."""
    with _keys(context, url, data_dir) as keys:
        found = keys.all()
    if as_json:
        print_json(found)
        return
    if not found:
        remarks().print("There is no key yet. Make one with: afterimage keys create NAME --role center")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("key", "participant", "role", "scopes", "state", "last used", "note"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "key")
    for key in found:
        used = "never" if key["last_used_at"] is None else _minute(key["last_used_at"])
        who = key["key_id"], key["participant"], key["role"]
        texts = (*who, " ".join(key["scopes"]), _state(key), used, printable(key["note"]))
        table.add_row(*(Text(text) for text in texts))
    answers().print(table)


def rotate(
    context: typer.Context,
    key_id: KeyArgument,
    *,
    grace: Annotated[str, typer.Option(metavar="24h", help="How long the old one can still be used.")] = "24h",
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make another key with the same rights in place of one, which ends after a while."""
    left = _duration(grace, "--grace")
    with _keys(context, url, data_dir) as keys:
        _show(keys.rotate(key_id, left), as_json=as_json)


def revoke(
    context: typer.Context, key_id: KeyArgument, *, url: UrlOption = None, data_dir: DataDirOption = None
) -> None:
    """End a key at once and for good."""
    with _keys(context, url, data_dir) as keys:
        key = keys.revoke(key_id)
    remarks().print(Text(f"{key['key_id']} of {key['participant']} is revoked: the next request with it is refused."))


@contextmanager
def _keys(context: typer.Context, url: str | None, data_dir: Path | None, *, make: bool = False) -> Iterator[Keys]:
    place = chosen(context, url, data_dir)
    if place.url is not None:
        yield _OfService(service_client(place.url))
        return
    with open_catalog(place.data_dir, make=make) as catalog:
        yield _OfCatalog(catalog.keys)


def _json(key: "Key") -> Json:
    from service.keys.shapes import key_resource

    return key_resource(key).model_dump(mode="json")


def _body(wanted: Json) -> "KeyBody":
    """As a service would take it; a mistake is said by the name of its option."""
    from service.errors import RequestError
    from service.inputs import read_json
    from service.keys.shapes import KeyBody

    try:
        return read_json(KeyBody, json.dumps(wanted).encode())
    except RequestError as error:
        first = error.faults[0]
        raise typer.BadParameter(first.detail, param_hint=first.pointer.strip("/").replace("_", "-")) from None


def _show(key: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    says = f"Key {key['key_id']} of {key['participant']}: {' '.join(key['scopes'])}. It is shown this once:"
    remarks().print(Text(says), soft_wrap=True)
    typer.echo(key["key"])


def _state(key: Json) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    if key["expires_at"] is None:
        return "valid"
    expired = datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
    return "expired" if expired else f"until {_minute(key['expires_at'])}"


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _scopes(named: list[str] | None) -> list[str] | None:
    if not named:
        return None
    return sorted(Scope) if "all" in named else named


def _instant(text: str) -> datetime:
    if re.fullmatch(r"\d+[smhd]", text, re.ASCII):
        return datetime.now(UTC) + _duration(text, "--expires")
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter("a time as 90d or 12h, or a day as 2027-01-31", param_hint="--expires") from None


def _duration(text: str, option: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    if found is None:
        raise typer.BadParameter("a time is written as 30m, 24h or 90d", param_hint=option)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
