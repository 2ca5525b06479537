"""Whether a quote has taken in lines that are rows of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from webapp.reading.texts import MAX_COLUMNS

KNOWN_ROWS = 200
"""As many rows as are compared with; others need not be noted."""
_SHAPE = re.compile(r"\d+|[^\W\d_]+")


class Swallowed:
    """Compares the lines of a row that has several with rows as they look in the file.

    In `1,"fast they said` the quote belongs to the text, and the next quote, hundreds of lines below, ends it. In
    `1,"Good,` + `but slow"` it is right. The difference: in the first file each of the lines, with its quotes as plain
    characters, is a row: as many cells, and before and after the text such cells as there are in other rows.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = 0
        self._known: list[set[str]] = []

    def note(self, row: Sequence[str]) -> None:
        """Notes a row; the first one is the header."""
        if not self._width:
            self._width = len(row)
            self._known = [set() for _ in row[:MAX_COLUMNS]]  # a longer header is refused
            return
        for cells, cell in zip(self._known, row, strict=False):
            cells.add(cell)

    def rows(self, lines: Sequence[str]) -> bool:
        """Whether each of the lines looks like a row."""
        if self._width < 2:
            return False
        parts = [line.rstrip("\r\n").split(self._delimiter) for line in lines]
        if any(len(cells) != self._width for cells in parts):
            return False
        return all(self._alike(parts[0], cells) for cells in parts[1:])

    def _alike(self, first: Sequence[str], cells: Sequence[str]) -> bool:
        alike = sum(self._is_alike(place, first[place], cell) for place, cell in enumerate(cells))
        return alike > 0 and alike >= (self._width - 1) / 2

    def _is_alike(self, place: int, first: str, cell: str) -> bool:
        shape = _shape(cell)
        if "0" in shape and shape == _shape(first):
            return True
        return bool(cell) and cell in self._known[place]


def _shape(cell: str) -> str:
    return _SHAPE.sub(lambda found: "0" if found[0][0].isdigit() else "a", cell[:40])
