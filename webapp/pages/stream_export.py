"""A view of a stream as files: one SVG that stands alone, and the figures as CSV. Loads numpy with the figures."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from datetime import datetime
from html import escape

from model.shares import words
from model.shares.estimates import Method
from tasks.streams.stream import Stream
from tasks.submit.streams import StreamService
from webapp.api.results import harmless
from webapp.pages.stream_draw import axes_of, shifts_of
from webapp.pages.stream_figures import Figures, figures
from webapp.pages.stream_query import BUCKET_WORDS, View
from webapp.report.charts import forest_chart
from webapp.report.figures import Pair
from webapp.report.panels import WIDE, panel
from webapp.report.says import clock, shown
from webapp.report.style import STYLE

_MARGIN, _HEAD, _FOOT = 32.0, 64.0, 44.0
_SENTENCE = 26.0
_KINDS = ("negative", "neutral", "positive", "net")
_COLUMNS = [
    "segment",
    "start",
    "end",
    "texts",
    "effective_texts",
    "labels",
    "method",
    *(f"{kind}{part}" for kind in _KINDS for part in ("", "_low", "_high")),
]


def csv_file(streams: StreamService, stream: Stream, view: View) -> str:
    """The figures of each bucket of each drawn segment, shares as fractions of 1."""
    found = figures(streams, stream, view, texts=False)
    file = io.StringIO()
    lines = csv.writer(file)
    lines.writerow(_COLUMNS)
    zone = view.zone
    for segment in found.segments:
        for begin, end, one in zip(found.edges, found.edges[1:], segment.series, strict=False):
            if one.texts:
                ends = [getattr(getattr(one, kind), part) for kind in _KINDS for part in ("estimate", "low", "high")]
                when = [datetime.fromtimestamp(at, zone).isoformat() for at in (begin, end)]
                lines.writerow(
                    [
                        *harmless([segment.name]),
                        *when,
                        one.texts,
                        round(one.effective_texts, 1),
                        one.labels,
                        str(one.method),
                        *("" if value is None else round(value, 6) for value in ends),
                    ]
                )
    return file.getvalue()


def svg_file(streams: StreamService, stream: Stream, view: View, *, dark: bool) -> str:
    """The drawings of a view, one below the other, with what one must know to read them, in fixed colours."""
    found = figures(streams, stream, view, texts=False)
    parts: list[str] = []
    y = _MARGIN + _HEAD
    for sentence in _sentences(found):
        parts.append(_text("sentence", y, sentence))
        y += _SENTENCE
    for name, height, drawing in _drawings(found, view):
        parts.append(_text("name", y + 8, name))
        y += 18
        place = f'<svg x="{_MARGIN:g}" y="{y:g}" width="{WIDE[0]:g}" height="{height:g}" '
        parts.append(drawing.replace("<svg ", place, 1))
        y += height + 18
    width, height = WIDE[0] + 2 * _MARGIN, y + _FOOT
    times = ""
    if found.edges:
        first, last = (clock(at, view.zone, year=True) for at in (found.edges[0], found.edges[-1]))
        times = f"{first} to {last} ({view.tz}), in buckets of {BUCKET_WORDS[found.bucket]}"
    what = "Net sentiment: positive less negative, in points" if view.show == "net" else "Shares of texts"
    made = f"{what}. Bands: 95 % intervals{_caveat(found)}. Made by Sentiq, {clock(time.time(), view.zone, year=True)}."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g}'
        f' {height:g}"><style>{_style(dark=dark)}</style>'
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>'
        f"{_text('title', _MARGIN + 22, shown(found.stream.name))}{_text('soft', _MARGIN + 46, times)}{''.join(parts)}"
        f"{_text('soft', y + 14, made)}</svg>"
    )


def _drawings(found: Figures, view: View) -> Iterator[tuple[str, float, str]]:
    """The heading, height and SVG of each drawing."""
    if found.edges:
        axes = axes_of(found, view)
        for place, segment in enumerate(found.segments):
            name = found.named(segment.name)
            shifts, marks = shifts_of(found, view, segment)
            drawing = panel(
                f"e{place}", name, segment.series, shifts, axes, wide=True, marks=marks, dots=len(segment.series) <= 80
            )
            net = f", net {words.net(segment.shares.net)}" if segment.shares.texts else ""
            yield f"{shown(name)}{net}, {segment.shares.texts:,} texts", WIDE[1], drawing
    if found.compared:
        pairs = [Pair(one.first, one.second, one.comparison) for one in found.compared]
        yield "Differences of net, in points", 34.0 + 28 * len(pairs), forest_chart(pairs)


def _sentences(found: Figures) -> list[str]:
    return [one.sentence for one in found.compared[:4]]


def _caveat(found: Figures) -> str:
    raw = any(one.shares.method is Method.RAW for one in found.segments)
    return " of the model's own counts" if raw else ""


def _text(kind: str, y: float, told: str) -> str:
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in told)
    return f'<text class="{kind}" x="{_MARGIN:g}" y="{y:g}">{escape(line)}</text>'


def _style(*, dark: bool) -> str:
    """The colours of a report, of which one set is chosen, and how its drawings look."""
    lines = STYLE.splitlines()
    light = lines[0].removeprefix(":root{color-scheme:light dark;").removesuffix("}")
    night = lines[1].removeprefix("@media (prefers-color-scheme:dark){:root{").removesuffix("}}")
    begin = next(place for place, line in enumerate(lines) if line.startswith("text{"))
    end = next(place for place, line in enumerate(lines) if line.startswith("@media (max-width"))
    return (
        f"svg{{{night if dark else light};font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}}"
        f"{''.join(lines[begin:end])}.paper{{fill:var(--paper)}}.title{{font-size:24px;font-weight:600}}"
        ".soft{fill:var(--soft);font-size:12px}.name{font-weight:600}.sentence{font-size:15px}"
    )
