"""The closing table of `afterimage rehearse`, for whoever has to decide something on it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from service.cli.output import answers, printable
from service.rehearsal.plot import NAMES
from service.rehearsal.scoring import SOON_MINUTES, Outcome, quantile

_MOST_MISSED = 12


def show(outcome: Outcome, seed: int, plot: Path) -> None:
    """What was caught, what was left alone, and how fast; then what happened when."""
    console = answers()
    total, caught = len(outcome.fates), len(outcome.caught)
    console.print(
        f"\nOf {total} versions of the footage [bold green]{caught} ({_share(caught, total)})[/] were caught, by PDQ "
        f"alone it would have been [bold]{outcome.by_pdq} ({_share(outcome.by_pdq, total)})[/].\n",
        soft_wrap=True,
    )
    console.print(_versions(outcome))
    console.print()
    console.print(_others(outcome))
    _tell(console, outcome)
    console.print(f"\nThe same as a picture: [bold]{escape(str(plot))}[/]  [dim](seed {seed})[/]", soft_wrap=True)


def _versions(outcome: Outcome) -> Table:
    total = len(outcome.fates)
    table = Table(title="Versions of the footage", title_style="bold", title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column("uploaded", justify="right")
    table.add_column("caught", justify="right", style="green")
    table.add_column("PDQ alone", justify="right")
    caught, pdq = len(outcome.caught), outcome.by_pdq
    table.add_row("[bold]all[/]", f"[bold]{total}[/]", _of(caught, total, "bold"), _of(pdq, total, "bold"))
    table.add_section()
    for grade, (count, found, by_pdq) in outcome.grades().items():
        if count:
            table.add_row(grade.said, str(count), _of(found, count), _of(by_pdq, count))
    table.add_section()
    for platform in outcome.log.platforms:
        fates = [fate for fate in outcome.fates if fate.upload.platform == platform]
        found = sum(fate.catch is not None for fate in fates)
        by_pdq = sum(fate.pdq_minute is not None for fate in fates)
        table.add_row(f"on {platform}", str(len(fates)), _of(found, len(fates)), _of(by_pdq, len(fates)))
    table.add_section()
    for means, count in outcome.by_means.items():
        by_pdq_later = outcome.by_pdq_later - pdq
        beside = {"match": str(pdq), "retro_scan": f"({by_pdq_later})"}.get(means.value, "")
        table.add_row(NAMES[means], "", str(count), beside)
    table.add_row("never", "", Text(str(len(outcome.missed)), style="red" if outcome.missed else ""), str(total - pdq))
    table.caption = (
        "PDQ alone: distance 31 or less to anything that was banked by then, all of which it is given, also what only "
        f"Afterimage discovered; given the reports alone it is {outcome.by_pdq_of_reports}. In brackets: what it would "
        "add if it, too, looked back."
    )
    table.caption_justify = "left"
    return table


def _others(outcome: Outcome) -> Table:
    table = Table(show_header=False, title="In time, and no more than that", title_style="bold", title_justify="left")
    table.add_column("")
    table.add_column("")
    median, p90 = (quantile(outcome.delays, share) for share in (0.5, 0.9))
    total = len(outcome.fates)
    later = outcome.delays_of_later
    table.add_row(
        "minutes from upload to catch",
        f"median {_number(median)}, nine of ten of those caught within {_number(p90)}; "
        f"{_share(outcome.within(SOON_MINUTES), total)} of all versions within {SOON_MINUTES:.0f}",
    )
    table.add_row("those not caught at upload", f"median {_number(quantile(later, 0.5))}, {len(later)} of them")
    news, troll, benign = outcome.news, outcome.troll, outcome.benign
    table.add_row(
        "news broadcasts",
        _judged(
            f"{news.blocked} of {news.uploads} blocked; {news.capped} held at review out of public interest, "
            f"{news.uploads - news.stopped} left alone",
            well=outcome.news_stands,
        ),
    )
    table.add_row(
        "fake news of the troll",
        _judged(
            f"{troll.capped} of {troll.uploads} let through as news; {troll.blocked} blocked, "
            f"{troll.stopped - troll.blocked} for review",
            well=outcome.troll_is_no_news,
        ),
    )
    versions = outcome.versions
    table.add_row("other versions held as news", f"{versions.capped} of {versions.uploads}, at review")
    table.add_row(
        "false alarms",
        _judged(
            f"{outcome.false_alarms} of {benign.uploads} everyday uploads ({benign.stopped} at upload, "
            f"{outcome.benign_pulled} looking back)",
            well=not outcome.false_alarms,
        ),
    )
    table.add_row("looked at in vain", f"{outcome.log.looked_in_vain} times, of what it showed as spreading or similar")
    banked = Counter(each.why for each in outcome.log.banked)
    words = {"report": "reported", "variant": "discovered as variants", "emerging_cluster": "discovered as clusters"}
    table.add_row("banked", ", ".join(f"{count} {words.get(why, why)}" for why, count in banked.items()) or "nothing")
    if outcome.log.report is not None:
        table.add_row("the service's own report", _reported(outcome.log.report))
    table.add_row("told at once", _delays(outcome))
    took = [seen.took_s for seen in outcome.log.seen]
    table.add_row("answered", f"median {_ms(quantile(took, 0.5))}, p99 {_ms(quantile(took, 0.99))} an upload, recorded")
    return table


def _tell(console: Console, outcome: Outcome) -> None:
    if outcome.log.milestones:
        console.print()
        for milestone in sorted(outcome.log.milestones, key=lambda each: each.minute):
            hours, rest = divmod(round(milestone.minute), 60)
            console.print(f"  [dim]{hours}:{rest:02}[/]  {milestone.says}")
    if outcome.missed:
        console.print("\n[bold]Never caught[/]")
        for fate in outcome.missed[:_MOST_MISSED]:
            upload = fate.upload
            made = " → ".join(upload.edits) or "as it was"
            console.print(f"  {upload.upload_id} on {upload.platform}: {made}", markup=False)
        if len(outcome.missed) > _MOST_MISSED:
            console.print(f"  and {len(outcome.missed) - _MOST_MISSED} more; --json has them all")
    for remark in outcome.log.remarks:
        console.print(f"[bold red]![/] {escape(printable(remark))}", soft_wrap=True)


def _reported(report: Mapping[str, Any]) -> str:
    uploads, means = report["uploads"], report["uploads"]["by_means"]
    found = ", ".join(f"{count} by {name.replace('_', ' ')}" for name, count in means.items())
    return (
        f"{uploads['total']} matching uploads, news and what is only related as well: {found or 'none'}; "
        f"{report['public_interest']['capped']} capped"
    )


def _delays(outcome: Outcome) -> str:
    delays = outcome.log.delays_s
    if not delays:
        return "not measured: the service's clock is not this machine's"
    return (
        f"{len(delays)} events; median {_ms(quantile(delays, 0.5))}, p99 {_ms(quantile(delays, 0.99))} to a subscriber"
    )


def _of(part: int, whole: int, style: str = "") -> Text:
    return Text(f"{part}  {_share(part, whole):>5}", style=style)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _judged(says: str, *, well: bool) -> Text:
    return Text(says, style="green" if well else "bold red")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f}"


def _ms(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds * 1000:.0f} ms"
