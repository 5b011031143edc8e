"""`afterimage reindex`."""

from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from service.cli.features import fill_features
from service.cli.job_watch import ask_service, begun, do_here, end, watch
from service.cli.options import DataDirOption, JsonOption, UrlOption, WaitOption
from service.cli.output import Exit, answers, print_json, progress, remarks
from service.cli.pictures import UnreadableFile, find_pictures, read_picture
from service.cli.space_places import named, open_spaces
from service.cli.target import UploadRefused, chosen, service_client
from service.cli.tiles import fill_tiles

Json = dict[str, Any]
SpaceArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SPACE]", help="Its id or its model; not needed where one alone can be meant."),
]
LeaveBehindOption = Annotated[
    bool, typer.Option(help="Items that only the other space finds may be lost to semantic search.")
]

_STAGES = {"building": "yellow", "shadow": "bold yellow", "served": "green", "retired": "dim", "dropped": "dim"}
_ABOUT = """
Move what is banked to another model, while the service goes on answering.

- `reindex --model NEW` embeds everything that is banked by the new model, beside the old one
- `reindex status` shows how far it is, and how both agree on live uploads
- `reindex compare DIR` asks about pictures of yours in both ways
- `reindex promote` answers from the new one, from one instant to the next
- `reindex rollback` goes back
- `reindex drop` deletes what is not needed any more
- `reindex features` makes what matches are verified with, for items that were banked without it
- `reindex tiles BANK` brings what a bank holds to the parts of pictures that its settings ask for

New items are embedded by both, from the beginning until one is dropped. Items whose originals were not kept can be
found in the old space alone: they are listed, and nothing is promoted over them unless told.

Exit codes: 0 done; 1 done, but for what is listed; 2 not done, and why.
"""


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, invoke_without_command=True)
    app.callback()(reindex)
    app.command("status")(status)
    app.command("compare")(compare)
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("drop")(drop)
    app.command("features")(fill_features)
    app.command("tiles")(fill_tiles)
    return app


def reindex(
    context: typer.Context,
    *,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model to move to.", show_default=False)
    ] = None,
    replaces: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Which space it is to take over from: the leading one unless said."),
    ] = None,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Innocent photographs to calibrate it on (`afterimage calibrate`)."),
    ] = None,
    wait: WaitOption = True,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if model is None:
        typer.echo(context.get_help())
        raise typer.Exit(Exit.NOT_DONE)
    place = chosen(context, url, data_dir)
    options = {
        "model": model,
        "replaces": replaces,
        "calibrate_on": None if calibrate_on is None else str(calibrate_on),
    }
    if place.url is not None:
        job = ask_service(place, "reindex", options, wait=wait, quiet=as_json)
        if not wait:
            begun(job, as_json=as_json)
            return
    else:
        job, _ = do_here(place, "reindex", options, quiet=as_json)
    end(job, _told(job.get("result") or {}), None, as_json=as_json)


def status(
    context: typer.Context,
    space: SpaceArgument = None,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every space, and everything about those that wait or are named."""
    with open_spaces(chosen(context, url, data_dir)) as place:
        spaces = place.spaces()
        wanted = [one["embedder_id"] for one in spaces if one["stage"] in {"building", "shadow"}]
        if space is not None:
            wanted = [named(spaces, space, set(_STAGES))]
        reports = [place.report(one) for one in wanted]
    if as_json:
        print_json({"spaces": spaces, "reports": reports})
        return
    _show_spaces(spaces)
    for report in reports:
        _show_report(report)


def compare(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Pictures, and folders of them.", show_default=False)],
    *,
    space: Annotated[
        str | None, typer.Option(metavar="SPACE", help="The one in shadow; not needed where it is the only one.")
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Ask about pictures in both ways, and list the verdicts that would change.

    Exit code 0: every picture was compared, whatever came of it. 1: all but those that are listed with a reason.
    """
    agreed = changed = refused = 0
    with open_spaces(chosen(context, url, data_dir)) as place:
        wanted = named(place.spaces(), space, {"shadow"})
        for path, told, reason in _compared(place.compare, wanted, paths, quiet=as_json):
            if as_json:
                print_json({"path": str(path), "comparison": told, "reason": reason})
            if told is None:
                refused += 1
                if not as_json:
                    remarks().print(f"{path}: {reason}", markup=False, soft_wrap=True)
            elif told["changes_the_verdict"]:
                changed += 1
                if not as_json:
                    answers().print(_change(path, told), soft_wrap=True)
            else:
                agreed += 1
    if not as_json:
        answers().print(f"{agreed:,} verdicts are the same, {changed:,} would change.")
    if refused:
        raise typer.Exit(Exit.NOT_ALL_WELL if agreed + changed else Exit.NOT_DONE)


def promote(
    context: typer.Context,
    space: SpaceArgument = None,
    *,
    keep_old: Annotated[bool, typer.Option(help="The old space goes on answering beside it.")] = False,
    leave_behind: LeaveBehindOption = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Answer from the space that waits in shadow, from now on. `rollback` goes back.

    Named again after `--keep-old`, a space that answers beside the one it replaces is left to answer alone.
    """
    with open_spaces(chosen(context, url, data_dir)) as place:
        wanted = named(place.spaces(), space, {"shadow"} if space is None else {"shadow", "served"})
        told = place.move(wanted, "promote", {"keep_old": keep_old, "leave_behind": leave_behind})
    _show_move(told, f"Answers come from {wanted} from version {told['index_version']} on.", as_json=as_json)


def rollback(
    context: typer.Context,
    space: SpaceArgument = None,
    *,
    leave_behind: LeaveBehindOption = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer from the space before again; the newer one waits in shadow."""
    with open_spaces(chosen(context, url, data_dir)) as place:
        spaces = place.spaces()
        moved = [one for one in spaces if one["replaces"] is not None and one["answers"]]
        wanted = named(spaces if space is not None else moved, space, {"served"})
        told = place.move(wanted, "rollback", {"leave_behind": leave_behind})
    line = f"Answers come from the space before {wanted} again, from version {told['index_version']} on."
    _show_move(told, line, as_json=as_json)


def drop(
    context: typer.Context,
    space: SpaceArgument = None,
    *,
    wait: WaitOption = True,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a space that does not answer: one that was replaced, or that is not wanted after all."""
    target = chosen(context, url, data_dir)
    with open_spaces(target) as place:
        stages = {"retired"} if space is None else {"building", "shadow", "retired", "dropped"}
        wanted = named(place.spaces(), space, stages)
        told = place.drop(wanted)
    if target.url is None:
        job, _ = do_here(target, "purge", {"space": wanted}, quiet=as_json)
    else:
        client = service_client(target.url)
        if not wait:
            begun(client.job(told["job_id"]), as_json=as_json)
            return
        job = watch(client.job, told["job_id"], quiet=as_json)
    items = job["progress"]["done"]
    end(job, [f"{wanted} is dropped; its embeddings of {items:,} items are deleted."], None, as_json=as_json)


def _compared(
    ask: Any,  # noqa: ANN401 - SpacePlace.compare
    space: str,
    paths: list[Path],
    *,
    quiet: bool,
) -> Generator[tuple[Path, Json | None, str | None]]:
    found = find_pictures(paths)
    for path in found.missing:
        yield path, None, "no such file or folder"
    with progress(quiet=quiet) as bar:
        task = bar.add_task("Comparing", total=len(found.pictures))
        for path in found.pictures:
            try:
                yield path, ask(space, read_picture(path)), None
            except (UploadRefused, UnreadableFile) as error:
                yield path, None, str(error)
            bar.advance(task)


def _told(result: Json) -> list[str]:
    if not result:
        return []
    items, calibration = result["items"], result["calibration"]
    found = f"{items['filled']:,} items can be found in it"
    not_found = f"{items['failed']:,} could not be embedded again, {items['without_original']:,} have no original"
    calibrated = f"Calibrated ({calibration.get('of')})." if calibration["calibrated"] else ""
    lines = [
        f"{result['space']} is {result['stage']}: {found}; {not_found}.",
        calibrated or f"Not calibrated: {calibration['why']}.",
    ]
    if result["stage"] == "shadow":
        lines.append("Watch it with `afterimage reindex status`; then `afterimage reindex promote`.")
    return lines


def _show_move(told: Json, line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        answers().print(line, soft_wrap=True, markup=False)


def _show_spaces(spaces: list[Json]) -> None:
    table = Table(box=None, header_style="bold")
    for heading in ("space", "stage", "answers", "calibrated", "numbers", "model"):
        table.add_column(heading, no_wrap=heading == "space")
    for one in spaces:
        calibrated = {True: "yes", False: "no", None: ""}[one["calibrated"]]
        stage = Text(one["stage"], style=_STAGES[one["stage"]])
        answering = "yes" if one["answers"] else ""
        table.add_row(one["embedder_id"], stage, answering, calibrated, str(one["dim"]), one["model"] or "")
    answers().print(table)


def _show_report(report: Json) -> None:
    items = report["items"]
    answers().print(
        f"\n[bold]{report['embedder_id']}[/]: {items['filled']:,} items filled, {items['lacking']:,} to be filled, "
        f"{items['without_original']:,} without an original",
        soft_wrap=True,
    )
    for one in report["left"]:
        answers().print(f"  in the old space alone: {one['bank']} {one['item_id']}", markup=False, soft_wrap=True)
    for one in report["open_in"]:
        said = "has it open" if one["open"] else one["reason"]
        answers().print(f"  process {one['process']}: {said}", markup=False, soft_wrap=True)
    if report["agreement"]:
        table = Table("answered", "in shadow", "uploads", "same best item", box=None, header_style="bold")
        for one in report["agreement"]:
            table.add_row(one["band"], one["shadow_band"], f"{one['uploads']:,}", f"{one['same_item']:,}")
        answers().print(table)


def _change(path: Path, told: Json) -> Text:
    def outcome(one: Json) -> str:
        return f"{one['band']} {one['suggested_action']} {one['item_id'] or ''}".rstrip()

    return Text(f"{path}: {outcome(told['answered'])}  →  {outcome(told['in_shadow'])}")
