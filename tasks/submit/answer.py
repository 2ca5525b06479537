"""The answers that the coalescer hands to its callers."""

from __future__ import annotations

from typing import NamedTuple

from tasks.store.outcomes import Outcome


class Answer(NamedTuple):
    """The outcome of one text, and the model that it comes from."""

    outcome: Outcome
    model: str
    """The model identity."""
    cached: bool
    """Whether the outcome was known before this caller came."""
