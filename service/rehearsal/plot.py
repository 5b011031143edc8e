"""
The rehearsal on one sheet: above, what was uploaded where and when it was caught; below, what that adds up to.

Both share the hours. A dot is an upload of the footage, its colour how it was found, the line behind it how long that
took; what nobody found is a red ring. The area below grows with what is caught, in the same colours, beneath the line
of what was uploaded; what PDQ alone would have caught is the broken line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.rehearsal.canvas import Canvas, Colour, Point
from service.rehearsal.records import Means
from service.rehearsal.scoring import SOON_MINUTES, Fate, Outcome, quantile
from service.rehearsal.script import Kind

_WIDTH = 1680
_LEFT, _RIGHT = 150, 1480
_HEAD = 232
_LANE, _LANE_ROWS = 124, 7
_CURVES = 360
_FOOT = 56
_DOT, _DOT_ROOM = 6.8, 14.5
_FROM_THE_MIDDLE = (3, 2, 4, 1, 5, 0, 6)
"""Rows of a lane, in the order they are filled."""

_PAPER, _INK, _QUIET, _FAINT = (251, 250, 247), (26, 27, 32), (122, 121, 117), (229, 227, 221)
_GREEN, _BLUE, _VIOLET, _AMBER, _RED = (22, 138, 92), (45, 108, 214), (135, 80, 200), (222, 146, 24), (204, 48, 48)
_PDQ = (70, 72, 80)
_COLOURS = {
    Means.MATCH: _GREEN,
    Means.RETRO_SCAN: _BLUE,
    Means.VARIANT: _VIOLET,
    Means.EMERGING_CLUSTER: _AMBER,
}
NAMES = {
    Means.MATCH: "matched at upload",
    Means.RETRO_SCAN: "found looking back",
    Means.VARIANT: "discovered as a variant",
    Means.EMERGING_CLUSTER: "discovered as an unknown cluster",
}


def write_plot(outcome: Outcome, title: str, path: Path) -> None:
    """Draws it and writes it, in the format that the path's ending names."""
    _Sheet(outcome, title).write(path)


@dataclass(frozen=True, slots=True)
class _Place:
    """An upload's row in the lane of its platform."""

    fate: Fate
    row: int


class _Sheet:
    def __init__(self, outcome: Outcome, title: str) -> None:
        self._outcome = outcome
        self._title = title
        self._lanes_top = _HEAD + 66
        self._lanes_end = self._lanes_top + _LANE * len(outcome.log.platforms)
        self._curves_top = self._lanes_end + 62
        self._curves_end = self._curves_top + _CURVES
        self._canvas = Canvas(_WIDTH, self._curves_end + _FOOT, _PAPER)

    def write(self, path: Path) -> None:
        self._headline()
        self._hours()
        self._milestones()
        for place, platform in enumerate(self._outcome.log.platforms):
            self._lane(platform, self._lanes_top + place * _LANE)
        self._curves()
        self._canvas.save(path)

    def _x(self, minute: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * min(max(minute / self._outcome.log.minutes, 0.0), 1.0)

    def _headline(self) -> None:
        canvas, outcome = self._canvas, self._outcome
        canvas.text((_LEFT, 62), self._title, size=33, colour=_INK, bold=True)
        left = float(_LEFT)
        total = len(outcome.fates)
        for figure, says, colour in (
            (_percent(len(outcome.caught), total), "of versions caught", _GREEN),
            (_percent(outcome.by_pdq, total), "by PDQ alone", _PDQ),
            (_minutes(quantile(outcome.delays, 0.5)), f"median to catch ({_p90(outcome)})", _INK),
            (
                f"{outcome.news.blocked} of {outcome.news.uploads}",
                "news broadcasts blocked",
                _bad(outcome.news.blocked),
            ),
            (f"{outcome.troll.capped} of {outcome.troll.uploads}", "fake news let through", _bad(outcome.troll.capped)),
            (f"{outcome.false_alarms} of {outcome.benign.uploads}", "false alarms", _bad(outcome.false_alarms)),
        ):
            wide = canvas.text((left, 142), figure, size=50, colour=colour, bold=True)
            canvas.text((left, 172), says, size=17, colour=_QUIET)
            left += max(wide, canvas.text_width(says, 17)) + 46
        self._legend(_HEAD - 18)

    def _legend(self, y: float) -> None:
        canvas, left = self._canvas, float(_LEFT)
        for means, count in self._outcome.by_means.items():
            canvas.dot((left + 7, y - 6), 7, _COLOURS[means])
            left += 21 + canvas.text((left + 21, y), f"{NAMES[means]}: {count}", size=17, colour=_INK) + 28
        canvas.ring((left + 7, y - 6), 6.5, _RED, 2.4, _PAPER)
        left += 21 + canvas.text((left + 21, y), f"never: {len(self._outcome.missed)}", size=17, colour=_INK) + 28
        self._square((left + 7, y - 6), _QUIET)
        left += 21 + canvas.text((left + 21, y), "news, left standing", size=17, colour=_INK) + 28
        canvas.line([(left + 7, y - 12), (left + 7, y)], _QUIET, 2)
        canvas.text((left + 17, y), "everyday upload", size=17, colour=_INK)

    def _hours(self) -> None:
        canvas, minutes = self._canvas, self._outcome.log.minutes
        step = next(step for step in (1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440, 10**6) if minutes / step <= 13)  # noqa: PLR2004
        minute = 0
        while minute <= minutes + 1e-6:
            x = self._x(minute)
            canvas.line([(x, self._lanes_top), (x, self._lanes_end)], _FAINT)
            canvas.line([(x, self._curves_top), (x, self._curves_end)], _FAINT)
            hours, rest = divmod(minute, 60)
            says = f"{hours}:{rest:02} h"
            canvas.text((x, self._curves_end + 26), says, size=16, colour=_QUIET, anchor="ms")
            minute += step

    def _milestones(self) -> None:
        """Vertical lines through both parts; their words stand where there is room."""
        canvas, ends, words = self._canvas, [-1e9] * 3, []
        for milestone in sorted(self._outcome.log.milestones, key=lambda each: each.minute):
            x, wide = self._x(milestone.minute), canvas.text_width(milestone.says, 15)
            left = min(x, _RIGHT - wide)
            row = next((row for row, end in enumerate(ends) if left > end), len(ends) - 1)
            ends[row] = left + wide + 14
            y = self._lanes_top - 9 - 20 * row
            canvas.line([(x, y + 4), (x, self._curves_end)], _QUIET, 1.1, 0.7)
            words.append((milestone.says, (left, y), wide))
        for says, (left, y), wide in words:
            canvas.box((left - 3, y - 14), (wide + 6, 19), _PAPER)
            canvas.text((left, y), says, size=15, colour=_INK)

    def _lane(self, platform: str, top: float) -> None:
        canvas = self._canvas
        canvas.line([(_LEFT, top + _LANE), (_RIGHT, top + _LANE)], _FAINT, 1.5)
        canvas.text((_LEFT - 20, top + _LANE / 2 - 4), platform, size=21, colour=_INK, anchor="rs", bold=True)
        fates = [fate for fate in self._outcome.fates if fate.upload.platform == platform]
        caught = sum(fate.catch is not None for fate in fates)
        says = f"{caught} of {len(fates)}"
        canvas.text((_LEFT - 20, top + _LANE / 2 + 19), says, size=16, colour=_QUIET, anchor="rs")
        self._others(platform, top)
        height = (_LANE - 44) / (_LANE_ROWS - 1)
        places = _spread(fates, self._x)
        for draw in (self._tail, self._dot):
            for place in places:
                draw(place.fate, top + 12 + _FROM_THE_MIDDLE[place.row] * height)

    def _others(self, platform: str, top: float) -> None:
        """Everyday uploads as ticks on the ground of the lane, red where one was taken for footage; news as squares."""
        for seen in self._outcome.log.seen:
            if seen.upload.platform != platform:
                continue
            x, ground = self._x(seen.upload.minute), top + _LANE
            if seen.upload.kind is Kind.BENIGN:
                wrong = seen.stopped
                tall, width = (18, 2.4) if wrong else (8, 1.6)
                self._canvas.line([(x, ground - tall), (x, ground)], _RED if wrong else (184, 182, 176), width)
            elif seen.upload.kind is Kind.NEWS:
                self._square((x, ground - 15), _RED if seen.action == "block" else _QUIET)

    def _square(self, middle: Point, colour: Colour) -> None:
        x, y = middle
        self._canvas.box((x - 7, y - 5), (14, 10), colour, radius=2)
        self._canvas.box((x - 4.5, y - 2.8), (9, 5.6), _PAPER)

    def _tail(self, fate: Fate, y: float) -> None:
        if fate.catch is not None and fate.catch.means is not Means.MATCH:
            start, end = self._x(fate.upload.minute), self._x(fate.catch.minute)
            self._canvas.line([(start, y), (end, y)], _COLOURS[fate.catch.means], 2.2, 0.55)
            self._canvas.line([(end, y - 4), (end, y + 4)], _COLOURS[fate.catch.means], 2)

    def _dot(self, fate: Fate, y: float) -> None:
        x = self._x(fate.upload.minute)
        if fate.catch is None:
            self._canvas.ring((x, y), _DOT, _RED, 2.6, _PAPER)
        else:
            self._canvas.dot((x, y), _DOT, _COLOURS[fate.catch.means], _PAPER)

    def _curves(self) -> None:
        outcome, canvas = self._outcome, self._canvas
        total = max(len(outcome.fates), 1)
        for share in (0, 25, 50, 75, 100):
            y = self._y(total * share / 100)
            canvas.line([(_LEFT, y), (_RIGHT, y)], _FAINT)
            canvas.text((_LEFT - 20, y + 6), f"{share} %", size=16, colour=_QUIET, anchor="rs")
        below: list[float] = []
        for means in Means:
            own = [fate.catch.minute for fate in outcome.fates if fate.catch is not None and fate.catch.means is means]
            self._layer(below, sorted([*below, *own]), _COLOURS[means])
            below = sorted([*below, *own])
        uploads = [fate.upload.minute for fate in outcome.fates]
        canvas.line(self._steps(uploads), _INK, 1.6)
        canvas.line(self._steps(below), _GREEN, 3.4)
        by_pdq = [fate.pdq_minute for fate in outcome.fates if fate.pdq_minute is not None]
        canvas.dashes(self._steps(by_pdq), _PAPER, 6.0, dash=1e9)
        canvas.dashes(self._steps(by_pdq), _PDQ, 3.2)
        self._ends(len(uploads), len(below), len(by_pdq))

    def _ends(self, uploads: int, caught: int, by_pdq: int) -> None:
        """What each curve is, beside its end; where ends lie close together, their words make room."""
        last = -1e9
        for count, says, colour in (
            (uploads, "uploaded", _INK),
            (caught, "caught", _GREEN),
            (by_pdq, "PDQ alone", _PDQ),
        ):
            y = max(self._y(count) + 7, last + 25)
            last = y
            wide = self._canvas.text((_RIGHT + 14, y), str(count), size=22, colour=colour, bold=True)
            self._canvas.text((_RIGHT + 20 + wide, y), says, size=18, colour=colour)

    def _y(self, count: float) -> float:
        return self._curves_end - _CURVES * count / max(len(self._outcome.fates), 1)

    def _steps(self, minutes: Sequence[float]) -> list[Point]:
        """How many there were until when, as a line."""
        points = [(float(_LEFT), self._y(0))]
        for count, minute in enumerate(sorted(minutes)):
            points += [(self._x(minute), self._y(count)), (self._x(minute), self._y(count + 1))]
        return [*points, (float(_RIGHT), self._y(len(minutes)))]

    def _layer(self, lower: Sequence[float], upper: Sequence[float], colour: Colour) -> None:
        if len(upper) > len(lower):
            self._canvas.area([*self._steps(upper), *reversed(self._steps(lower))], colour, 0.36)


def _spread(fates: Sequence[Fate], x: Callable[[float], float]) -> list[_Place]:
    """Each upload in the first row that is free from where it is to where it was caught, or free the soonest."""
    ends = [-1e9] * _LANE_ROWS
    places = []
    for fate in sorted(fates, key=lambda fate: fate.upload.minute):
        start = x(fate.upload.minute)
        row = next((row for row, end in enumerate(ends) if end <= start), ends.index(min(ends)))
        ends[row] = max(start, x(fate.catch.minute) if fate.catch is not None else start) + _DOT_ROOM
        places.append(_Place(fate, row))
    return places


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}".replace("%", " %") if whole else "none"


def _minutes(minutes: float | None) -> str:
    if minutes is None:
        return "never"
    return f"{minutes:.0f} min" if minutes >= 1 or minutes == 0 else "< 1 min"


def _p90(outcome: Outcome) -> str:
    return f"p90 {_minutes(quantile(outcome.delays, 0.9))}; {outcome.within(SOON_MINUTES)} within {SOON_MINUTES:.0f}"


def _bad(count: int) -> Colour:
    return _RED if count else _GREEN
