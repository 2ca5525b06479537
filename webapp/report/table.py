"""The rows of a report as arrays: about 80 bytes for each, however long its text is."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.text import clean
from webapp.reading.names import cropped, quoted
from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.times import NotATime, Order, both
from webapp.report.golds import (
    FROM_MINUS_ONE,
    FROM_ZERO,
    MINUS_ONE,
    ONE,
    TWO,
    UNKNOWN,
    UNLABELLED,
    ZERO,
    gold_of,
)
from webapp.report.kinds import FAILED, NOT_ABOUT, SCORED, UNANSWERED, UNREAD

MOST_SEGMENTS = 1000
"""A column with more different values is not one of segments."""
_NO_TIME = float("nan")
_SHOWN = 5
"""So many values that are not read are named."""


@dataclass(frozen=True, slots=True)
class Table:
    """The texts that are counted, in the order of the input, and how many are not."""

    positions: NDArray[np.int64]
    """The lines that they are, from 0."""
    scores: NDArray[np.float64]
    """Shape (n, 3)."""
    segment: NDArray[np.int64]
    """The place of each text's segment in `names`."""
    names: tuple[str, ...]
    """Segments as they are in the file; one with the name "" if no column was asked for."""
    gold: NDArray[np.int64]
    """0 to 2, or UNLABELLED."""
    times: NDArray[np.float64]
    """Unix seconds; NaN for none."""
    words: NDArray[np.uint64]
    """A digest that equal cleaned texts share."""
    author: NDArray[np.uint64] | None
    """A digest of the author; of the text, where the cell is empty. None without such a column."""
    total: int
    failed: int
    unread: int
    not_about: int
    unanswered: int
    notes: tuple[str, ...]
    """What was found in the columns that a reader should know."""


class Gathering:
    """Takes rows one by one, as `webapp.report.lines` makes them."""

    def __init__(
        self, columns: Sequence[str | None], zone: tzinfo, order: Order | None, *, labelled: bool = False
    ) -> None:
        """Takes nothing yet.

        Args:
            columns: the names of the columns for time, segment, label and author, None for those not asked for.
            zone: of times without an offset.
            order: which part of a date comes first; None if the column is to show it.
            labelled: whether rows have labels though no column was asked for.
        """
        self._time, self._segment, self._label, self._author = columns
        self._zone, self._order = zone, order
        self._labelled = labelled or self._label is not None
        self._kinds = [0] * 5
        self._total = 0
        self._positions = array("q")
        self._scores = array("d")
        self._segments = array("l")
        self._names: dict[str, int] = {} if self._segment is not None else {"": 0}
        self._golds = array("b")
        self._day_first, self._month_first = array("d"), array("d")
        self._words, self._authors = array("Q"), array("Q")
        self._untimed = 0
        self._no_times = _Unread()
        self._no_labels = _Unread()
        self._only = {Order.DAY_FIRST: 0, Order.MONTH_FIRST: 0}
        self._open = 0

    def take(self, rows: Iterable[list[Any]]) -> None:
        """Takes rows. Raises UploadRefused for a column that has too many segments."""
        for row in rows:
            self._total += 1
            self._kinds[row[0]] += 1
            if row[0] == SCORED:
                self._take(row)

    def _take(self, row: list[Any]) -> None:
        self._positions.append(self._total - 1)
        self._scores.extend(row[1:4])
        words = _digest(clean(row[4]))
        self._words.append(words)
        time, segment, label, author = row[5:9] if len(row) > 5 else (None, None, None, None)
        name = "" if segment is None else str(segment).strip()
        place = self._names.get(name)
        if place is None:
            place = self._names[name] = len(self._names)
            if place >= MOST_SEGMENTS:
                raise invalid_option(
                    f"The column {quoted(str(self._segment))} has more than {MOST_SEGMENTS} different values."
                    " A segment is what many texts share, such as a candidate, a version or a country."
                )
        self._segments.append(place)
        if self._labelled:
            gold = gold_of("" if label is None else str(label))
            if gold == UNKNOWN:
                self._no_labels.saw(str(label), self._total)
            self._golds.append(gold)
        if self._author is not None:
            told = "" if author is None else str(author).strip()
            self._authors.append(_digest(f"@{told}") if told else words)
        if self._time is not None:
            self._take_time("" if time is None else str(time))

    def _take_time(self, cell: str) -> None:
        if not cell.strip():
            self._untimed += 1
            day_first = month_first = _NO_TIME
        else:
            try:
                day, month = both(cell, self._zone)
            except NotATime:
                self._no_times.saw(cell, self._total)
                day = month = _NO_TIME
            if day is None:
                self._seen(Order.MONTH_FIRST)
            elif month is None:
                self._seen(Order.DAY_FIRST)
            elif day != month and day == day:
                self._open = self._open or self._total
            day_first = _NO_TIME if day is None else day
            month_first = _NO_TIME if month is None else month
        self._day_first.append(day_first)
        self._month_first.append(month_first)

    def _seen(self, order: Order) -> None:
        self._only[order] = self._only[order] or self._total

    def table(self) -> Table:
        """All that was taken.

        Raises:
            UploadRefused: nothing is left to count, or a column cannot be read as what it was asked for.
        """
        if not self._kinds[SCORED]:
            raise UploadRefused(422, "no_texts", "None of the job's texts has a label, so there is nothing to report.")
        times, notes = self._times()
        golds = self._gold()
        return Table(
            np.frombuffer(self._positions, np.int64),
            np.frombuffer(self._scores, np.float64).reshape(-1, 3),
            np.array(self._segments, np.int64),
            tuple(self._names),
            golds,
            times,
            np.frombuffer(self._words, np.uint64),
            np.frombuffer(self._authors, np.uint64) if self._author is not None else None,
            self._total,
            self._kinds[FAILED],
            self._kinds[UNREAD],
            self._kinds[NOT_ABOUT],
            self._kinds[UNANSWERED],
            tuple(notes),
        )

    def _gold(self) -> NDArray[np.int64]:
        if not self._labelled:
            return np.full(self._kinds[SCORED], UNLABELLED, np.int64)
        column = quoted(self._label or "")
        if self._no_labels.count:
            raise UploadRefused(
                422,
                "unread_label",
                f"The column {column} has {self._no_labels}. Read are positive, neutral and negative in any case, pos,"
                " neu and neg, -1, 0 and 1, or 0, 1 and 2; an empty cell is no label.",
                self._no_labels.first,
            )
        golds = np.array(self._golds, np.int64)
        seen = set(np.unique(golds).tolist())
        numbers = seen & {MINUS_ONE, ZERO, ONE, TWO}
        if numbers:
            if {MINUS_ONE, TWO} <= numbers or not numbers & {MINUS_ONE, TWO}:
                both_ways = "-1 and 2" if TWO in numbers else "0 and 1, but neither -1 nor 2"
                raise UploadRefused(
                    422,
                    "unread_label",
                    f"The column {column} has {both_ways}, so it cannot be told whether it counts -1, 0, 1 or 0, 1, 2."
                    " Write positive, neutral and negative.",
                )
            for code, index in (FROM_MINUS_ONE if MINUS_ONE in numbers else FROM_ZERO).items():
                golds[golds == code] = index
        return golds

    def _times(self) -> tuple[NDArray[np.float64], list[str]]:
        if self._time is None:
            return np.full(self._kinds[SCORED], _NO_TIME), []
        column = quoted(self._time)
        order = self._order or self._shown_order(column)
        times = np.frombuffer(self._month_first if order is Order.MONTH_FIRST else self._day_first, np.float64)
        read = np.isfinite(times)
        if not read.any():
            told = f": it has {self._no_times}" if self._no_times.count else ", as all its cells are empty"
            raise UploadRefused(422, "unread_time", f"The column {column} cannot be read as times{told}.")
        notes = []
        if self._untimed:
            notes.append(f"{self._untimed:,} texts have no time: they are in the shares, but in no figure over time.")
        if missing := int((~read).sum()) - self._untimed:
            if self._no_times.count:
                what = f"the column {column} has {self._no_times}"
            else:
                what = f"with {order}, some cells of the column {column} are no day of the calendar"
            notes.append(
                f"The times of {missing:,} texts are not read: {what}. They are in the shares, but in no figure over"
                " time."
            )
        if order is not None and self._order is None:
            notes.append(f"Dates in the column {column} were read {order}, as some of them can be read only so.")
        return times, notes

    def _shown_order(self, column: str) -> Order | None:
        """The order that the column shows; None if its dates are all the same in both."""
        day, month = self._only[Order.DAY_FIRST], self._only[Order.MONTH_FIRST]
        if day and month:
            raise UploadRefused(
                422,
                "ambiguous_dates",
                f"The column {column} has dates with the day first (text {day}) and with the month first (text"
                f" {month}). Say how they are to be read: ?dates=day-first or ?dates=month-first; the others are then"
                " in no figure over time.",
            )
        if day or month:
            return Order.DAY_FIRST if day else Order.MONTH_FIRST
        if self._open:
            raise UploadRefused(
                422,
                "ambiguous_dates",
                f"Each date in the column {column} may be two days, as that of text {self._open}. Say which part comes"
                " first: ?dates=day-first or ?dates=month-first.",
                self._open,
            )
        return None


class _Unread:
    """Cells of a column that are not read, a few of which are named."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0
        self._values: dict[str, int] = {}

    def saw(self, cell: str, number: int) -> None:
        """One such cell, of the text with this number from 1."""
        self.count += 1
        self.first = self.first or number
        if len(self._values) < _SHOWN:
            self._values.setdefault(cropped(cell[:60], 30), number)

    def __str__(self) -> str:
        named = ", ".join(f'"{value}" (text {number})' for value, number in self._values.items())
        cells = "1 cell that is" if self.count == 1 else f"{self.count:,} cells that are"
        return f"{cells} not read, such as {named}"


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")
