"""One set of texts against another: the difference, its interval, and which is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

from model.shares.estimates import LEVEL, Comparison, Difference, Estimate, Method, Shares, Verdict, joined
from model.shares.intervals import limits

RAW_NOTE = (
    "The two are compared by the model's labels: the model may err more often in one of them, which the interval does "
    "not know. Each needs 100 labels."
)
_CERTAIN = (Method.CORRECTED, Method.EXACT)


def sidak(level: float, comparisons: int) -> float:
    """The level of each of several intervals which are all right together with at least `level`.

    level^(1/comparisons), after Šidák (1967): exact for independent comparisons, and on the safe side for those that
    share a member, as A with B and A with C do.
    """
    return float(level ** (1 / max(comparisons, 1)))


def difference(first: Estimate, second: Estimate, level: float = LEVEL, *, net: bool = False) -> Difference:
    """The first less the second, for independent estimates.

    The interval adds the squares of the distances to the ends of the two: low = d - sqrt((p1 - l1)^2 + (u2 - p2)^2) and
    high = d + sqrt((u1 - p1)^2 + (p2 - l2)^2) (Newcombe 1998, method 10). It holds its level for rare classes too.
    """
    found = first.estimate - second.estimate
    if first.low is None or second.low is None:
        return Difference(found, None, None, Verdict.OPEN, level)
    low1, high1 = limits(first, level, net)
    low2, high2 = limits(second, level, net)
    low = found - sqrt((first.estimate - low1) ** 2 + (high2 - second.estimate) ** 2)
    high = found + sqrt((high1 - first.estimate) ** 2 + (second.estimate - low2) ** 2)
    verdict = Verdict.AHEAD if low > 0 else Verdict.BEHIND if high < 0 else Verdict.OPEN
    return Difference(found, low, high, verdict, level)


def compare(first: Shares, second: Shares, comparisons: int = 1, level: float = LEVEL) -> Comparison:
    """Compares two sets of texts that have no text in common.

    Args:
        first: the shares of one.
        second: the shares of the other.
        comparisons: how many pairs are compared at once: all intervals of one kind hold together with `level`.
        level: of the intervals together.
    """
    each = sidak(level, comparisons)
    certain = first.method in _CERTAIN and second.method in _CERTAIN
    empty = Method.NONE in (first.method, second.method)
    method = Method.NONE if empty else Method.CORRECTED if certain else Method.RAW
    return Comparison(
        difference(first.negative, second.negative, each),
        difference(first.neutral, second.neutral, each),
        difference(first.positive, second.positive, each),
        difference(first.net, second.net, each, net=True),
        method,
        comparisons,
        joined(["There are no texts in one of the two." if empty else "" if certain else RAW_NOTE]),
    )


def compare_all(segments: Sequence[Shares], level: float = LEVEL) -> dict[tuple[int, int], Comparison]:
    """Every segment with every other, by their places (i < j), adjusted for the number of pairs."""
    pairs = list(combinations(range(len(segments)), 2))
    return {(i, j): compare(segments[i], segments[j], len(pairs), level) for i, j in pairs}
