"""The answers of `model.shares`. Shares and net are fractions: 0.3 is 30 %, net is from -1 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.shares.sums import Integers

FLOOR = 100
"""Labels that a segment needs for an interval that is called corrected: at 50, coverage falls below 93 %."""
LEVEL = 0.95


class Method(StrEnum):
    """How an estimate was made."""

    RAW = "raw"
    """By the model's labels: the interval does not know how often the model is wrong."""
    CORRECTED = "corrected"
    """By a person's labels, with the scores of all texts."""
    POOLED = "corrected with pooled labels"
    """A bucket of time with too few labels of its own: by the labels of the whole segment."""
    EXACT = "every text is labelled"
    NONE = "no texts"


class Verdict(StrEnum):
    """What a comparison says of the first of the two."""

    AHEAD = "ahead"
    BEHIND = "behind"
    OPEN = "cannot be told"


class Estimate(NamedTuple):
    """A share or a net with its interval; `low` and `high` are None where no interval is honest."""

    estimate: float
    low: float | None
    high: float | None
    size: float = 0.0
    """The number of independent labels that would give this interval by themselves; infinite where all is known."""
    degrees: float = float("inf")
    """Degrees of freedom of the variance behind `size`."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of the classes, and net: positive less negative."""

    negative: Estimate
    neutral: Estimate
    positive: Estimate
    net: Estimate
    texts: int
    effective_texts: float
    """`texts` divided by the design effect of equal texts and of authors who repeat; `texts` if that is not known."""
    labels: int
    """The labels that were used."""
    method: Method
    note: str
    """What a reader must know about the interval, as sentences; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A person's labels: a random sample without replacement of the texts that are counted."""

    gold: Integers
    """The labels, 0, 1 or 2, shape (n,)."""
    scores: NDArray[np.floating]
    """The model's scores of the same texts, shape (n, 3)."""

    def __post_init__(self) -> None:
        """Raises ValueError for labels that are no class, other numbers of scores, and scores that are not finite."""
        gold = np.asarray(self.gold)
        if gold.ndim != 1 or np.asarray(self.scores).shape != (len(gold), 3):
            raise ValueError("labels have the shape (n,), their scores (n, 3)")
        if len(gold) and not np.isin(gold, (0, 1, 2)).all():
            raise ValueError("a label is 0, 1 or 2")
        if not np.isfinite(self.scores).all():
            raise ValueError("the scores of a labelled text are not numbers")

    def __len__(self) -> int:
        return len(self.gold)


NO_LABELS = Labelled(np.empty(0, np.int64), np.empty((0, 3)))


@dataclass(frozen=True, slots=True)
class Difference:
    """The first less the second, of one share or of net."""

    estimate: float
    low: float | None
    high: float | None
    verdict: Verdict
    level: float
    """The level of the interval by itself: above 0.95 where several comparisons are made at once."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets of texts, compared in all shares and in net."""

    negative: Difference
    neutral: Difference
    positive: Difference
    net: Difference
    method: Method
    """CORRECTED (or EXACT) only if both are; RAW otherwise."""
    comparisons: int
    """How many comparisons the intervals are adjusted for."""
    note: str

    @property
    def is_empty(self) -> bool:
        """Whether one of the two has no texts, so that there is nothing to compare: the numbers say nothing then."""
        return self.method is Method.NONE


def joined(notes: Sequence[str]) -> str:
    """Notes as one text, each once."""
    return " ".join(dict.fromkeys(note for note in notes if note))
