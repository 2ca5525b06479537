"""What the coalescer hands to its callers."""

from __future__ import annotations

from typing import NamedTuple

from tasks.store.outcomes import Outcome


class Answer(NamedTuple):
    """What became of one text, and by which model."""

    outcome: Outcome
    model: str
    cached: bool
    """It was known before this caller came."""
