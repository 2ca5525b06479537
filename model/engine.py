"""The Engine contract: the whole of what the floors above know about inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model.analysis import Analysis
from model.types import BoolArray, FloatArray


@dataclass(slots=True)
class Work:
    """What a call of the engine computed."""

    batches: list[int] = field(default_factory=list)
    """Texts of each micro-batch."""
    tokens: int = 0
    """Tokens of the texts."""
    cells: int = 0
    """Tokens that the model computed: those of the texts, and padding."""

    def add(self, texts: int, tokens: int, cells: int) -> None:
        """Adds a micro-batch."""
        self.batches.append(texts)
        self.tokens += tokens
        self.cells += cells


@dataclass(frozen=True, slots=True)
class Scores:
    """What an engine says of `n` texts, in the order in which they were given."""

    probabilities: FloatArray
    """Shape (n, classes), columns in the order of the analysis's classes, each row sums to 1."""
    truncated: BoolArray
    """Shape (n,): the text was longer than the model reads, and its tail was left out."""
    work: Work | None = None
    """What it took, if the engine tells."""


class Engine(Protocol):
    """Turns cleaned texts into class probabilities: one row for each text, in the same order.

    Thread-safe: several threads may call `score` at once; one's tokenisation then runs beside another's scoring.
    A text's scores do not depend on the texts it is scored with.
    """

    @property
    def analysis(self) -> Analysis:
        """What it is asked, and so what its columns mean."""

    @property
    def identity(self) -> str:
        """`name@revision/engine`, then the analysis's suffix: names the weights, the arithmetic and what is asked, and
        so is part of every cache key.
        """

    @property
    def device(self) -> str:
        """`cpu`, `cuda:0`, ..."""

    def warm(self) -> None:
        """Runs every shape that scoring will meet once, so that no caller pays for a first time."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of texts, in micro-batches. Raises what the library below raises."""
