"""Decides whether another text may wait: not if the queue is full, nor if its answer would come too late."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from tasks.errors import QueueFull
from tasks.submit.entries import Ahead

ALWAYS_WAITING = 16
"""The number of texts that may always wait, however slow the workers are."""
FILL = 0.8
"""The share of its callers' timeout that a full queue takes; the rest is a reserve for a drop in the measured rate."""
_UNKNOWN_S = 5
"""Seconds after which a refused caller may come back while the rate is not known."""
_LONGEST_S = 60
"""The longest time, in seconds, that a refused caller is told to wait."""
_MEASURED_S = 1.0
"""The shortest time, in seconds, over which the rate is measured."""


class QueueLimit:
    """Compares what goes before a text with the rate at which texts are answered, both by cost.

    The rate is measured only while there is always another text to send: otherwise it would say how many texts came,
    not how many could have been answered, and the expected rate is used instead.

    Not thread-safe: the coalescer calls it while it holds its lock.
    """

    def __init__(
        self,
        *,
        max_texts: int,
        rate: Callable[[], float] = lambda: math.inf,
        patience_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts with an empty queue.

        Args:
            max_texts: the most texts of one caller that may wait in this process, gathered or under way, divided by
                the number of callers; all callers' together may be twice as many, as those that came first may have
                more than their part.
            rate: the cost per second that the workers are expected to do for this process, infinite if unknown.
                It is called each time, and must not raise.
            patience_s: how many seconds callers wait. No more texts may wait than can be answered in that time.
            clock: the time in seconds.
        """
        self._max_texts = max_texts
        self._expected_rate = rate
        self._patience_s = patience_s
        self._clock = clock
        self._measured_rate: float | None = None
        self._drained = 0
        self._drained_since = clock()
        self._starved = True

    def check(self, ahead: Ahead) -> None:
        """Checks that another text may wait.

        Raises:
            QueueFull: it may not; the error has how many may wait, and the seconds until what goes before it is
                answered, 1 to 60.
        """
        texts, spent, waiting = ahead
        if texts >= self._max_texts or (texts >= ALWAYS_WAITING and self._in_vain(spent)):
            rate = self._rate()
            in_time = math.floor(min(self._max_texts, FILL * self._patience_s * rate))  # if each costs 1
            raise QueueFull(min(self._max_texts, max(ALWAYS_WAITING, in_time)), _drained_in_s(spent, rate))
        if waiting >= 2 * self._max_texts:
            raise QueueFull(2 * self._max_texts, _drained_in_s(waiting, self._rate()))

    def drained(self, cost: int, *, more: bool) -> None:
        """Notes that texts have been answered.

        Args:
            cost: what they cost together.
            more: whether other texts wait to be sent.
        """
        self._drained += cost
        if not more:
            self._starved = True
        now = self._clock()
        elapsed_s = now - self._drained_since
        if elapsed_s < _MEASURED_S:
            return
        if self._starved:
            self._measured_rate = None
        else:
            rate = self._drained / elapsed_s
            self._measured_rate = rate if self._measured_rate is None else 0.5 * self._measured_rate + 0.5 * rate
        self._drained, self._drained_since = 0, now
        self._starved = not more  # it may be long before another text comes

    def _rate(self) -> float:
        """Cost per second: the measured rate, or else the expected one."""
        return self._expected_rate() if self._measured_rate is None else self._measured_rate

    def _in_vain(self, cost: int) -> bool:
        """Whether what goes before a text takes all the time that it would have."""
        return cost >= FILL * self._patience_s * self._rate()


def _drained_in_s(cost: int, rate: float) -> int:
    if math.isinf(rate):
        return _UNKNOWN_S
    return _LONGEST_S if cost >= _LONGEST_S * rate else max(1, math.ceil(cost / rate))
