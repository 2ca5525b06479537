"""The drawing of how an interval narrows as labels come in. Loads numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.shares.estimates import FLOOR, Labelled
from model.shares.planning import half_width
from model.shares.sums import Floats, texts
from webapp.report.svg import Drawing, Point

MARKS = (100, 200, 400)
"""Numbers of labels at which it is told how long the interval will be."""
_WIDTH, _HEIGHT = 400.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 390.0, 16.0, 160.0
_LABEL = 64.0
"""The width of what is written beside the point that was reached."""
_FIRST = 15
"""Labels at which the curve begins: before, the interval is longer than all that is possible."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """How long the interval of net is expected to be, in points to each side, at numbers of labels."""

    labels: int
    """There are so many now."""
    now: float
    marks: tuple[tuple[int, float], ...]
    """Those that are still to come, of `MARKS` and not more than there are texts."""
    curve: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, strata: Sequence[tuple[Floats, Labelled]]) -> Narrowing:
        """By the sums of one or more segments, and their labels so far."""
        total = np.sum([sums for sums, _ in strata], axis=0)
        labelled = Labelled(
            np.concatenate([one.gold for _, one in strata]), np.concatenate([one.scores for _, one in strata])
        )
        most, labels = round(float(texts(total))), len(labelled)

        def at(number: int) -> float:
            return 100 * half_width(total, labelled, number)

        last = min(max(MARKS[-1], labels), most)
        steps = sorted({*range(_FIRST, last, 5), last} - set(range(_FIRST)))
        marks = tuple((number, at(number)) for number in MARKS if labels < number <= most)
        return cls(labels, at(labels), marks, tuple((number, at(number)) for number in steps))

    @property
    def says(self) -> str:
        """In a sentence."""
        coming = [f"with {number} about ±{half:.0f}" for number, half in self.marks]
        now = f"With {self.labels} labels net sentiment is known to about ±{self.now:.0f} points"
        if self.labels < _FIRST:
            now = f"{self.labels} labels say nothing yet" if self.labels else "There is no label yet"
        return f"{now}{': ' if coming and self.labels < _FIRST else '; ' if coming else ''}{', '.join(coming)}" + (
            " points." if coming else "."
        )

    def drawing(self) -> str:
        """The curve, with what has been reached and what is to come."""
        picture = Drawing("narrowing", _WIDTH, _HEIGHT, "How the interval narrows as labels come in", self.says)
        most = max(self.curve[-1][0] if self.curve else 0, MARKS[0])
        height = max((half for _, half in self.curve), default=1.0)

        def place(number: float, half: float) -> Point:
            return _LEFT + number / most * (_RIGHT - _LEFT), _BOTTOM - half / height * (_BOTTOM - _TOP)

        for points in range(0, int(height) + 1, 10):
            y = place(0, points)[1]
            picture.line("grid" if points else "zero", (_LEFT, y), (_RIGHT, y))
            picture.text("tick", (_LEFT - 6, y + 4), f"±{points}", anchor="end")
        for number in (0, *(mark for mark in MARKS if mark <= most)):
            picture.text("tick", (place(number, 0)[0], _BOTTOM + 16), str(number), anchor="middle")
        picture.text("tick", (_RIGHT, _HEIGHT - 2), "labels", anchor="end")
        if most >= FLOOR:
            picture.line("shift", place(FLOOR, 0), (place(FLOOR, 0)[0], _TOP))
        picture.path("course", [place(*one) for one in self.curve])
        for number, half in self.marks:
            picture.dot("dot open", place(number, half), 4)
            x, y = place(number, half)
            last = x > _RIGHT - 30
            picture.text("figure", (x - 4 if last else x + 4, y - 9), f"±{half:.0f}", anchor="end" if last else "start")
        if self.labels >= _FIRST:
            at = place(min(self.labels, most), self.now)
            picture.dot("dot sure", at, 5.5)
            # Above the curve there is room on the right, unless the line at FLOOR or a mark is there: then below it.
            below = any(
                0 < place(number, 0)[0] - at[0] < _LABEL for number in (FLOOR, *(mark for mark, _ in self.marks))
            )
            where = (at[0] - 8, at[1] + 14) if below else (at[0] + 8, at[1] - 8)
            picture.text("name", where, f"now ±{self.now:.0f}", anchor="end" if below else "start")
        return str(picture)
