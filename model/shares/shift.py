"""A shift, as it is told. In a file of its own, as web processes read kept ones without loading numpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the mean net probability: when, from what to what, by how much. Times are in epoch seconds."""

    when: float
    """The most likely time of the change."""
    earliest: float
    latest: float
    """The change was between these two, with 95 % confidence."""
    before: float
    """The mean net probability from the shift before this one up to this one."""
    after: float
    size: float
    """After less before."""
    low: float
    high: float
    """The 95 % interval of the size."""
    texts_before: int
    """How many texts the mean before is of, equal ones counted once."""
    texts_after: int
    """How many texts had come since the change when it was found."""
    found: float
    """The time of the text with which it was found."""
