"""Looking through a job's lines for those that a person wants to see, a bounded part of them at a time.

A job may have a million lines, and no more than one stored page of them is in memory. So a request looks at LOOK_LINES
lines, or for LOOK_S, whichever is less, and says where it has stopped; the page asks for the next part and shows how
far it is. To sort, each part gives its own first rows, and the page keeps the first of all parts.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal

from tasks.jobs.job import Job, Line
from tasks.store.outcomes import Failed
from webapp.api.results import own_fields
from webapp.reading.names import cropped

LOOK_LINES = 20_000
LOOK_S = 0.25
ROWS = 50
"""Rows of a page."""
_VALUES = 100
"""Different values of the column of segments that are told."""
_VALUE = 60
NO_LABEL = "none"
Order = Literal["file", "least", "most"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted, and in which order."""

    label: str | None = None
    """Only those with this label; NO_LABEL: those without."""
    segment: int | None = None
    """The index of the column of segments."""
    value: str = ""
    """Only those whose segment is this; empty: all."""
    words: str = ""
    """Only those whose text has this in it, in any case."""
    order: Order = "file"
    """As in the file; or the least confident, or the most confident first."""
    after: tuple[float, int] | None = None
    """Where the page before has ended: the confidence and the position of its last line."""


@dataclass(slots=True)
class Looked:
    """What was found in a part of the lines."""

    lines: list[Line]
    end: int
    """The position of the next line to be looked at."""
    matches: int
    """How many lines of the part are wanted."""
    values: dict[str, None] = field(default_factory=dict)
    """Segments that were seen."""


def label_of(job: Job, line: Line) -> str | None:
    """The label that a line got, if it got one."""
    outcome = line.outcome
    if outcome is None or isinstance(outcome, Failed) or outcome.remarks.refused:
        return None
    return job.analysis.classes[outcome.decided]


def confidence_of(line: Line) -> float | None:
    """The confidence of a line's label, if it has one."""
    outcome = line.outcome
    return None if outcome is None or isinstance(outcome, Failed) or outcome.remarks.refused else outcome.confidence


def look(
    job: Job, lines: Iterator[Line], start: int, wanted: Wanted, clock: Callable[[], float] = time.monotonic
) -> Looked:
    """Looks through lines until there are enough for a page, or for long enough.

    Args:
        job: the job.
        lines: its lines from position `start` on.
        start: that position.
        wanted: which are wanted.
        clock: tells seconds.
    """
    looked = Looked([], start, 0)
    found = _wanted(job, lines, wanted, looked, clock)
    if wanted.order == "file":
        looked.lines = list(_first(found))
        return looked
    sign = 1 if wanted.order == "least" else -1
    after = None if wanted.after is None else (sign * wanted.after[0], wanted.after[1])
    keyed = ((key, line) for line in found if (key := _key(line, sign)) is not None and (after is None or key > after))
    looked.lines = [line for _, line in heapq.nsmallest(ROWS, keyed, key=itemgetter(0))]
    return looked


def _first(lines: Iterator[Line]) -> Iterator[Line]:
    for count, line in enumerate(lines, 1):
        yield line
        if count == ROWS:
            return


def _key(line: Line, sign: int) -> tuple[float, int] | None:
    confidence = confidence_of(line)
    return None if confidence is None else (sign * confidence, line.position)


def _wanted(
    job: Job, lines: Iterator[Line], wanted: Wanted, looked: Looked, clock: Callable[[], float]
) -> Iterator[Line]:
    """Yields the lines that are wanted, and notes how far it is."""
    until, start = clock() + LOOK_S, looked.end
    words, value = wanted.words.casefold(), wanted.value.strip()
    for line in lines:
        if looked.end > start and clock() > until:
            return
        looked.end = line.position + 1
        if wanted.segment is not None:
            segment = own_fields(job, line)[wanted.segment]
            segment = "" if segment is None else str(segment).strip()
            if segment and len(looked.values) < _VALUES:
                looked.values[cropped(segment, _VALUE)] = None
            if value and segment != value:
                continue
        if wanted.label is not None and (label_of(job, line) or NO_LABEL) != wanted.label:
            continue
        if words and words not in line.entry.text.casefold():
            continue
        looked.matches += 1
        yield line


def cells(job: Job, line: Line, places: Sequence[int | None]) -> list[str]:
    """The cells of a line in some columns; empty for None."""
    fields = own_fields(job, line)
    return ["" if place is None or fields[place] is None else str(fields[place]) for place in places]
