"""Incidents as the terminal shows them."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from service.cli.output import printable

Json = dict[str, Any]


def decisions_of(incident: Json) -> Table:
    """What it is, and who decided what."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    protocol = incident["protocol"]
    rules = " · ".join(f"{band}: {protocol[band]}" for band in ("exact", "variant", "related"))
    rows = [
        ("incident", incident["incident_id"]),
        ("name", incident["name"]),
        ("type", incident["type"]),
        ("state", incident["state"] + (" (shadow)" if incident["shadow"] else "")),
        ("next", " ".join(incident["next_states"]) or "nothing"),
        ("banks", " ".join(incident["banks"]) or "none"),
        ("participants", " ".join(incident["participants"]) or "everyone"),
        ("protocol", rules),
        *((f"criterion {each['name']}", _criterion(each)) for each in incident["criteria"]),
        *(
            (minute(each["at"]), f"{each['participant'] or 'somebody'} confirms: {each['reason']}")
            for each in incident["confirmations"]
        ),
        *(
            (minute(each["at"]), f"{each['to_state']}, by {each['participant'] or 'somebody'}: {each['reason']}")
            for each in incident["transitions"]
        ),
    ]
    for label, text in rows:
        table.add_row(Text(printable(label)), Text(printable(text)))
    return table


def figures_of(report: Json) -> Table:
    """The figures of its report."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for label, text in _figures(report):
        table.add_row(label, Text(text))
    return table


def _criterion(criterion: Json) -> str:
    said = {True: "met", False: "not met", None: "nobody has said"}[criterion["met"]]
    needed = "" if criterion["required"] else " (not required)"
    return f"{said}{needed} {criterion['evidence']}".rstrip()


def _figures(report: Json) -> list[tuple[str, str]]:
    times, uploads, feedback, banked = report["times"], report["uploads"], report["feedback"], report["banked"]
    rate = feedback["false_alarm_rate"]
    return [
        ("incident", f"{printable(report['name'])} ({report['type']}), {report['state']}"),
        ("opened to confirmed", _duration(times["opened_to_confirmed_s"])),
        ("confirmed to first match", _duration(times["confirmed_to_first_match_s"])),
        ("confirmed by", ", ".join(report["confirmed_by"]) or "nobody"),
        (
            "banked",
            f"{banked['items']} items, {banked['public_interest_items']} of public interest",
        ),
        ("matched items", str(banked["matched_items"])),
        ("uploads", f"{uploads['total']} on {report['platforms']} platforms"),
        ("  by platform", _counts(uploads["by_platform"])),
        ("  by band", _counts(uploads["by_band"])),
        ("  suggested", _counts(uploads["by_action"])),
        ("  found by", _counts(uploads["by_means"])),
        ("capped, public interest", str(report["public_interest"]["capped"])),
        ("in shadow", f"{report['shadow']['uploads']} uploads: {_counts(report['shadow']['by_action'])}"),
        ("feedback", _counts({name: feedback[name] for name in ("positive", "negative", "disputed", "investigate")})),
        ("false alarms", "nobody said" if rate is None else f"{rate:.2%}"),
        ("quarantined items", str(banked["quarantined_items"])),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{printable(name)} {count}" for name, count in counts.items()) or "none"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not yet"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes


def minute(at: str) -> str:
    """An instant, to the minute."""
    return at[:16].replace("T", " ")
