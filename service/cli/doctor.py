"""`afterimage doctor`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from service.cli.options import DataDirOption, JsonObjectOption, UrlOption
from service.cli.output import Exit, answers, print_json, remarks
from service.cli.target import Place, chosen, service_client
from service.cli.version import versions
from service.client import ServiceProblem

if TYPE_CHECKING:
    from service.cli.findings import Finding

_MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "bold red")}


def doctor(
    context: typer.Context,
    *,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonObjectOption = False,
) -> None:
    """
    Look at everything that has to work, and say what to do about what does not.

    Versions, device, threads, the model's space and its calibration, catalog and index, SQLite and its hazards. With
    `--url`, the parts of a running service.

    Exit code 0: all is well, or worth a note at most. 1: something is wrong. 2: it could not be looked at.
    """
    place = chosen(context, url, data_dir)
    found: list[Finding] = []
    if not as_json:
        answers().print(Text(", ".join(f"{name} {number}" for name, number in versions().items()), style="dim"))
    with remarks().status("Looking …"):
        for finding in _service(place.url) if place.url is not None else _here(place):
            found.append(finding)
            if not as_json:
                _show(finding)
    well = all(finding.state != "wrong" for finding in found)
    if as_json:
        print_json({"well": well, "versions": versions(), "findings": [finding.to_json() for finding in found]})
    if not well:
        raise typer.Exit(Exit.NOT_ALL_WELL)


def _here(place: Place) -> "Iterator[Finding]":
    from service.cli.diagnosis import diagnose
    from service.settings import load_settings

    yield from diagnose(load_settings(data_dir=place.data_dir, log_level="error"))


def _service(url: str) -> "Iterator[Finding]":
    from service.cli.findings import Finding, State

    client = service_client(url, patience_s=0)
    client.get("/healthz")
    yield Finding("service", State.OK, f"{client.url} answers")
    try:
        ready = client.ready()
    except ServiceProblem as problem:
        checks = problem.problem.get("checks") or {"readiness": str(problem)}
    else:
        checks = ready["checks"]
        yield Finding("index", State.OK, f"version {ready['index_version']}")
    for part, said in checks.items():
        yield Finding(part, State.OK if said == "ok" else State.WRONG, said)


def _show(finding: "Finding") -> None:
    mark, style = _MARKS[finding.state]
    line = Text.assemble((f"{mark} ", style), (f"{finding.part}: ", "bold"), finding.says)
    answers().print(line, soft_wrap=True)
    if finding.advice:
        answers().print(Text(f"  {finding.advice}", style=style), soft_wrap=True)
