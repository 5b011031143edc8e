"""`python -m models.evaluation evaluate|calibrate|verification|locate|study --help`, without the service."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from models.documents import write_json
from models.embedder import Device
from models.evaluation import page, tables
from models.evaluation.calibrating import CalibrationOptions, calibrate, read_scenes, save
from models.evaluation.locating import locating
from models.evaluation.network_embedder import NetworkEmbedder
from models.evaluation.run import EvaluationOptions, evaluate
from models.evaluation.study import StudyOptions, study
from models.evaluation.verification_parts import VerifyingOptions
from models.evaluation.verifying import fit
from models.openclip import open_embedder, use_threads
from models.opencv import use_one_thread
from models.training.export import shipped_network


def parser() -> argparse.ArgumentParser:
    """The five commands."""
    made = argparse.ArgumentParser(prog="python -m models.evaluation", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    one = commands.add_parser("evaluate")
    one.add_argument("--photos", type=Path, required=True)
    one.add_argument("--calibration", type=Path)
    one.add_argument("--lookalikes", type=Path)
    one.add_argument("--model", action="append", default=[])
    one.add_argument("--bank", type=int, default=1000)
    one.add_argument("--originals", type=int, default=300)
    one.add_argument("--threshold-edits", type=int, default=8)
    one.add_argument("--unknown-edits", type=int, help="of each photograph that is not banked; all without")
    one.add_argument(
        "--tiles", type=int, action="append", choices=(4, 9), default=[], help="bank so many besides, and measure again"
    )
    one.add_argument("--output", type=Path, required=True, help="report.json, report.md and report.html go here")
    two = commands.add_parser("calibrate")
    two.add_argument("--photos", type=Path, required=True)
    two.add_argument("--model", default="bundled")
    two.add_argument("--edits", type=int, default=12)
    two.add_argument("--beta", type=float, default=0.0)
    two.add_argument("--neighbours", type=int, default=3)
    two.add_argument("--same-scene", type=Path, help="a group of pictures a line, their names separated by tabs")
    two.add_argument("--output", type=Path, required=True, help="the record; its background goes beside it")
    four = commands.add_parser("verification")
    four.add_argument("--photos", type=Path, required=True, help="innocent photographs")
    four.add_argument("--alike", type=Path, required=True, help="pictures that resemble each other and are no copies")
    four.add_argument("--model", default="bundled")
    four.add_argument("--originals", type=int, default=25)
    four.add_argument("--edits", type=int, default=2)
    four.add_argument("--alike-pictures", type=int, default=1000)
    four.add_argument("--output", type=Path, required=True, help="the record")
    five = commands.add_parser("locate")
    five.add_argument("--photos", type=Path, required=True)
    five.add_argument("--originals", type=int, default=60)
    three = commands.add_parser("study")
    three.add_argument("--photos", type=Path, required=True, help="neither trained on nor evaluated on")
    three.add_argument("--model", type=Path, required=True, help="a local-dir of ours")
    three.add_argument("--sizes", type=int, nargs="+", default=[96, 64, 80, 112, 128])
    three.add_argument("--originals", type=int, default=80)
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run one command."""
    told = parser().parse_args(arguments)
    use_threads(1)
    if told.command == "calibrate":
        embedder = open_embedder(told.model, Device.CPU)
        scenes = () if told.same_scene is None else read_scenes(told.same_scene)
        made = calibrate(
            CalibrationOptions(told.photos, told.edits, told.beta, told.neighbours, scenes), embedder, _Ticker()
        )
        save(made.record, told.output)
        print(json.dumps(made.record.to_json(), indent=2))  # noqa: T201
        for pair in made.nearest:
            print(f"{pair.score:.3f} {pair.one} {pair.other}", file=sys.stderr)  # noqa: T201
        return
    if told.command == "study":
        _study(told)
        return
    if told.command == "verification":
        _verification(told)
        return
    if told.command == "locate":
        _locate(told)
        return
    models = [(name, open_embedder(name, Device.CPU)) for name in told.model or ["bundled"]]
    options = EvaluationOptions(
        photos=told.photos,
        calibration=told.calibration,
        lookalikes=told.lookalikes,
        bank=told.bank,
        originals=told.originals,
        threshold_edits=told.threshold_edits,
        unknown_edits=told.unknown_edits,
        tiles=tuple(told.tiles),
    )
    report = evaluate(options, models, _Ticker())
    told.output.mkdir(parents=True, exist_ok=True)
    (told.output / "report.json").write_text(json.dumps(tables.to_json(report), indent=1) + "\n", encoding="utf-8")
    (told.output / "report.md").write_text(tables.to_markdown(report), encoding="utf-8")
    (told.output / "report.html").write_text(page.to_html(report, told.photos), encoding="utf-8")
    print(tables.to_markdown(report))  # noqa: T201


def _verification(told: argparse.Namespace) -> None:
    use_one_thread()
    options = VerifyingOptions(
        told.photos, told.alike, originals=told.originals, edits=told.edits, alike_pictures=told.alike_pictures
    )
    record = fit(options, open_embedder(told.model, Device.CPU), _Ticker())
    write_json(told.output, record.to_json())
    print(json.dumps(record.to_json(), indent=2))  # noqa: T201


def _locate(told: argparse.Namespace) -> None:
    use_one_thread()
    rows, everything = locating(told.photos, told.originals, _Ticker())
    print("| edit | asked | located | corner error, median | 90 % below |\n|---|---|---|---|---|")  # noqa: T201
    for row in (*rows, everything):
        errors = "- | -" if row.errors is None else " | ".join(f"{error:.4f}" for error in row.errors)
        print(f"| {row.edit} | {row.asked} | {row.located / row.asked:.3f} | {errors} |")  # noqa: T201


def _study(told: argparse.Namespace) -> None:
    network = shipped_network(told.model)
    rows = study(
        StudyOptions(told.photos, originals=told.originals),
        lambda size: NetworkEmbedder(network, size, f"{size} px"),
        told.sizes,
        _Ticker(),
    )
    print("| option | value | micro-AP | recall at 1e-2 | at 1e-3 | top 20 | rows a query | ms a query |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for row in rows:
        recalls = " | ".join(f"{recall:.3f}" for recall in row.recalls)
        cost = f"{row.top_20:.3f} | {row.views:.1f} | {row.ms:.1f}"
        print(f"| {row.option} | {row.value} | {row.micro_ap:.3f} | {recalls} | {cost} |")  # noqa: T201


class _Ticker:
    """Says what is being done, once for each thing."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str, _done: int, total: int) -> None:
        if what != self._last:
            print(f"{what} ({total})", file=sys.stderr, flush=True)  # noqa: T201
            self._last = what


if __name__ == "__main__":
    main()
