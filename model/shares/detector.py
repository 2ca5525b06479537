"""Shifts of a stream's mood while its texts arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

PER_TEXT = 5.13e-6
"""The false-alarm rate by default, for each text: 5 % in 10,000 texts, -log(0.95) / 10,000."""


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
    """The interval of the size."""
    texts_before: int
    """How many texts the mean before is of, equal ones counted once."""
    texts_after: int
    """How many texts had come since the change when it was found."""
    found: float
    """The time of the text with which it was found."""


def per_text(per_day: float, texts_a_day: float) -> float:
    """The false-alarm rate for each text of a stream that shall have `per_day` false alarms a day."""
    return per_day / max(texts_a_day, 1.0)


class Detector:
    """Watches one segment's net probabilities, p_pos - p_neg. Its state is a few KB, see `to_bytes`."""

    def __init__(self, false_alarms: float = PER_TEXT) -> None:
        """Watches from the first text on.

        Args:
            false_alarms: expected false alarms for each text, as long as nothing changes; see `per_text`.
        """
        self._false_alarms = false_alarms

    @classmethod
    def from_bytes(cls, raw: bytes, false_alarms: float = PER_TEXT) -> Self:
        """A detector that goes on where `to_bytes` was taken. Raises ValueError if these are not its bytes."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The state: a few KB, which do not grow."""
        raise NotImplementedError

    def add(
        self,
        values: NDArray[np.floating],
        times: NDArray[np.floating],
        keys: NDArray[np.uint64] | None = None,
    ) -> list[Shift]:
        """Takes texts in the order in which they came and returns the shifts found with them, usually none.

        Args:
            values: p_pos - p_neg of each text, shape (n,).
            times: when each was written, epoch seconds, shape (n,).
            keys: a 64-bit digest of each text's words, shape (n,). Texts whose key came lately are not counted again,
                so that one text's many copies are no shift. None: all are counted.

        The result does not depend on how the texts are cut into calls.
        """
        raise NotImplementedError
