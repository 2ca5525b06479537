"""The drawings of a report over time: net with its band, how many texts there were, and shifts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, tzinfo

from model.shares import words
from model.shares.estimates import Estimate, Shares
from model.shares.shift import Shift
from webapp.report.buckets import SIZES, edges
from webapp.report.charts import steps
from webapp.report.says import clock, shift_sentence, shown
from webapp.report.svg import Drawing, Point

_ENOUGH = 20
"""Buckets with fewer texts, and fewer than half of the others have, do not set the scale: their bands reach from end to
end.
"""
_TICKS = 9
_TICKS_NARROW = 4
_MOST_SHIFTS = 10
"""The largest are drawn."""
_MOST_SPOKEN = 3
"""Shifts that have their words in a drawing; more would cover it."""
_LETTER = 7.2
"""The width of a letter of these words, rather more than less."""
_ROW = 18.0
"""From one row of them to the next."""
NET = ("net",)
CLASSES = ("negative", "neutral", "positive")
LEFT, RIGHT = 40.0, 8.0
"""What a panel leaves free beside the drawn time, in the units of its width."""
WIDE, NARROW = (760.0, 220.0), (372.0, 176.0)
Scale = Callable[[float], float]


class Axes:
    """The scales that all panels of a report share, and what they draw."""

    def __init__(
        self,
        borders: Sequence[float],
        zone: tzinfo,
        rows: Sequence[Sequence[Shares]],
        measures: Sequence[str] = NET,
    ) -> None:
        """`borders`: where buckets begin, and the end of the last; `rows`: the shares of each panel's buckets;
        `measures`: net, or shares.
        """
        self.borders, self.zone, self.measures = borders, zone, measures
        self.of_net = tuple(measures) == NET
        self.low, self.high = _reach([one for row in rows for one in row], measures)
        self.ticks = list(_ticks(borders[0], borders[-1], zone))

    def value(self, value: float) -> str:
        """A value of the vertical scale in words."""
        return words.signed(value) if self.of_net else words.percent(value)

    def said(self, given: Shares) -> str:
        """What a bucket shows, in words."""
        texts = f"{given.texts:,} {'text' if given.texts == 1 else 'texts'}"
        if not given.texts:
            return "no texts"
        if self.of_net:
            return f"net {words.net(given.net)}, {texts}"
        shares = ", ".join(f"{words.share(getattr(given, kind))} {kind}" for kind in self.measures)
        return f"{shares}, {texts}"


def _reach(shares: Sequence[Shares], measures: Sequence[str]) -> tuple[float, float]:
    some = sorted(one.texts for one in shares if one.texts)
    least = min(_ENOUGH, some[len(some) // 2]) if some else 0
    enough = [one for one in shares if one.texts >= least]
    found = [getattr(one, measure) for one in enough for measure in measures]
    ends = [end for one in found for end in (one.low, one.estimate, one.high) if end is not None]
    lowest = -1.0 if tuple(measures) == NET else 0.0
    low, high = (min(ends), max(ends)) if ends else (lowest, 1.0)
    edge = max((high - low) * 0.06, 0.05)
    return max(low - edge, lowest), min(high + edge, 1.0)


def _ticks(first: float, last: float, zone: tzinfo) -> Iterator[tuple[float, str]]:
    size = next((name for name, seconds in SIZES.items() if (last - first) / seconds <= _TICKS), "1mo")
    found = [at for at in edges(first, last, size, zone) if first <= at <= last]
    every = -(-len(found) // _TICKS) or 1
    for at in found[::every]:
        when = datetime.fromtimestamp(at, zone)
        if size == "1mo":
            yield at, f"{when:%b %Y}"
        elif SIZES[size] >= SIZES["1d"] or (when.hour, when.minute) == (0, 0):
            yield at, f"{when.day} {when:%b}"
        else:
            yield at, f"{when:%H:%M}"


def panel(
    name: str,
    label: str,
    series: Sequence[Shares],
    shifts: Sequence[Shift],
    axes: Axes,
    *,
    wide: bool = False,
    marks: Sequence[str] = (),
    dots: bool = True,
) -> str:
    """Net, or shares, over time of one segment.

    Args:
        name: what the drawing's parts are called by in the page.
        label: the segment's name.
        series: the shares of each bucket.
        shifts: those that were found.
        axes: the scales.
        wide: whether it has the width of the page, not half of it.
        marks: the words at each shift, in the order of `shifts`; none: its size.
        dots: whether each bucket has a dot that tells its figures where a pointer rests on it.
    """
    width, height = WIDE if wide else NARROW
    left, right, top, bottom = LEFT, width - RIGHT, 12.0, height - 50
    start, end = axes.borders[0], axes.borders[-1]

    def x(at: float) -> float:
        return left + (at - start) / (end - start) * (right - left)

    def y(value: float) -> float:
        return bottom - (value - axes.low) / (axes.high - axes.low) * (bottom - top)

    said = dict(zip(shifts, marks, strict=False))
    shifts = sorted(sorted(shifts, key=lambda one: -abs(one.size))[:_MOST_SHIFTS], key=lambda one: one.when)
    told = " ".join(shift_sentence(label, shift, axes.zone) for shift in shifts)
    what = "Net sentiment" if axes.of_net else "Shares of negative, neutral and positive texts"
    drawing = Drawing(name, width, height, f"{what} of {shown(label)} over time", told or "No shift was found.")
    for value in steps(axes.low, axes.high, 4 if not wide else 5):
        drawing.line("zero" if value == 0 else "grid", (left, y(value)), (right, y(value)))
        drawing.text("tick", (left - 6, y(value) + 3.5), axes.value(value), anchor="end")
    for tick, when in axes.ticks[:: 1 if wide else -(-len(axes.ticks) // _TICKS_NARROW) or 1]:
        drawing.line("grid", (x(tick), top), (x(tick), height - 16))
        drawing.text("tick", (min(max(x(tick), left + 12), right - 14), height - 4), when, anchor="middle")
    _volume(drawing, series, axes, x, height - 18)
    drawing.begin_within(left, top, right - left, bottom - top)
    for run in _runs(series):
        for measure in axes.measures:
            _band(drawing, run, series, axes, measure, x, y, dots=dots)
    for shift in shifts:
        drawing.rectangle("shift-range", x(shift.earliest), top, x(shift.latest) - x(shift.earliest), bottom - top)
        drawing.line("shift", (x(shift.when), top), (x(shift.when), bottom))
    drawing.end_within()
    spoken = wide and len(shifts) <= _MOST_SPOKEN
    marked = [(x(shift.when), (said.get(shift, "") if spoken else "") or words.signed(shift.size)) for shift in shifts]
    _name(drawing, marked, left, right, top + 9)
    return str(drawing)


def _name(drawing: Drawing, marked: Sequence[tuple[float, str]], left: float, right: float, top: float) -> None:
    """Puts words beside the lines of shifts, on the side with more room, each in the first row where nothing stands."""
    taken: list[list[tuple[float, float]]] = []
    for at, told in marked:
        long = _LETTER * len(told) + 5
        far = at + long > right if at - long < left else at > (left + right) / 2
        begin, end = (at - long, at) if far else (at, at + long)
        row = next(
            (n for n, spans in enumerate(taken) if all(end < one or other < begin for one, other in spans)), len(taken)
        )
        if row == len(taken):
            taken.append([])
        taken[row].append((begin, end))
        where = (at - 5 if far else at + 5, top + _ROW * row)
        drawing.text("shift-name", where, told, anchor="end" if far else "start")


def _runs(series: Sequence[Shares]) -> Iterator[range]:
    """The buckets with texts, those that follow each other together."""
    begin: int | None = None
    for place, one in enumerate(series):
        if one.texts and begin is None:
            begin = place
        if not one.texts and begin is not None:
            yield range(begin, place)
            begin = None
    if begin is not None:
        yield range(begin, len(series))


def _band(
    drawing: Drawing, run: range, series: Sequence[Shares], axes: Axes, measure: str, x: Scale, y: Scale, *, dots: bool
) -> None:
    """Each bucket's interval as a step, and the estimates as a line through the buckets' middles."""
    of = "" if axes.of_net else f" of-{measure}"
    over: list[Point] = []
    under: list[Point] = []
    middle: list[Point] = []
    for place in run:
        given: Estimate = getattr(series[place], measure)
        begin, end = axes.borders[place : place + 2]
        low = given.estimate if given.low is None else given.low
        high = given.estimate if given.high is None else given.high
        over += [(x(begin), y(high)), (x(end), y(high))]
        under += [(x(begin), y(low)), (x(end), y(low))]
        middle.append((x((begin + end) / 2), y(given.estimate)))
    drawing.path(f"band{of}", [*over, *reversed(under)], closed=True)
    if len(middle) > 1:
        drawing.path(f"course{of}", middle)
    radius = 2.2 if dots and len(series) <= 80 else 0.0
    for place, at in zip(run, middle, strict=True):
        if radius or len(middle) == 1:
            says = f"{clock(axes.borders[place], axes.zone)}: {axes.said(series[place])}"
            drawing.dot(f"course-dot{of}", at, radius or 1.5, says)


def _volume(drawing: Drawing, series: Sequence[Shares], axes: Axes, x: Scale, base: float) -> None:
    """How many texts each bucket has, as small bars."""
    most = max((one.texts for one in series), default=0) or 1
    for one, begin, end in zip(series, axes.borders, axes.borders[1:], strict=False):
        if one.texts:
            tall = max(22 * one.texts / most, 0.6)
            drawing.rectangle("volume", x(begin) + 0.4, base - tall, x(end) - x(begin) - 0.8, tall)
