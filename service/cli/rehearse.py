"""`afterimage rehearse`."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, TaskID

from service.cli.options import JsonObjectOption, UrlOption
from service.cli.output import Exit, complain, print_json, progress, remarks
from service.client import Client
from service.settings import key_of_environment

if TYPE_CHECKING:
    from service.rehearsal.pictures import Cast
    from service.rehearsal.scoring import Outcome
    from service.rehearsal.script import Plan, Script

_PLOTS = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True, slots=True)
class _Place:
    """The service that is rehearsed at, and the key that it is asked with first."""

    url: str
    key: str | None

    def client(self, key: str | None) -> Client:
        return Client(self.url, key=key)


def rehearse(
    *,
    url: UrlOption = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Take photographs from here, in place of drawn pictures.", show_default=False
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keys of four platforms and two centers, JSON: {platforms: {NAME: KEY, …}, centers: {NAME: KEY, …}}. "
            "Without it keys are made for the rehearsal, where the service asks for keys.",
            show_default=False,
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.5, max=72, help="How long the event is.")] = 6.0,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, max=600, help="How long playing it takes; else as fast as it goes.", show_default=False),
    ] = None,
    versions: Annotated[int, typer.Option(min=12, max=2000, help="Versions of the footage that are uploaded.")] = 72,
    benign: Annotated[int, typer.Option(min=10, max=10_000, help="Everyday uploads beside them.")] = 140,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same one is the same event; else 1, and at a service of others any, for it remembers uploads.",
            show_default=False,
        ),
    ] = None,
    publisher: Annotated[
        str, typer.Option(help="A publisher whom the service trusts (its TRUSTED_PUBLISHERS).")
    ] = "rehearsal-broadcaster.example",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the plot goes: a PNG or a JPEG.")
    ] = Path("rehearsal.png"),
    despite_incident: Annotated[
        bool, typer.Option("--despite-incident", help="Also where a real incident is under way.")
    ] = False,
    as_json: JsonObjectOption = False,
) -> None:
    """
    Play a synthetic event against a service, and see what is caught when and by which means.

    Footage surfaces on four platforms, is edited as it spreads, and comes amid everyday uploads; two broadcasters show
    it, and a troll claims to. People at a center take reports, look at what the service discovers, bank it, and
    confirm an incident. Beside all that: what PDQ alone would have caught.

    Without `--url` it starts a service of its own, which is gone afterwards. At another, everything it makes says
    that it is a rehearsal; at the end its banks are deleted, its keys revoked and its incident is over.

    Exit code 0: played. 1: played, and news was blocked, fake news was let through, or something did not work.
    2: not played.
    """
    if output.suffix.lower() not in _PLOTS:
        raise typer.BadParameter("a file that ends in .png or .jpg", param_hint="--output")
    from service.rehearsal.script import Plan

    if seed is None:
        seed = 1 if url is None else 2 + secrets.randbelow(9998)
    plan = Plan(seed=seed, minutes=hours * 60, versions=versions, benign=benign, publisher=publisher)
    with _place(url, publisher) as place:
        outcome = _rehearsed(place, plan, photos, keys, minutes, despite=despite_incident)
    from service.cli.rehearsal_table import show
    from service.rehearsal.plot import write_plot

    output.parent.mkdir(parents=True, exist_ok=True)
    write_plot(outcome, _title(outcome), output)
    if as_json:
        print_json({**outcome.to_json(), "seed": seed, "plot": str(output)})
    else:
        show(outcome, seed, output)
    if outcome.log.remarks or not (outcome.news_stands and outcome.troll_is_no_news):
        raise typer.Exit(Exit.NOT_ALL_WELL)


@contextmanager
def _place(url: str | None, publisher: str) -> Iterator[_Place]:
    if url is not None:
        yield _Place(url, key_of_environment())
        return
    from service.rehearsal.private import private_service

    with ExitStack() as stack:
        with remarks().status("Starting a service of its own …"):
            service = stack.enter_context(private_service(publisher))
        yield _Place(service.url, service.key)


def _rehearsed(
    place: _Place, plan: "Plan", photos: Path | None, keys: Path | None, minutes: float | None, *, despite: bool
) -> "Outcome":
    from service.rehearsal.clock import EventClock
    from service.rehearsal.desk import Desk, refuse_real_incidents
    from service.rehearsal.parties import Gathering, read_keys
    from service.rehearsal.play import Play
    from service.rehearsal.scoring import score

    given = None if keys is None else read_keys(keys)
    with Gathering(place.client(place.key), place.client, given) as parties:
        if not despite:
            refuse_real_incidents(parties.centers[0].client)
        script = _script(plan, photos)
        with progress(quiet=False) as bar:
            task = bar.add_task("Uploading", total=len(script.uploads))
            desk = Desk(parties, f"{plan.seed}-{secrets.token_hex(3)}")
            play = Play(script, parties, desk, EventClock(plan.minutes, minutes), _Ticking(bar, task))
            return score(play.perform())


def _script(plan: "Plan", photos: Path | None) -> "Script":
    from service.rehearsal.pictures import TooFewPictures, Wanted, drawn_pictures, photographs
    from service.rehearsal.script import write

    wanted = Wanted(plan.footage, plan.benign_pictures)
    with remarks().status("Making pictures …"):
        try:
            cast: Cast = drawn_pictures(wanted, plan.seed) if photos is None else photographs(photos, wanted, plan.seed)
        except TooFewPictures as error:
            complain(str(error))
            raise typer.Exit(Exit.NOT_DONE) from None
    with remarks().status("Editing them …"):
        return write(plan, cast)


class _Ticking:
    """Shows how far it is."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, doing: str) -> None:
        self._bar.update(self._task, description=doing, advance=1 if doing == "Uploading" else 0)


def _title(outcome: "Outcome") -> str:
    pictures = len({fate.upload.source for fate in outcome.fates})
    return (
        f"A rehearsal: {len(outcome.fates)} versions of {pictures} pictures spread on four platforms for "
        f"{outcome.log.minutes / 60:g} hours"
    )
