"""The contract of an engine: all that `tasks` and `webapp` know about inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model.analysis import Analysis
from model.description import Description
from model.types import BoolArray, FloatArray, IntArray


@dataclass(slots=True)
class Work:
    """How much one call of the engine computed; for metrics."""

    batches: list[int] = field(default_factory=list)
    """The number of texts in each micro-batch."""
    tokens: int = 0
    """The number of tokens in the texts, without padding."""
    cells: int = 0
    """The number of tokens that the model computed, including padding."""

    def add(self, texts: int, tokens: int, cells: int) -> None:
        """Adds one micro-batch to the totals."""
        self.batches.append(texts)
        self.tokens += tokens
        self.cells += cells


@dataclass(frozen=True, slots=True)
class Scores:
    """An engine's answer for `n` texts, in the order in which they were given."""

    probabilities: FloatArray
    """Class probabilities, shape (n, classes): columns in the order of the analysis's classes, each row sums to 1."""
    truncated: BoolArray
    """For each text, shape (n,), whether it was longer than the model reads and its end was left out."""
    work: Work | None = None
    """How much was computed, if the engine reports it."""
    unread: BoolArray | None = None
    """For each text, shape (n,), whether the model knows none of its words; None if it knows something of each."""
    windows: IntArray | None = None
    """For each text, shape (n,), in how many windows it was read; None if each was in one."""


class Engine(Protocol):
    """Turns cleaned texts into class probabilities: one row for each text, in the same order.

    Thread-safe: several threads may call `score` at once, and the tokenisation of one call then overlaps with the
    scoring of another. A text's scores do not depend on the texts it is scored with.
    """

    @property
    def analysis(self) -> Analysis:
        """The analysis that the engine performs; its classes are the columns of the scores."""

    @property
    def identity(self) -> str:
        """The model identity: `name@revision/engine` and the analysis's suffix.

        It names the weights, the arithmetic and the analysis, and is part of every cache key.
        """

    @property
    def device(self) -> str:
        """The device that the model runs on: `cpu`, `cuda:0`, ..."""

    @property
    def description(self) -> Description:
        """What is told of the model besides its identity."""

    def warm(self) -> None:
        """Runs input shapes once, so that no caller has to wait for a slow first run."""

    def count(self, texts: Sequence[str]) -> Sequence[int]:
        """The number of tokens of each text, however many, with those that stand before and after every text."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of texts in micro-batches. Errors of the underlying library are raised unchanged."""
