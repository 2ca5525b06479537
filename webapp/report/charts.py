"""The drawings of a report: shares by segment, and differences as a forest plot."""

from __future__ import annotations

from collections.abc import Sequence

from model.shares import words
from model.shares.estimates import Estimate, Shares, Verdict
from webapp.reading.names import cropped
from webapp.report.figures import Pair, Segment
from webapp.report.says import shown
from webapp.report.svg import Drawing

WIDTH, NARROW = 760.0, 372.0
"""As wide as a page, or as a phone: there names stand above what is drawn."""
_NAME_WIDTH = 150.0
_NAME = 20
"""Characters of a name beside a drawing."""
_CLASSES = ("negative", "neutral", "positive")
_LETTER = 6.8
"""The width of a letter of a figure, rather more than less."""
_ROW = 38.0
_SHARES = ((0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %"))


def short(name: str, length: int = _NAME) -> str:
    """A name as it fits beside a drawing."""
    return cropped(shown(name), length)


def shares_chart(segments: Sequence[Segment], *, narrow: bool = False) -> str:
    """Stacked shares, a row for each segment, with the intervals of the negative and the positive share."""
    whole, above = (NARROW, 20.0) if narrow else (WIDTH, 0.0)
    beside = _room([words.net(one.shares.net) for one in segments], 120.0)
    left, right, top = (0.0, whole, 26.0) if narrow else (_NAME_WIDTH + 10, whole - beside, 26.0)
    width, row = right - left, _ROW + above
    height = top + row * len(segments) + 6
    drawing = Drawing(
        "shares-n" if narrow else "shares",
        whole,
        height,
        "Shares of negative, neutral and positive texts by segment",
        "; ".join(f"{shown(one.name) or 'all texts'}: {_said(one.shares)}" for one in segments),
    )
    for share, label in _SHARES:
        x = left + share * width
        drawing.line("grid", (x, top - 6), (x, height - 4))
        anchor = "middle" if not narrow or 0 < share < 1 else "end" if share else "start"
        drawing.text("tick", (x, top - 12), label, anchor=anchor)
    if not narrow:
        drawing.text("tick", (whole, top - 12), "net, in points", anchor="end")
    for place, one in enumerate(segments):
        y = top + place * row + above
        name = one.name or "All texts"
        if narrow:
            drawing.text("name", (0, y - 2), short(name), full=shown(name))
            drawing.text("figure", (whole, y - 2), f"net {words.net(one.shares.net)}", anchor="end")
        else:
            drawing.text("name", (_NAME_WIDTH, y + 19), short(name), anchor="end", full=shown(name))
            drawing.text("figure", (whole, y + 19), words.net(one.shares.net), anchor="end")
        x = left
        for kind in _CLASSES:
            given: Estimate = getattr(one.shares, kind)
            part = max(given.estimate, 0.0) * width
            drawing.rectangle(kind, x, y + 4, part, 20, f"{shown(name)}: {words.share(given)} {kind}")
            if part > 34:
                drawing.text(f"on-{kind}", (x + part / 2, y + 18.5), words.percent(given.estimate), anchor="middle")
            x += part
        # One below the other: where there are few texts, they overlap.
        _whisker(drawing, "negative", one.shares.negative, left, width, y + 27.5)
        _whisker(drawing, "positive", one.shares.positive, right, -width, y + 32.5)
    return str(drawing)


def _room(figures: Sequence[str], least: float) -> float:
    """The width of the figures on the right of a drawing."""
    return max(least, 12 + _LETTER * max(map(len, figures), default=0))


def _said(given: Shares) -> str:
    return ", ".join(f"{words.share(getattr(given, kind))} {kind}" for kind in _CLASSES)


def _whisker(drawing: Drawing, kind: str, given: Estimate, start: float, width: float, y: float) -> None:
    """The interval of a share that is drawn from `start`, below its bar."""
    if given.low is None or given.high is None or given.low == given.high:
        return
    low, high = start + given.low * width, start + given.high * width
    drawing.line(f"whisker of-{kind}", (low, y), (high, y))
    for x in (low, high):
        drawing.line(f"whisker of-{kind}", (x, y - 2), (x, y + 2))


def forest_chart(pairs: Sequence[Pair], *, narrow: bool = False) -> str:
    """Differences of net with their intervals; who is surely ahead has a filled colour."""
    whole, above = (NARROW, 18.0) if narrow else (WIDTH, 0.0)
    beside = _room([words.net(pair.comparison.net) for pair in pairs], 130.0)
    left, right, top = (10.0, whole - 10, 26.0) if narrow else (290.0, whole - beside, 26.0)
    row = 28 + above
    height = top + row * len(pairs) + 8
    low, high = _reach(pairs)
    scale = (right - left) / (high - low)

    def x(value: float) -> float:
        return left + (value - low) * scale

    drawing = Drawing(
        "forest-n" if narrow else "forest",
        whole,
        height,
        "Differences of net sentiment with their intervals",
        "; ".join(f"{_of(pair)}: {words.net(pair.comparison.net)}, {pair.comparison.net.verdict}" for pair in pairs),
    )
    for value in steps(low, high, 6):
        drawing.line("zero" if value == 0 else "grid", (x(value), top - 6), (x(value), height - 4))
        drawing.text("tick", (x(value), top - 12), words.signed(value), anchor="middle")
    if not narrow:
        drawing.text("tick", (whole, top - 12), "difference, in points", anchor="end")
    for place, pair in enumerate(pairs):
        y = top + row * place + 13 + above
        given = pair.comparison.net
        kind = "open" if given.verdict is Verdict.OPEN or given.low is None else "sure"
        label = f"{short(pair.first, 18)} – {'all others' if pair.second is None else short(pair.second, 18)}"
        at, anchor = ((0.0, y - 12), "start") if narrow else ((left - 14, y + 4), "end")
        drawing.text("name", at, label, anchor=anchor, full=_of(pair))
        if given.low is not None and given.high is not None:
            drawing.line(f"range {kind}", (x(given.low), y), (x(given.high), y))
        drawing.dot(f"dot {kind}", (x(given.estimate), y), 4.5, f"{_of(pair)}: {words.net(given)}")
        drawing.text("figure", (whole, y - 12 if narrow else y + 4), words.net(given), anchor="end")
    return str(drawing)


def _of(pair: Pair) -> str:
    return f"{shown(pair.first)} less {'all others' if pair.second is None else shown(pair.second)}"


def _reach(pairs: Sequence[Pair]) -> tuple[float, float]:
    ends = [0.0]
    for pair in pairs:
        given = pair.comparison.net
        ends += [end for end in (given.low, given.estimate, given.high) if end is not None]
    low, high = min(ends), max(ends)
    edge = max((high - low) * 0.04, 0.01)
    return low - edge, high + edge


def by_width(wide: str, narrow: str) -> str:
    """A drawing for a desk and one for a phone, of which the page shows one."""
    return f'<div class="at-desk">{wide}</div><div class="at-phone">{narrow}</div>'


def steps(low: float, high: float, most: int) -> list[float]:
    """Round values from low to high, 0 among them if it lies there: no more than about so many."""
    step = next((size for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if (high - low) / size <= most), 0.5)
    first = -int(-low // step) if low >= 0 else -int(abs(low) // step)
    found, value = [], first
    while value * step <= high + 1e-9:
        if value * step >= low - 1e-9:
            found.append(round(value * step, 6) + 0.0)
        value += 1
    return found
