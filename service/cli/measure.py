"""`afterimage evaluate` and `afterimage calibrate`: how good a model is, and what its scores mean."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.catalogs import open_catalog
from service.cli.options import JsonObjectOption
from service.cli.output import answers, print_json, progress

if TYPE_CHECKING:
    from models.calibration import CalibrationRecord
    from models.embedder import Embedder
    from models.verification import VerificationRecord

PhotosOption = Annotated[
    Path, typer.Option(metavar="FOLDER", help="A folder of photographs.", show_default=False, exists=True)
]
Tick = Callable[[str, int, int], None]


class TileCount(StrEnum):
    FOUR = "4"
    NINE = "9"


class DeviceName(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


DeviceOption = Annotated[DeviceName, typer.Option(help="Where the model runs.")]


def evaluate(
    photos: PhotosOption,
    *,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Other photographs, to set thresholds on; without, some of the photographs are kept for that.",
            show_default=False,
            exists=True,
        ),
    ] = None,
    lookalikes: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures that resemble each other and are no copies.",
            show_default=False,
            exists=True,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model to measure, may be repeated. [default: bundled]", show_default=False),
    ] = None,
    bank: Annotated[int, typer.Option(min=2, help="How many photographs are banked at most.")] = 1000,
    originals: Annotated[int, typer.Option(min=1, help="How many of them are edited.")] = 300,
    tiles: Annotated[
        list[TileCount] | None,
        typer.Option(help="Measure again with so many parts of each picture banked beside it; may be repeated."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the report goes.", file_okay=False)
    ] = Path("evaluation"),
    device: DeviceOption = DeviceName.AUTO,
    as_json: JsonObjectOption = False,
) -> None:
    """
    Measure how well models recognise edited re-uploads, beside perceptual hashes.

    Banks some of the photographs, edits them in many ways, and asks about all of them. Writes report.json, report.md
    and report.html.
    """
    from models.embedder import Device
    from models.evaluation import page, tables
    from models.evaluation.run import EvaluationOptions
    from models.evaluation.run import evaluate as run
    from models.openclip import open_embedder, use_threads
    from service.settings import load_settings

    use_threads(load_settings().cores_for_models)
    _make_writable(output)
    models = [(name, open_embedder(name, Device(device.value))) for name in model or ["bundled"]]
    options = EvaluationOptions(
        photos=photos,
        calibration=calibration,
        lookalikes=lookalikes,
        bank=bank,
        originals=originals,
        tiles=tuple(int(count) for count in tiles or ()),
    )
    with _ticking(quiet=as_json) as tick:
        report = run(options, models, tick)
    as_text = tables.to_markdown(report)
    (output / "report.json").write_text(json.dumps(tables.to_json(report), indent=1) + "\n", encoding="utf-8")
    (output / "report.md").write_text(as_text, encoding="utf-8")
    (output / "report.html").write_text(page.to_html(report, photos), encoding="utf-8")
    if as_json:
        print_json(tables.to_json(report))
        return
    answers().print(as_text, markup=False, soft_wrap=True)
    answers().print(f"With pictures: {output / 'report.html'}", markup=False, soft_wrap=True)


def calibrate(
    photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Innocent photographs.", show_default=False, exists=True)
    ] = None,
    *,
    from_traffic: Annotated[
        bool, typer.Option("--from-traffic", help="Measure on recorded uploads against the banks instead.")
    ] = False,
    model: Annotated[str, typer.Option(help="The model to calibrate.")] = "bundled",
    edits: Annotated[int, typer.Option(min=0, help="Edited queries made of each photograph.")] = 12,
    beta: Annotated[float, typer.Option(min=0, help="How much of score normalisation; 0 for none.")] = 0.0,
    neighbours: Annotated[int, typer.Option(min=1, help="Of how many of the nearest innocents.")] = 3,
    same_scene: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Photographs of one scene, which are not innocent of each other: a group a line, names split by tabs.",
            show_default=False,
        ),
    ] = None,
    alike: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="FOLDER",
            help="Pictures that resemble each other and are no copies: fits the closer look as well.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the record goes. [default: where a service on the data directory finds it]",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The data directory. [env var: AFTERIMAGE_DATA_DIR; default: ./data]",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = DeviceName.AUTO,
    as_json: JsonObjectOption = False,
) -> None:
    """
    Find out from which score on a match is one, on photographs that match nothing.

    Innocent photographs like those your users upload are best, a thousand or more, none of them a copy of another. The
    nearest pairs are listed: look at them, and name in --same-scene those that show one scene twice. A service takes
    the record up when it is next started or reloaded.

    With --from-traffic the recorded uploads of a data directory are taken to be innocent, but for those that were
    shown to match: real uploads, but of the last days alone, and copies that nobody has found among them. Too few of
    them to stand for the rate of the record in use replace it only in a file that --output names.
    """
    if from_traffic == (photos is not None):
        raise typer.BadParameter("one of the two: a folder, or the recorded uploads", param_hint="--photos")
    from models.documents import write_json
    from models.embedder import Device
    from models.evaluation.calibrating import CalibrationOptions, read_scenes, save
    from models.evaluation.calibrating import calibrate as run
    from models.openclip import open_embedder, use_threads
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    use_threads(settings.cores_for_models)
    try:
        scenes = () if same_scene is None else read_scenes(same_scene)
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{same_scene} is no text in UTF-8", param_hint="--same-scene") from error
    embedder = open_embedder(model, Device(device.value))
    path = output or settings.calibration_dir / f"{embedder.space.embedder_id}.json"
    _make_writable(path.parent)
    if photos is None:
        from service.sightings.traffic import check_as_sure, measured_on_traffic

        with open_catalog(data_dir) as catalog:
            record = measured_on_traffic(catalog, embedder.space)
        if output is None:
            check_as_sure(record, embedder.space.calibration)
        save(record, path)
        if as_json:
            print_json(record.to_json())
            return
        _print_thresholds(record)
        answers().print(f"Written to {path}", markup=False, soft_wrap=True)
        return
    with _ticking(quiet=as_json) as tick:
        made = run(CalibrationOptions(photos, edits, beta, neighbours, scenes), embedder, tick)
        weighing = None if alike is None else _fitted(photos, alike, embedder, tick)
    record = made.record
    save(record, path)
    if weighing is not None:
        write_json(path.with_suffix(".verification.json"), weighing.to_json())
    if as_json:
        print_json(record.to_json() | ({} if weighing is None else {"verification": weighing.to_json()}))
        return
    _print_thresholds(record)
    if weighing is not None:
        answers().print(
            f"[bold]variant[/] after a closer look from a probability of {weighing.variant.score:.4f}: "
            f"a share of {weighing.variant.fpr:.6f} of innocent queries reaches it (measured on "
            f"{weighing.sample.queries:,})",
            soft_wrap=True,
        )
    answers().print("The nearest pairs of photographs that were taken to have nothing in common:")
    for pair in made.nearest:
        answers().print(f"  {pair.score:.3f}  {pair.one}  {pair.other}", markup=False, soft_wrap=True)
    answers().print(f"Written to {path}", markup=False, soft_wrap=True)


def _print_thresholds(record: "CalibrationRecord") -> None:
    for name, threshold in (("variant", record.variant), ("related", record.related)):
        answers().print(
            f"[bold]{name}[/] from {threshold.score:.3f}: a share of {threshold.fpr:.6f} of innocent queries "
            f"reaches it (95 % sure: {threshold.fpr_upper95:.6f} at most; measured on {record.sample.queries:,})",
            soft_wrap=True,
        )


def _fitted(photos: Path, alike: Path, embedder: "Embedder", tick: Tick) -> "VerificationRecord":
    from models.evaluation.verification_parts import VerifyingOptions
    from models.evaluation.verifying import fit
    from models.opencv import use_one_thread

    use_one_thread()
    return fit(VerifyingOptions(photos, alike), embedder, tick)


def _make_writable(folder: Path) -> None:
    """Before the work and not after it, which may have taken hours."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written to", str(folder))


@contextmanager
def _ticking(*, quiet: bool) -> Iterator[Tick]:
    """A bar for each thing that is being done."""
    with progress(quiet=quiet) as bar:
        tasks = {}

        def tick(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield tick
