"""A report as one HTML page that needs nothing else: tables, plots, and sheets of what went worst."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from models.errors import MediaError
from models.evaluation import tables
from models.evaluation.cases import Case
from models.evaluation.edits.registry import EDITS, edited
from models.evaluation.measure import AtRate, SystemReport
from models.evaluation.pictures import LIMITS
from models.evaluation.run import Report
from models.media.image import decode_image

THUMB = 150
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem;color:#1c1e21}
table{border-collapse:collapse;margin:1rem 0;font-size:13px;display:block;overflow-x:auto}
td,th{border:1px solid #d7d9dd;padding:.25rem .5rem;text-align:right}td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:.4rem;font-size:12px;color:#555}figure img{display:block}
img{max-width:100%}
"""
MISSES = """Queries that no stated rate finds, and the banked original of each. They are edited anew here: what an edit
borrows, and what it draws by chance after that, may differ from what was measured."""


def to_html(report: Report, photos: Path) -> str:
    """
    The page. It shows photographs: keep it where they may be seen.

    Args:
        report: to show.
        photos: the folder of the photographs, whose names seed the edits shown.
    """
    parts = [
        "<!doctype html><meta charset=utf-8><title>Evaluation</title>",
        f"<style>{STYLE}</style><h1>Evaluation of {html.escape(report.systems[0].name)}</h1>",
        f"<p>{html.escape(report.created)}</p>",
        _tables(tables.to_markdown(report)),
        f"<h2>Recall by edit</h2>{_plot(_recall_plot, report)}",
        f"<h2>Precision and recall</h2>{_plot(_precision_plot, report)}",
        f"<h2>Recall and false matches</h2>{_plot(_operating_plot, report)}",
        f"<h2>Worst misses</h2><p>{MISSES}</p>",
        _sheet(report.misses, photos),
        "<h2>Worst false matches</h2><p>An innocent query, and the banked picture it was nearest to.</p>",
        _sheet(report.false_matches, photos),
    ]
    if report.copies:
        groups = "".join(f"<li>{html.escape(', '.join(group))}</li>" for group in report.copies)
        parts.append(f"<h2>Copies within the folder</h2><ul>{groups}</ul>")
    return "\n".join(parts)


def _tables(markdown: str) -> str:
    """Our own Markdown tables and paragraphs as HTML."""
    done: list[str] = []
    for block in markdown.strip().split("\n\n"):
        lines = block.splitlines()
        if not lines[0].startswith("|"):
            done.append(f"<p>{html.escape(block)}</p>")
            continue
        cells = [
            [html.escape(cell.strip()) for cell in line.strip("|").split("|")]
            for place, line in enumerate(lines)
            if place != 1  # the rule under the head
        ]
        head = "".join(f"<th>{cell}</th>" for cell in cells[0])
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells[1:])
        done.append(f"<table><tr>{head}</tr>{body}</table>")
    return "".join(done)


def _plot(draw: Callable[[Axes, Report], None], report: Report) -> str:
    # A figure of its own, without pyplot: no state, no display.
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 5.2), layout="constrained")
        draw(figure.subplots(), report)
        held = BytesIO()
        figure.savefig(held, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}">'


def _recall_plot(axes: Axes, report: Report) -> None:
    names = [edit.name for edit in report.edits]
    shown = [system for system in report.systems if system.at][:3]
    width = 0.8 / max(1, len(shown))
    for place, system in enumerate(shown):
        entry = _strict(system)
        spots = np.arange(len(names)) + (place - (len(shown) - 1) / 2) * width
        axes.bar(spots, [entry.by_edit[name] for name in names], width, label=f"{system.name} at {entry.rate:g}")
    axes.set_xticks(range(len(names)), names, rotation=70, ha="right")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("recall")
    axes.legend(loc="lower left")
    axes.grid(axis="y", alpha=0.3)


def _precision_plot(axes: Axes, report: Report) -> None:
    for system in report.systems:
        if system.curve:
            precision, recall = zip(*system.curve, strict=True)
            axes.plot(recall, precision, label=f"{system.name}, µAP {system.micro_ap:.3f}")
    axes.set_xlabel("recall over all counted edits")
    axes.set_ylabel("precision")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)


def _operating_plot(axes: Axes, report: Report) -> None:
    for system in report.systems:
        entries = sorted(system.at, key=lambda entry: entry.rate or 0)
        rates = [entry.rate or 0.0 for entry in entries]
        axes.plot(
            rates, [entry.recall for entry in entries], marker="o", label=f"{system.name}, µAP {system.micro_ap:.3f}"
        )
    axes.set_xscale("log")
    axes.set_xlabel("share of innocent queries that are matched")
    axes.set_ylabel("recall over all counted edits")
    axes.set_ylim(0, 1)
    axes.legend()
    axes.grid(alpha=0.3)


def _strict(system: SystemReport) -> AtRate:
    return min(system.at, key=lambda entry: abs(np.log10(entry.rate or 1) + 3))


def _sheet(cases: Sequence[Case], photos: Path) -> str:
    lend_from = [case.answer for case in cases]
    return "".join(_figure(case, photos, lend_from) for case in cases)


def _figure(case: Case, photos: Path, lend_from: Sequence[Path]) -> str:
    try:
        query, answer = _opened(case.query), _opened(case.answer)
        edit = next(edit for edit in EDITS if edit.name == case.edit)
        query = edited(edit, query, _name(case.query, photos), lambda dice: _opened(dice.choice(lend_from)))
    except (OSError, MediaError):
        return ""
    pair = Image.new("RGB", (THUMB * 2 + 6, THUMB), "white")
    for place, picture in enumerate((query, answer)):
        small = picture.copy()
        small.thumbnail((THUMB, THUMB))
        pair.paste(small, (place * (THUMB + 6), 0))
    held = BytesIO()
    pair.save(held, "JPEG", quality=80)
    data = base64.b64encode(held.getvalue()).decode()
    text = f"{html.escape(case.edit)}, {case.score:.2f}"
    return f'<figure><img alt="" src="data:image/jpeg;base64,{data}">{text}</figure>'


def _opened(path: Path) -> Image.Image:
    return Image.fromarray(decode_image(path.read_bytes(), LIMITS).frames[0].pixels)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
