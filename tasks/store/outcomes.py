"""The outcome of scoring one text. Its form in Redis is in `tasks.wire`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct

from model.analysis import decide

_PLACES = 6
"""Decimal places of a score, rounded in the worker so that a fresh answer equals the cached one to the last digit."""


class Language(Struct, frozen=True, array_like=True, gc=False):
    """The language that a text was found to be in."""

    code: str
    """ISO 639-1, such as `en`; ISO 639-3 where a language has no code of two letters."""
    sureness: float
    """From 0 to 1: see `model.language.Found`."""


class Remarks(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a worker says of a text besides its scores; stored and sent with them. Each has a default: not said."""

    language: Language | None = None
    """None if nothing can be told, as of a very short text, or was not asked."""
    warnings: tuple[str, ...] = ()
    """Of `model.warnings`, those that the worker gives."""
    refused: bool = False
    """Whether the text gets no label, as the model does not read its language (OTHER_LANGUAGES)."""
    windows: int = 1
    """In how many windows the text was read: see `model.windows`."""


NO_REMARKS = Remarks()


class Scored(Struct, frozen=True, gc=False):
    """A scored text: its scores in the order of the analysis's classes, each from 0 to 1, with a sum of 1."""

    scores: tuple[float, ...]
    truncated: bool
    remarks: Remarks = NO_REMARKS

    @property
    def decided(self) -> int:
        """The index of the class that the text counts as; see `model.analysis.decide`."""
        return decide(self.scores)

    @property
    def confidence(self) -> float:
        """The highest of the scores."""
        return max(self.scores)


class Failed(Struct, frozen=True, gc=False):
    """A text that has an error of its own; `code` is that of the error class."""

    code: str


Outcome = Scored | Failed


class Answer(NamedTuple):
    """The outcome of one text as a web process hands it to its callers, and the model that it comes from."""

    outcome: Outcome
    model: str
    """The model identity."""
    cached: bool
    """Whether the outcome was known before this caller came."""


def scored(probabilities: Sequence[float], truncated: bool, remarks: Remarks = NO_REMARKS) -> Scored:
    """Scores in the form in which they are stored and answered: plain rounded floats."""
    return Scored(tuple(round(float(value), _PLACES) for value in probabilities), bool(truncated), remarks)


def digest(text: str) -> str:
    """The digest that names a cleaned text outside of jobs: 128 bits, so that two texts never share an answer."""
    return blake2b(text.encode(), digest_size=16).hexdigest()
