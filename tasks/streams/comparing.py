"""Comparisons of segments, of times and of streams, each with its verdict in a sentence that one may print.

Loads numpy with the first question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from tasks.streams.measuring import Measured

if TYPE_CHECKING:
    from model.shares.estimates import Comparison, Shares

ADJUSTMENT = "Šidák"
"""The method by which intervals are adjusted for the number of comparisons: see `model.shares.difference.sidak`."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that are compared."""

    name: str
    """Its name in sentences."""
    found: Measured
    unmasked: Measured | None = None
    """The same with the scores of the texts as they were sent, if `found` is of those with names masked."""


@dataclass(frozen=True, slots=True)
class Times:
    """The words for a comparison of two times of the same texts."""

    name: str | None
    """Whose; None for all texts of the stream."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides, compared."""

    first: str
    second: str
    comparison: Comparison
    sentence: str
    note: str
    unmasked: Comparison | None = None
    """The comparison of the texts as they were sent, if names are masked."""

    @property
    def mask_matters(self) -> bool:
        """Whether the verdict is another one without masks."""
        return self.unmasked is not None and self.unmasked.net.verdict != self.comparison.net.verdict


def compare(sides: Sequence[Side], times: Times | None = None) -> list[Compared]:
    """Compares each side with each other one, in their order.

    The figures are corrected if both sides have enough labels. Otherwise both are raw: one that is corrected and one
    that is not would differ by what the correction does.
    """
    pairs = list(combinations(sides, 2))
    return [_compared(first, second, len(pairs), times) for first, second in pairs]


def compare_first(sides: Sequence[Side]) -> list[Compared]:
    """Compares the first side with each of the others, as `compare` does."""
    return [_compared(sides[0], other, len(sides) - 1, None) for other in sides[1:]]


def _compared(first: Side, second: Side, comparisons: int, times: Times | None) -> Compared:
    from model.shares.words import changed, compared, nothing

    found, corrected = _pair(first.found, second.found, comparisons)
    net = found.net
    if found.is_empty:
        names = (first.name, second.name) if times is None else (f"the time {times.after}", f"the time {times.before}")
        sentence = nothing(*(name for name, side in zip(names, (first, second), strict=True) if not side.found.texts))
    elif times is None:
        sentence = compared(first.name, second.name, net, net.verdict, corrected=corrected)
    else:
        sentence = changed(times.name, times.before, times.after, net, net.verdict, corrected=corrected)
    notes = [found.note, first.found.note, second.found.note]
    if not (corrected or found.is_empty):
        notes.append(_missing(first, second, of="" if times is None else "the time "))
    unmasked = None
    if first.unmasked is not None and second.unmasked is not None:
        unmasked, _ = _pair(first.unmasked, second.unmasked, comparisons)
        if unmasked.net.verdict != net.verdict:
            notes.append(_mask_matters(first.name, second.name, unmasked))
    note = " ".join(dict.fromkeys(filter(None, notes)))
    return Compared(first.name, second.name, found, sentence, note, unmasked)


def _pair(first: Measured, second: Measured, comparisons: int) -> tuple[Comparison, bool]:
    """The comparison, and whether it is corrected."""
    from model.shares.difference import compare as compared
    from model.shares.estimates import Method

    certain = (Method.CORRECTED, Method.EXACT)
    both: tuple[Shares, Shares] = first.shares(), second.shares()
    if not all(shares.method in certain for shares in both):
        both = first.raw(), second.raw()
    found = compared(*both, comparisons)
    return found, found.method in certain


def _missing(*sides: Side, of: str) -> str:
    """Which labels are missing, in words. `of`: what goes before the names."""
    needed = [f"{side.found.needed} more for {of}{side.name}" for side in sides if side.found.needed]
    return f"Labels that are missing for a correction: {' and '.join(needed)}." if needed else ""


def _mask_matters(first: str, second: str, unmasked: Comparison) -> str:
    from model.shares.estimates import Method
    from model.shares.words import compared

    sentence = compared(first, second, unmasked.net, unmasked.net.verdict, corrected=unmasked.method != Method.RAW)
    return f"The names themselves matter here. With the names in the texts the answer would be: {sentence}"
