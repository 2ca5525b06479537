"""Drawings of reports and streams: words that stay apart from each other."""

from __future__ import annotations

from datetime import UTC
from xml.etree import ElementTree

import pytest

from model.shares.estimates import Estimate, Method, Shares
from model.shares.shift import Shift
from webapp.report.charts import shares_chart
from webapp.report.figures import Segment
from webapp.report.panels import Axes, panel
from webapp.report.says import notes_once

LETTER = 6.5
"""About the width of a letter in the drawings."""
SVG = "{http://www.w3.org/2000/svg}"


def shares(method: Method = Method.RAW, note: str = "") -> Shares:
    """Shares of which the intervals are wide."""
    net = Estimate(0.003, -0.244, 0.25)
    return Shares(
        Estimate(0.44, 0.18, 0.47), Estimate(0.1, 0.0, 0.3), Estimate(0.46, 0.3, 0.7), net, 210, 37.0, 0, method, note
    )


def segment(name: str, **given: Method) -> Segment:
    """A segment with these shares."""
    return Segment(name, shares(**given), shares(), 0, None, 0)


def shift(when: float, size: float = -0.47) -> Shift:
    """A shift."""
    return Shift(when, when - 60, when + 60, 0.3, 0.3 + size, size, size - 0.2, size + 0.2, 100, 100, when + 60)


def spans(drawing: str, kind: str) -> list[tuple[float, float, float]]:
    """Where words of a kind begin, end and stand."""
    found = []
    for text in ElementTree.fromstring(drawing).iter(f"{SVG}text"):
        if text.get("class") == kind:
            x, long = float(text.get("x") or 0), LETTER * len(text.text or "".join(text.itertext()))
            begin = x - long if text.get("text-anchor") == "end" else x
            found.append((begin, begin + long, float(text.get("y") or 0)))
    return found


def test_figures_have_room_beside_bars() -> None:
    """A net with a long interval stands beside its bar, not on it; what of it would be hidden reads as another number.
    The intervals of the two ends of a bar are drawn on lines of their own, as they may overlap.
    """
    drawing = shares_chart([segment("A"), segment("B")])
    ends = [
        float(one.get("x") or 0) + float(one.get("width") or 0)
        for one in ElementTree.fromstring(drawing).iter(f"{SVG}rect")
    ]
    assert min(begin for begin, _, _ in spans(drawing, "figure")) > max(ends)
    lines = [
        one
        for one in ElementTree.fromstring(drawing).iter(f"{SVG}line")
        if (one.get("class") or "").startswith("whisker")
    ]
    level = {one.get("y1") for one in lines if one.get("y1") == one.get("y2")}
    assert len(level) == 4


@pytest.mark.parametrize("whens", [(3000.0, 3100.0, 3200.0), (100.0, 7000.0), tuple(range(600, 7200, 700))])
@pytest.mark.parametrize("wide", [True, False])
def test_words_at_shifts_stay_apart(whens: tuple[float, ...], wide: bool) -> None:
    """However near shifts are, the words of one do not reach into those of another, nor out of the drawing."""
    shifts = [shift(when) for when in whens]
    marks = ["10:19: up 53 points, between 28 and 78" for _ in shifts]
    axes = Axes([0.0, 3600.0, 7200.0], UTC, [[shares(), shares()]])
    found = spans(panel("p", "all", [shares(), shares()], shifts, axes, wide=wide, marks=marks), "shift-name")
    assert len(found) == len(whens)
    for place, (begin, end, y) in enumerate(found):
        assert begin >= 0
        for other in found[place + 1 :]:
            assert abs(y - other[2]) >= 15 or other[0] > end or other[1] < begin


def test_notes_come_once() -> None:
    """A note that stands at many figures is said once, also where only the number of labels in it differs; alone, it
    keeps the number.
    """
    one, other = (f"The model's own counts. {count} of the 20 labels needed are there." for count in (3, 11))
    assert notes_once([one, other, one, "", "Another."]) == ["The model's own counts.", "Another."]
    assert notes_once([one, one]) == [one]
