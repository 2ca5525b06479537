"""How long texts wait for callers who come back. Callers who have been answered often ask again at once.

When a chunk comes back while other texts wait, those wait a little longer, until as many have come as were answered:
otherwise two halves of the callers take turns, each with half a chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LINGER_SHARE, LINGER_MOST_S = 0.25, 0.01
"""How long texts wait at the most: a part of what a chunk takes, and seconds."""
_LATEST = 0.2
"""The weight of the latest chunk in what a chunk takes."""


class Lingering:
    """Not thread-safe: the coalescer asks it while it holds its lock."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._round_trip_s = 0.0
        self._until = 0.0
        self._expected = 0

    def took(self, seconds: float) -> None:
        """A chunk was under way for so long."""
        self._round_trip_s += _LATEST * (seconds - self._round_trip_s)

    def answered(self, callers: int) -> None:
        """So many callers may come back."""
        now = self._clock()
        if now >= self._until:  # not put off again and again by many workers' answers
            self._expected = 0
            self._until = now + min(LINGER_MOST_S, LINGER_SHARE * self._round_trip_s)
        self._expected += callers

    def came(self) -> None:
        """A caller has come with another text."""
        if self._expected:
            self._expected -= 1

    def left_s(self) -> float:
        """Seconds for which those who are expected back are still waited for; 0 if nobody is."""
        return max(0.0, self._until - self._clock()) if self._expected else 0.0
