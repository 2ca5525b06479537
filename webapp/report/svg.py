"""SVG as text. What comes from outside is escaped here, and colours are classes, so that a page may change them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]


class Drawing:
    """A picture of a certain size that is made part by part."""

    def __init__(self, name: str, width: float, height: float, title: str, description: str) -> None:
        """`name`: what its parts are called by within the page; no two drawings have the same."""
        self._name, self._width, self._height = name, width, height
        self._title, self._description = title, description
        self._parts: list[str] = []

    def rectangle(self, kind: str, x: float, y: float, width: float, height: float, says: str = "") -> None:
        """A rectangle; `says` is shown where a pointer rests on it."""
        inner = f"<title>{escape(says)}</title>" if says else ""
        self._parts.append(
            f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(height)}">'
            f"{inner}</rect>"
        )

    def line(self, kind: str, start: Point, end: Point) -> None:
        """A straight line."""
        self._parts.append(
            f'<line class="{kind}" x1="{_n(start[0])}" y1="{_n(start[1])}" x2="{_n(end[0])}" y2="{_n(end[1])}"/>'
        )

    def dot(self, kind: str, at: Point, radius: float, says: str = "") -> None:
        """A filled circle."""
        inner = f"<title>{escape(says)}</title>" if says else ""
        self._parts.append(
            f'<circle class="{kind}" cx="{_n(at[0])}" cy="{_n(at[1])}" r="{_n(radius)}">{inner}</circle>'
        )

    def path(self, kind: str, points: Sequence[Point], *, closed: bool = False) -> None:
        """A line through points, or the area within them."""
        steps = " ".join(f"{'ML'[place > 0]}{_n(x)} {_n(y)}" for place, (x, y) in enumerate(points))
        self._parts.append(f'<path class="{kind}" d="{steps}{"Z" if closed else ""}"/>')

    def text(self, kind: str, at: Point, words: str, *, anchor: str = "start", full: str = "") -> None:
        """Words; `full` is shown where a pointer rests on them."""
        inner = f"<title>{escape(full)}</title>" if full else ""
        self._parts.append(
            f'<text class="{kind}" x="{_n(at[0])}" y="{_n(at[1])}" text-anchor="{anchor}">{inner}{escape(words)}</text>'
        )

    def begin_within(self, x: float, y: float, width: float, height: float) -> None:
        """What follows is shown only within this rectangle, until `end_within`."""
        name = f"{self._name}-c{len(self._parts)}"
        self._parts.append(
            f'<clipPath id="{name}"><rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"/>'
            f'</clipPath><g clip-path="url(#{name})">'
        )

    def end_within(self) -> None:
        """See `begin_within`."""
        self._parts.append("</g>")

    def __str__(self) -> str:
        # Without white space between its parts: a drawing is also a line of a server-sent event.
        return (
            f'<svg viewBox="0 0 {_n(self._width)} {_n(self._height)}" role="img" aria-labelledby="{self._name}-t'
            f' {self._name}-d" xmlns="http://www.w3.org/2000/svg"><title id="{self._name}-t">{escape(self._title)}'
            f'</title><desc id="{self._name}-d">{escape(self._description)}</desc>{"".join(self._parts)}</svg>'
        )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
