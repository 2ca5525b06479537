"""The report's page over time: drawings, shifts, and the figures behind them."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from model.shares import words
from model.shares.estimates import Shares
from model.shares.raw import NOTE
from webapp.report.asked import Asked
from webapp.report.charts import by_width
from webapp.report.figures import Figures, Segment
from webapp.report.html import SCROLL, soft
from webapp.report.panels import Axes, panel
from webapp.report.says import all_shifts, clock, shift_sentence, shown

_MOST_PANELS = 12
_MOST_SHIFTS = 60
_MOST_CELLS = 3000
"""More buckets times segments are in no table of the page."""


def over_time(asked: Asked, figures: Figures) -> Iterator[str]:
    """Net over time, of all texts and of the largest segments, and its shifts."""
    many = len(figures.segments) > 1
    largest = sorted(figures.segments, key=lambda one: -one.shares.texts)[:_MOST_PANELS] if many else []
    drawn = [one for one in figures.segments if one in largest and one.series]
    first = figures.overall if len(figures.segments) != 1 else figures.segments[0]
    axes = Axes(figures.edges, asked.zone, [one.series for one in (first, *drawn)])
    yield "<h2>Over time</h2>"
    name = first.name or "all texts"
    yield (
        f"<h3><bdi>{escape(shown(name)[0].upper() + shown(name)[1:])}</bdi></h3><figure>"
        f"{by_width(*(panel(f'p{size}', name, first.series, first.shifts, axes, wide=not size) for size in ('', 's')))}"
        "<figcaption>Net in points, in buckets of"
        f" {escape(str(figures.bucket))}, times in {escape(shown(asked.tz))}. The band is the 95 % interval of each"
        " bucket; grey bars show how many texts it has; a dashed line is a shift, with the time between which it lies."
        "</figcaption></figure>"
    )
    if drawn:
        yield '<div class="panels">'
        for place, one in enumerate(drawn):
            yield (
                f"<figure><h3><bdi>{escape(shown(one.name))}</bdi></h3>"
                f"{panel(f'p{place}', one.name, one.series, one.shifts, axes)}</figure>"
            )
        yield "</div>"
        if len(figures.segments) > len(drawn):
            yield f'<p class="note">Drawn are the {len(drawn)} largest segments; the report as JSON has all.</p>'
    yield from _shifts(asked, figures)
    # That a bucket is by the model alone, and how many labels it lacks, stands above for all texts.
    told = {NOTE, *(one.shares.note for one in (*figures.segments, figures.overall))}
    for note in dict.fromkeys(share.note for share in first.series if share.note):
        if note not in told and not note.startswith(NOTE):
            yield f'<p class="note">{escape(note)}</p>'
    if len(figures.edges) * (1 + len(drawn)) <= _MOST_CELLS:
        yield from _series_table(asked, figures, [first, *drawn])


def _shifts(asked: Asked, figures: Figures) -> Iterator[str]:
    yield "<h3>Shifts</h3>"
    found = all_shifts(figures)
    if not found:
        yield "<p>No shift was found: the mood moved no more than chance would have it.</p>"
        return
    yield "<table><caption>When whose mood shifted</caption><tbody>"
    shown_ones = sorted(sorted(found, key=lambda one: -abs(one[1].size))[:_MOST_SHIFTS], key=lambda one: one[1].when)
    for name, shift in shown_ones:
        yield (
            f'<tr><th scope="row"><bdi>{escape("All texts" if name is None else shown(name))}</bdi></th>'
            f'<td class="words">{escape(shift_sentence(name, shift, asked.zone))}</td></tr>'
        )
    yield "</tbody></table>"
    if len(found) > _MOST_SHIFTS:
        yield f'<p class="note">These are the largest of {len(found):,}; the report as JSON has all.</p>'


def _series_table(asked: Asked, figures: Figures, drawn: list[Segment]) -> Iterator[str]:
    heads = "".join(f'<th scope="col"><bdi>{escape(shown(one.name) or "All texts")}</bdi></th>' for one in drawn)
    yield (
        f"<details><summary>The figures of the bands</summary>{SCROLL}<table><caption>Net in points with its"
        f' interval, and the number of texts</caption><thead><tr><th scope="col">from</th>{heads}</tr></thead><tbody>'
    )
    for place, begin in enumerate(figures.edges[:-1]):
        cells = "".join(_bucket(one.series[place]) if one.series else "<td></td>" for one in drawn)
        yield f'<tr><th scope="row">{escape(clock(begin, asked.zone))}</th>{cells}</tr>'
    yield "</tbody></table></div></details>"


def _bucket(given: Shares) -> str:
    if not given.texts:
        return "<td>–</td>"
    return f"<td>{words.net(given.net)} {soft(f'{given.texts:,}')}</td>"
