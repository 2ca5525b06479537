"""Shares by a person's labels of a random sample, with the scores of all texts to make the labels go further."""

from __future__ import annotations

from collections.abc import Sequence

from model.shares import sums
from model.shares.estimates import FLOOR, LEVEL, Labelled, Shares
from model.shares.raw import raw
from model.shares.sums import Floats


def corrected(total: Floats, labelled: Labelled, effective_texts: float | None = None, level: float = LEVEL) -> Shares:
    """The shares of one segment's texts, of which some, drawn at random, are labelled."""
    raise NotImplementedError


def shares(
    total: Floats,
    labelled: Labelled,
    effective_texts: float | None = None,
    floor: int = FLOOR,
    level: float = LEVEL,
) -> Shares:
    """Corrected where there are enough labels, raw otherwise, which the note then says."""
    if len(labelled) >= min(floor, max(float(sums.texts(total)), 1)):
        return corrected(total, labelled, effective_texts, level)
    return raw(total, effective_texts, level)


def stratified(strata: Sequence[tuple[Floats, Labelled]], floor: int = FLOOR, level: float = LEVEL) -> Shares:
    """The shares of a whole stream, of its segments: each with its sums and its labels."""
    raise NotImplementedError
