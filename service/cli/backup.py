"""`afterimage backup` and `afterimage restore`: the catalog as one file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from index.data_directory import DataDirectory
from service.cli.catalogs import NothingThere
from service.cli.options import DataDirOption, JsonOption
from service.cli.output import print_json, progress, remarks


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; a file that is there is replaced once the new one is whole.")],
    *,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Copy the catalog into one file, while it is in use.

    The copy is of one instant. It has banks, items, hashes, embeddings, jobs, keys and the audit log. Kept originals
    and your own calibrations are files of the data directory: copy those after it.
    """
    from index.catalog.backup import back_up
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir, log_level="error")
    if not settings.has_catalog:
        raise NothingThere(f"There is no catalog in {settings.data_dir}. Is it the right data directory?")
    with progress(quiet=as_json) as bar:
        task = bar.add_task("copying", total=None)
        copied = back_up(settings.catalog_url, file, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        print_json({"file": str(file), "index_version": copied.version, "size_bytes": copied.size_bytes})
    else:
        size = copied.size_bytes / (1 << 20)
        remarks().print(f"{file}: {size:.1f} MiB, everything up to version {copied.version}")


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `afterimage backup` wrote.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="A catalog that is there gives way; its file is kept under another name.")
    ] = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Set the catalog back to a backup.

    End the service first. What was changed since the backup is not in the catalog any more, also removals: look whether
    something has to be removed again.
    """
    from index.catalog.backup import restore as set_back
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir, log_level="error")
    with ExitStack() as stack:
        if not settings.catalog:
            stack.enter_context(DataDirectory(settings.data_dir))
        bar = stack.enter_context(progress(quiet=as_json))
        task = bar.add_task("copying", total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        copied = set_back(file, settings.catalog_url, replace=replace, report=report)
    if as_json:
        print_json({"index_version": copied.version, "size_bytes": copied.size_bytes})
    else:
        remarks().print(f"The catalog is as it was at version {copied.version}.")
