"""A report as JSON and as Markdown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from models.evaluation.measure import AtRate, SystemReport
from models.evaluation.run import Report


def to_json(report: Report) -> dict[str, Any]:
    """Everything but the pictures: no file name of a photograph is in it."""
    options = dataclasses.asdict(report.options)
    for name in ("photos", "calibration", "lookalikes"):
        options[name] = None if options[name] is None else Path(options[name]).name
    edits = [
        {"name": edit.name, "group": edit.group.value, "held_out": edit.held_out, "counted": edit.counted}
        for edit in report.edits
    ]
    return {
        "created": report.created,
        "seconds": round(report.seconds, 1),
        "options": options,
        "counts": dataclasses.asdict(report.counts),
        "edits": edits,
        "rows": report.rows,
        "looked": report.looked,
        "systems": [dataclasses.asdict(system) for system in report.systems],
    }


def to_markdown(report: Report) -> str:
    """The tables that are committed and shown in a terminal."""
    counts = report.counts
    held_out = ", ".join(f"`{edit.name}`" for edit in report.edits if edit.held_out)
    apart = ", ".join(f"`{edit.name}`" for edit in report.edits if not edit.counted)
    lines = [
        (
            f"{counts.bank} pictures banked, {counts.originals} of them edited: {counts.positives} queries; "
            f"{counts.negatives} queries of pictures that are not banked; thresholds set on "
            f"{counts.threshold_queries} queries of other pictures. {counts.groups_of_copies} groups of copies found "
            f"and reduced to one picture each, {counts.broken} files could not be read. "
            f"{report.seconds / 60:.1f} minutes."
        ),
        "",
        f"Edits that the training does without: {held_out or 'none'}. Shown but not counted: {apart or 'none'}.",
        "",
        *_overall(report),
        "",
        *_fixed(report),
        "",
        *(f"{name}: {rows} embeddings banked of {counts.bank} pictures.\n" for name, rows in report.rows.items()),
        *(
            f"{name} looks closer at {shares['unknown']:.3f} of the unknown and {shares['copies']:.3f} of the copies.\n"
            for name, shares in report.looked.items()
        ),
        *_by_edit(report),
    ]
    return "\n".join(lines) + "\n"


def _overall(report: Report) -> list[str]:
    rates = _rates(report)
    head = ["system", "micro-AP (95 %)", "R@P90", "top 1", f"top 20 of {report.counts.bank}"]
    head += [f"recall at {rate:g} (95 %)" for rate in rates] + [f"measured rate at {rate:g}" for rate in rates]
    head += [f"look-alikes over {rate:g}" for rate in rates] if report.counts.lookalikes else []
    rows = []
    for system in report.systems:
        at = {entry.rate: entry for entry in system.at}
        row = [
            system.name,
            f"{system.micro_ap:.3f} ({system.micro_ap_interval[0]:.3f}-{system.micro_ap_interval[1]:.3f})",
            f"{system.recall_at_p90:.3f}",
            f"{system.top_1:.3f}",
            f"{system.top_20:.3f}",
        ]
        row += [
            f"{at[rate].recall:.3f} ({at[rate].interval[0]:.3f}-{at[rate].interval[1]:.3f})" if rate in at else "-"
            for rate in rates
        ]
        row += [f"{at[rate].measured:.4f}" if rate in at else "-" for rate in rates]
        if report.counts.lookalikes:
            row += [_share(at[rate].lookalikes) if rate in at else "-" for rate in rates]
        rows.append(row)
    return _table(head, rows)


def _fixed(report: Report) -> list[str]:
    """Recall and rate at thresholds that are in use."""
    rows = [
        [
            system.name,
            label,
            f"{entry.threshold:g}",
            f"{entry.recall:.3f}",
            f"{entry.measured:.4f}",
            _share(entry.lookalikes),
        ]
        for system in report.systems
        for label, entry in system.fixed.items()
    ]
    return _table(["system", "threshold", "score", "recall", "measured rate", "look-alikes"], rows) if rows else []


def _by_edit(report: Report) -> list[str]:
    rates = _rates(report)
    strict = next((rate for rate in reversed(rates) if rate >= 1e-3), rates[0] if rates else None)  # noqa: PLR2004
    if strict is None:
        return []
    first = report.systems[0]
    head = ["edit", *(f"{system.name}, {strict:g}" for system in report.systems)]
    head += [f"{first.name}, {rate:g}" for rate in rates if rate != strict] + [f"{first.name}, top 20"]
    rows = []
    for edit in report.edits:
        mark = " (held out)" if edit.held_out else ""
        row = [edit.name + mark]
        row += [_cell(_entry(system, strict), edit.name) for system in report.systems]
        row += [_cell(_entry(first, rate), edit.name) for rate in rates if rate != strict]
        rows.append([*row, f"{first.top_20_by_edit[edit.name]:.2f}"])
    return _table(head, rows)


def _rates(report: Report) -> list[float]:
    return sorted({entry.rate for system in report.systems for entry in system.at if entry.rate}, reverse=True)


def _entry(system: SystemReport, rate: float) -> AtRate | None:
    return next((entry for entry in system.at if entry.rate == rate), None)


def _cell(entry: AtRate | None, edit: str) -> str:
    return "-" if entry is None else f"{entry.by_edit[edit]:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
