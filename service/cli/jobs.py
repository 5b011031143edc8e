"""`afterimage jobs`."""

import signal
from datetime import datetime
from types import FrameType
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from service.cli.job_places import open_jobs
from service.cli.options import DataDirOption, JsonOption, UrlOption
from service.cli.output import answers, print_json, remarks
from service.cli.target import Place, chosen, opened_runtime

JobArgument = Annotated[str, typer.Argument(metavar="JOB_ID", help="As `jobs list` shows it.", show_default=False)]
Json = dict[str, Any]

_STYLES = {"succeeded": "green", "failed": "bold red", "cancelled": "yellow", "running": "bold", "queued": "dim"}
_ABOUT = """
Watch, end and do long work.

`list`, `show`, `cancel` and `retry` ask a service (`--url`) or read a data directory, also while a service runs on it.
Jobs are begun with `ingest`, `scan` and `reindex`, or with POST /v1/jobs.
"""


def commands() -> typer.Typer:
    app = typer.Typer(help=_ABOUT, no_args_is_help=True)
    app.command("list")(list_jobs)
    app.command("show")(show)
    app.command("cancel")(cancel)
    app.command("retry")(retry)
    app.command("run")(run)
    return app


def list_jobs(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most to show.")] = 20,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    with open_jobs(chosen(context, url, data_dir)) as jobs:
        found = jobs.newest(limit)
    if as_json:
        print_json(found)
        return
    if not found:
        remarks().print("There is no job yet.")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("job", "kind", "state", "done", "of", "begun"):
        table.add_column(heading, justify="right" if heading in {"done", "of"} else "left", no_wrap=heading == "job")
    for job in found:
        table.add_row(*_cells(job))
    answers().print(table)


def show(
    context: typer.Context,
    job_id: JobArgument,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one job: what was asked for, how far it is, and what it came to."""
    with open_jobs(chosen(context, url, data_dir)) as jobs:
        _show(jobs.get(job_id), as_json=as_json)


def cancel(
    context: typer.Context,
    job_id: JobArgument,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a job before it is done. What it did stays."""
    with open_jobs(chosen(context, url, data_dir)) as jobs:
        _show(jobs.cancel(job_id), as_json=as_json)


def retry(
    context: typer.Context,
    job_id: JobArgument,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a job that failed or was cancelled, where it stopped."""
    with open_jobs(chosen(context, url, data_dir)) as jobs:
        _show(jobs.retry(job_id), as_json=as_json)


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="End when there is nothing to do.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """
    Do jobs, without a service: until it is told to stop (Ctrl-C, TERM), or with `--once` until there are none.

    Any number of these may share the jobs of one PostgreSQL (AFTERIMAGE_CATALOG), on one machine or several, each with
    a data directory of its own. A service does jobs by itself, as many at once as AFTERIMAGE_JOB_WORKERS says.
    """
    from service.jobs.kinds import job_kinds
    from service.jobs.runner import Runner, RunnerRules

    with opened_runtime(Place(None, data_dir)) as runtime:
        settings = runtime.settings
        rules = RunnerRules(lease_s=settings.job_lease_s)
        runner = Runner(runtime.catalog.jobs, job_kinds(runtime, None), settings.jobs_dir, runtime.log, rules)

        def stop(_number: int, _frame: FrameType | None) -> None:
            runner.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        remarks().print(f"Doing jobs of {settings.data_dir}. Ctrl-C ends it at the next row.", style="dim")
        if once:
            while not runner.stopping and runner.run_one():
                pass
        else:
            runner.work()


def _show(job: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    progress = job["progress"]
    done = f"{progress['done']:,}" + ("" if progress["total"] is None else f" of {progress['total']:,}")
    rows = [
        ("job", job["job_id"]),
        ("kind", job["kind"]),
        ("state", Text(job["state"], style=_STYLES[job["state"]])),
        ("done", f"{done}, {progress['parts_done']:,} of {progress['parts']:,} parts"),
        *((name, f"{count:,}") for name, count in sorted(progress["counts"].items())),
        *((f"option {name}", str(value)) for name, value in job["options"].items() if value not in (None, [], {})),
        *((f"result {name}", str(value)) for name, value in (job["result"] or {}).items()),
        *((name, _time(job[name])) for name in ("created_at", "started_at", "finished_at") if job[name] is not None),
    ]
    if job["error"] is not None:
        rows.append(("error", Text(job["error"], style="red")))
    for name, value in rows:
        table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    answers().print(table)


def _cells(job: Json) -> tuple[Text | str, ...]:
    progress = job["progress"]
    total = "" if progress["total"] is None else f"{progress['total']:,}"
    state = Text(job["state"], style=_STYLES[job["state"]])
    return Text(job["job_id"]), job["kind"], state, f"{progress['done']:,}", total, _time(job["created_at"])


def _time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")
