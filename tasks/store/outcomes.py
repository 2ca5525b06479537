"""What became of one text, and its form in Redis: a row of JSON that holds numbers or a code, never the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from model.labels import LABELS

_PLACES = 6
"""Decimal places of a score, cut in the worker so that a fresh answer equals the cached one to the last digit."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A text's scores in the order of `LABELS`, each 0 to 1, together 1."""

    scores: tuple[float, float, float]
    truncated: bool

    @property
    def label(self) -> str:
        """The label with the highest score; the first of equals."""
        return LABELS[self.scores.index(max(self.scores))]

    @property
    def confidence(self) -> float:
        """The highest of the scores."""
        return max(self.scores)


@dataclass(frozen=True, slots=True)
class Failed:
    """The text has an error of its own; `code` is an error class's."""

    code: str


Outcome = Scored | Failed
Row = list[float] | str


def scored(probabilities: Sequence[float], truncated: bool) -> Scored:
    """Scores as they are stored and answered: plain floats, rounded."""
    negative, neutral, positive = (round(float(value), _PLACES) for value in probabilities)
    return Scored((negative, neutral, positive), bool(truncated))


def to_row(outcome: Outcome) -> Row:
    """`[negative, neutral, positive, truncated]`, or an error's code."""
    return outcome.code if isinstance(outcome, Failed) else [*outcome.scores, int(outcome.truncated)]


def from_row(row: Any) -> Outcome:
    """The outcome of a row that `to_row` made."""
    if isinstance(row, str):
        return Failed(row)
    negative, neutral, positive, truncated = row
    return Scored((negative, neutral, positive), bool(truncated))


def digest(text: str) -> str:
    """The name of a cleaned text everywhere outside a job: 128 bits, so that two texts never share an answer."""
    return blake2b(text.encode(), digest_size=16).hexdigest()
