"""`afterimage reindex features`."""

import typer

from service.cli.job_watch import ask_service, begun, do_here, end
from service.cli.options import DataDirOption, JsonOption, UrlOption, WaitOption
from service.cli.target import chosen

_KIND = "features"


def fill_features(
    context: typer.Context,
    *,
    wait: WaitOption = True,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Make the local features that matches are verified with, for what was banked without them or by another version.

    They are made from the originals; items whose originals are not kept go without, and are counted.
    """
    place = chosen(context, url, data_dir)
    if place.url is not None:
        job = ask_service(place, _KIND, {}, wait=wait, quiet=as_json)
        if not wait:
            begun(job, as_json=as_json)
            return
    else:
        job, _ = do_here(place, _KIND, {}, quiet=as_json)
    counts = job["progress"]["counts"]
    lines = [f"{counts.get('filled', 0):,} items have local features now."]
    if counts.get("without_original"):
        lines.append(f"{counts['without_original']:,} have none: their originals are not kept or cannot be read.")
    end(job, lines, None, as_json=as_json)
