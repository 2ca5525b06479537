"""How far two people who label the same texts agree: Cohen's kappa."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_Z = 1.959963984540054
"""For an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two people said of the same texts."""

    texts: int
    """The texts that both have labelled."""
    equal: int
    """Of these, the texts to which they gave the same label."""
    kappa: float | None
    """Cohen's kappa: 1 is agreement on every text, 0 what would come about by chance. None if chance explains all."""
    low: float | None
    high: float | None
    """The 95 % interval of kappa; None where there is none: no kappa, or too few texts (`LEAST_TEXTS`)."""


LEAST_TEXTS = 30
"""With fewer texts the interval, which holds for many texts, would be too short."""


def agreement(pairs: Iterable[tuple[str, str]]) -> Agreement:
    """The agreement of two people, from both labels of each text.

    With p the share of texts with equal labels, and e the share that would be equal by chance, which is the sum over
    the labels of the product of the shares that the two gave them: kappa = (p - e) / (1 - e)  (J. Cohen, A coefficient
    of agreement for nominal scales, Educational and Psychological Measurement 20, 1960). The standard error is that of
    J. L. Fleiss, J. Cohen and B. S. Everitt, Large sample standard errors of kappa and weighted kappa, Psychological
    Bulletin 72, 1969, formula 13.
    """
    counts = Counter(pairs)
    texts = counts.total()
    equal = sum(count for (first, second), count in counts.items() if first == second)
    if not texts:
        return Agreement(0, 0, None, None, None)
    ones: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for (first, second), count in counts.items():
        ones[first] += count
        others[second] += count
    labels = ones.keys() | others.keys()
    chance = sum(ones[label] * others[label] for label in labels)
    # In whole numbers up to here, so that agreement by chance alone is found without rounding.
    if chance == texts * texts:
        return Agreement(texts, equal, None, None, None)
    p, e = equal / texts, chance / texts**2
    kappa = (p - e) / (1 - e)
    if texts < LEAST_TEXTS:
        return Agreement(texts, equal, kappa, None, None)
    on = sum(
        counts[label, label] / texts * ((1 - e) - (ones[label] + others[label]) / texts * (1 - p)) ** 2
        for label in labels
    )
    off = sum(
        count / texts * ((others[first] + ones[second]) / texts) ** 2
        for (first, second), count in counts.items()
        if first != second
    )
    variance = (on + (1 - p) ** 2 * off - (p * e - 2 * e + p) ** 2) / (texts * (1 - e) ** 4)
    half = _Z * math.sqrt(max(0.0, variance))
    return Agreement(texts, equal, kappa, max(-1.0, kappa - half), min(1.0, kappa + half))
