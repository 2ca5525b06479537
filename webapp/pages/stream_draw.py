"""Draws a view of a stream as HTML. Loads numpy, see `webapp.pages.stream_figures`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from jinja2 import Environment

from model.shares import words
from model.shares.estimates import Method, Shares
from model.shares.shift import Shift
from tasks.streams.stream import Stream
from tasks.submit.streams import StreamService
from webapp.pages.stream_figures import ENOUGH, MOST_BUCKETS, Figures, figures
from webapp.pages.stream_query import BUCKET_WORDS, View
from webapp.report.charts import forest_chart, shares_chart
from webapp.report.figures import Pair, Segment
from webapp.report.panels import CLASSES, LEFT, NARROW, NET, RIGHT, WIDE, Axes, panel
from webapp.report.says import clock, notes_once, shift_marked, shift_sentence

_DAY_S = 86_400
_ADVICE = " Label "
"""A note's advice begins with this word."""
_CERTAIN = (Method.CORRECTED, Method.EXACT)
_MOST_ROWS = 200
"""Of the table; the newest are in it, the file of figures has all."""


def draw(
    streams: StreamService, environment: Environment, stream: Stream, view: View, texts: bool, *, waits: bool = False
) -> str:
    """The view as HTML without a line break that somebody's text could make. `waits`: whether nobody counts texts."""
    found = figures(streams, stream, view, texts=texts)
    return environment.get_template("stream_view.html").render(**_words(found, view, texts=texts), waits=waits)


def address(view: View, **changes: object) -> str:
    """The query of a view with some fields changed; what is as usual is left out."""
    fields: dict[str, Any] = {
        "show": view.show,
        "segment": list(view.segments),
        "last": view.last,
        "from": view.start,
        "to": view.end,
        "bucket": view.bucket or "auto",
        "tz": view.tz,
        "a": view.a,
        "b": view.b,
        "at": view.at,
        "table": "1" if view.table else "",
    } | changes
    usual = {"show": "net", "last": "all", "bucket": "auto", "table": ""}
    kept = {name: value for name, value in fields.items() if value is not None and usual.get(name) != value}
    for name in ("from", "to", "at"):
        if name in kept:
            kept[name] = f"{kept[name]:.0f}"
    return "?" + urlencode(kept, doseq=True)


def _words(found: Figures, view: View, *, texts: bool) -> dict[str, Any]:
    """What the template shows."""
    zone, borders = view.zone, found.edges
    when = _teller(found, view)
    plots = []
    if borders:
        axes = axes_of(found, view)
        for place, segment in enumerate(found.segments):
            name = found.named(segment.name)
            shifts, marks = shifts_of(found, view, segment)
            svg = panel(f"p{place}", name, segment.series, shifts, axes, wide=not view.narrow, marks=marks, dots=False)
            says = [f"{when(at)}: {axes.said(one)}" for at, one in zip(borders, segment.series, strict=False)]
            plots.append({"name": name, "svg": svg, "says": orjson.dumps(says).decode()})
    several = len(found.segments) > 1
    pairs = [Pair(one.first, one.second, one.comparison) for one in found.compared]
    return {
        "view": view,
        "stream": found.stream,
        "names": orjson.dumps(found.names).decode(),
        "drawn": orjson.dumps([one.name for one in found.segments]).decode(),
        "empty": not any(one.shares.texts for one in found.segments),
        "stands": [
            _stand(found.named(one.name), one.shares) | {"now": _now(found, one, when)} for one in found.segments
        ],
        "plots": plots,
        "frame": _frame(view),
        "starts": orjson.dumps([round(at) for at in borders]).decode(),
        "of_net": view.show == "net",
        "bucket": BUCKET_WORDS[found.bucket],
        "cut": MOST_BUCKETS if found.cut else 0,
        "coarser": BUCKET_WORDS.get(found.coarser, ""),
        "time": f"{clock(borders[0], zone, year=True)} to {clock(borders[-1], zone, year=True)}" if borders else "",
        "last_text": clock(found.last, zone, year=True) if found.last is not None else "",
        "shifts": [
            {
                "marked": shift_marked(found.named(name) if several else None, shift, when(shift.when)),
                "sentence": shift_sentence(found.named(name) if len(found.names) > 1 else None, shift, zone),
                "address": address(view, at=shift.when),
            }
            for name, shift in found.shifts
        ],
        "shares": shares_chart(
            [replace(one, name=found.named(one.name)) for one in found.segments if one.shares.texts], narrow=True
        )
        if any(one.shares.texts for one in found.segments)
        else "",
        "forest": forest_chart(pairs, narrow=view.narrow) if pairs else "",
        "compared": [
            {
                "sentence": one.sentence,
                "note": one.note,
                "first": one.first,
                "second": one.second,
                "figures": {
                    kind: words.net(getattr(one.comparison, kind))
                    for kind in ("net", "negative", "neutral", "positive")
                },
                "verdict": str(one.comparison.net.verdict),
            }
            for one in found.compared
        ],
        "moment": _moment(found, view, texts=texts),
        "table": _table(found, view, when) if view.table and borders else None,
        "table_address": address(view, table="" if view.table else "1"),
        "all_address": address(view, last="all", **{"from": None, "to": None}),
        "notes": [_note(one) for one in notes_once(one.shares.note for one in found.segments)],
        "raw": any(one.shares.method is Method.RAW for one in found.segments),
    }


def _teller(found: Figures, view: View) -> Callable[[float], str]:
    """Tells a time, with its day only where there are several."""
    zone = view.zone
    if found.edges and found.edges[-1] - found.edges[0] <= _DAY_S:
        return lambda at: f"{datetime.fromtimestamp(at, zone):%H:%M}"
    return lambda at: clock(at, zone)


def shifts_of(found: Figures, view: View, segment: Segment) -> tuple[list[Shift], list[str]]:
    """The shifts of a segment, and what is said of them in its drawing."""
    shifts = [shift for name, shift in found.shifts if name == segment.name]
    when = _teller(found, view)
    return shifts, [shift_marked(None, shift, when(shift.when)) for shift in shifts]


def axes_of(found: Figures, view: View) -> Axes:
    """The scales of all drawings of a view."""
    measures = NET if view.show == "net" else CLASSES
    return Axes(found.edges, view.zone, [one.series for one in found.segments], measures)


def _frame(view: View) -> dict[str, float]:
    """Where the drawn time lies within a drawing, in per cent of its width."""
    width = (NARROW if view.narrow else WIDE)[0]
    return {"left": round(100 * LEFT / width, 3), "right": round(100 * (width - RIGHT) / width, 3)}


def _now(found: Figures, one: Segment, when: Callable[[float], str]) -> dict[str, Any] | None:
    """Where a segment stands in the newest bucket that has enough texts; None if there is no other one."""
    enough = [place for place, shares in enumerate(one.series) if shares.texts >= ENOUGH]
    if len(enough) < 2:
        return None
    begin, end = found.edges[enough[-1] : enough[-1] + 2]
    return _stand("", one.series[enough[-1]]) | {"when": f"{when(begin)} to {when(end)}"}


def _stand(name: str, shares: Shares) -> dict[str, Any]:
    """Where a segment stands by these shares."""
    net = shares.net
    return {
        "name": name,
        "net": words.signed(net.estimate) if shares.texts else "–",
        "interval": ""
        if net.low is None or net.high is None
        else f"{words.signed(net.low)} to {words.signed(net.high)}",
        "texts": shares.texts,
        "method": _method(shares),
        "way": "negative" if net.estimate < 0 else "positive",
    }


def _method(given: Shares) -> str:
    if given.method is Method.RAW:
        return "the model’s own counts"
    if given.method in _CERTAIN:
        return f"corrected by {given.labels:,} labels"
    return ""


def _note(note: str) -> tuple[str, str]:
    """A note, and what it advises whoever may label texts."""
    told, begins, advice = note.partition(_ADVICE)
    return told.strip(), f"{begins}{advice}".strip()


def _moment(found: Figures, view: View, *, texts: bool) -> dict[str, Any] | None:
    """Texts around the moment that was asked for."""
    if view.at is None:
        return None
    lists = found.examples or ((), ())
    return {
        "when": clock(view.at, view.zone),
        "kept": found.stream.settings.keep_sample,
        "may": texts,
        "lists": [
            {
                "title": title,
                "texts": [
                    {"text": one.text, "segment": one.segment, "label": one.label, "when": clock(one.at, view.zone)}
                    for one in some
                ],
            }
            for title, some in zip(("Before", "From then on"), lists, strict=True)
        ],
        "away": address(view, at=None),
    }


def _table(found: Figures, view: View, when: Callable[[float], str]) -> dict[str, Any]:
    """The figures of the bands, the newest first."""
    kinds = NET if view.show == "net" else CLASSES
    rows = []
    for place in reversed(range(len(found.edges) - 1)):
        cells = [one.series[place] for one in found.segments]
        if any(cell.texts for cell in cells):
            rows.append(
                {
                    "when": when(found.edges[place]),
                    "cells": [
                        {
                            "texts": f"{cell.texts:,}",
                            "figures": [
                                words.net(cell.net) if kind == "net" else words.share(getattr(cell, kind))
                                for kind in kinds
                            ]
                            if cell.texts
                            else ["–"] * len(kinds),
                        }
                        for cell in cells
                    ],
                }
            )
    return {
        "kinds": kinds,
        "names": [found.named(one.name) for one in found.segments],
        "rows": rows[:_MOST_ROWS],
        "more": max(0, len(rows) - _MOST_ROWS),
    }
