"""`afterimage ingest`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.bank import BankPurpose, labels_of
from service.cli.job_watch import ask_service, begun, do_here, end
from service.cli.options import (
    DataDirOption,
    JsonForTableOption,
    LabelsFromOption,
    RootOption,
    UrlOption,
    WaitOption,
)
from service.cli.target import chosen


def ingest(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(help="The bank; it is made if it does not exist.", show_default=False)],
    sources: Annotated[list[Path], typer.Argument(help="What to bank; see above.", show_default=False)],
    *,
    purpose: Annotated[
        BankPurpose | None, typer.Option(help="What a new bank is for: `harmful` unless said.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Noted beside every item; may be repeated.", show_default=False),
    ] = None,
    labels_from: LabelsFromOption = None,
    root: RootOption = None,
    force: Annotated[bool, typer.Option(help="Bank pictures too in which there is too little to see.")] = False,
    wait: WaitOption = True,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonForTableOption = False,
) -> None:
    """
    Fill a bank from archives: a job that goes on where it stopped.

    Sources are folders of pictures; tar shards of WebDataset (`.tar`, `.tar.gz`); manifests of paths or PDQ hashes with
    labels (`.jsonl`, `.csv`, `.tsv`, `.parquet`); and lists of PDQ hashes as ThreatExchange shares them (`.txt`,
    `.csv`, `.json`). Rows that cannot be used are listed with the reason, and the others go on. Each content is banked
    once, however often it comes and however often this is interrupted: the same command goes on from there.

    With `--url` the paths are those of the service's machine, below its AFTERIMAGE_INGEST_ROOTS.

    Exit code 0: everything is banked. 1: all but the rows that are listed. 2: it could not be done.
    """
    place = chosen(context, url, data_dir)
    options: dict[str, Any] = {
        "bank": bank,
        "purpose": None if purpose is None else purpose.value,
        "labels": labels_of(label or []),
        "force": force,
        "sources": [str(source) for source in sources],
        "labels_from": labels_from or None,
        "root": None if root is None else str(root),
    }
    skipped: Path | None = None
    if place.url is not None:
        job = ask_service(place, "ingest", options, wait=wait, quiet=as_json)
        if not wait:
            begun(job, as_json=as_json)
            return
    else:
        job, folder = do_here(place, "ingest", options, quiet=as_json)
        skipped = folder / "skipped.jsonl"
    end(job, [_sentence(bank, job)], skipped, as_json=as_json)


def _sentence(bank: str, job: dict[str, Any]) -> str:
    counts = job["progress"]["counts"]
    return (
        f"{counts.get('added', 0):,} banked into {bank}, {counts.get('known', 0):,} were there already, "
        f"{counts.get('skipped', 0):,} could not be used."
    )
