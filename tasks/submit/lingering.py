"""Lets texts wait a moment for callers that were just answered, since these often ask again at once.

When a chunk is answered while other texts wait to be sent, those wait a little longer, until as many texts have come as
were answered. Otherwise two halves of the callers would take turns, each with half a chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LINGER_SHARE, LINGER_MOST_S = 0.25, 0.01
"""The longest wait: as a share of the time that a chunk takes, and in seconds. The smaller one counts."""
_LATEST = 0.2
"""The weight of the latest chunk in the moving average of the time that a chunk takes."""


class Lingering:
    """Tells the coalescer how long to linger. Not thread-safe: the coalescer calls it while it holds its lock."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._round_trip_s = 0.0
        self._until = 0.0
        self._expected = 0

    def took(self, seconds: float) -> None:
        """Notes how many seconds a chunk was under way."""
        self._round_trip_s += _LATEST * (seconds - self._round_trip_s)

    @property
    def round_trip_s(self) -> float:
        """How many seconds a chunk is under way, on a moving average; 0 before the first one."""
        return self._round_trip_s

    def answered(self, callers: int) -> None:
        """Notes that so many callers were answered and may come back."""
        now = self._clock()
        if now >= self._until:  # so that the answers of many workers do not postpone the end again and again
            self._expected = 0
            self._until = now + min(LINGER_MOST_S, LINGER_SHARE * self._round_trip_s)
        self._expected += callers

    def came(self) -> None:
        """Notes that a caller has come with another text."""
        if self._expected:
            self._expected -= 1

    def left_s(self) -> float:
        """Seconds for which texts still wait for returning callers; 0 if none is expected."""
        return max(0.0, self._until - self._clock()) if self._expected else 0.0
