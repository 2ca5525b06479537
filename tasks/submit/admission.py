"""Who may wait: as many texts as the queue holds, and no more than are answered within their callers' patience."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from tasks.errors import QueueFull

ALWAYS_WAITING = 16
"""So many texts may wait however slow the workers are."""
FILL = 0.8
"""The part of its callers' patience that a full queue takes: what the measured rate does not foresee has to fit into
the rest.
"""
_UNKNOWN_S = 5
"""Callers are told to stay away for so long while nobody knows how fast texts are done."""
_LONGEST_S = 60
"""No caller is told to stay away for longer."""
_MEASURED_S = 1.0
"""The rate is measured over so long, at the least."""


class Admission:
    """Not thread-safe: the coalescer asks it while it holds its lock.

    The rate at which texts drain is measured while there is always one more to send; otherwise it says how many came,
    not how many could have been answered, and the expected rate counts.
    """

    def __init__(
        self,
        *,
        queue_limit: int,
        rate: Callable[[], float] = lambda: math.inf,
        patience_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Admission to an empty queue.

        Args:
            queue_limit: texts that may wait in this process, gathered or under way, at the most.
            rate: texts a second that the workers should do for this process, infinite if nobody can tell; asked each
                time; it may not raise.
            patience_s: how long callers wait. No more texts may wait than are answered in that time: the others would
                wait in vain.
            clock: seconds.
        """
        self._queue_limit = queue_limit
        self._expected_rate = rate
        self._patience_s = patience_s
        self._clock = clock
        self._measured_rate: float | None = None
        self._drained = 0
        self._drained_since = clock()
        self._starved = True

    def admit(self, waiting: int) -> None:
        """Returns if another text may wait beside so many.

        Raises:
            QueueFull: it may not; with the seconds until those that wait now will have drained, 1 to 60.
        """
        if waiting >= self._queue_limit or (waiting >= ALWAYS_WAITING and self._in_vain(waiting)):
            raise QueueFull(self._drained_in_s(waiting))

    def drained(self, texts: int, *, more: bool) -> None:
        """So many texts have been answered.

        Args:
            more: others wait to be sent.
        """
        self._drained += texts
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
        self._starved = not more  # it may be long until the next one comes

    def _rate(self) -> float:
        """Texts a second: as measured, else as expected."""
        return self._expected_rate() if self._measured_rate is None else self._measured_rate

    def _in_vain(self, waiting: int) -> bool:
        """Those that wait already take all the time that another would have."""
        return waiting >= FILL * self._patience_s * self._rate()

    def _drained_in_s(self, waiting: int) -> int:
        rate = self._rate()
        if math.isinf(rate):
            return _UNKNOWN_S
        return _LONGEST_S if waiting >= _LONGEST_S * rate else max(1, math.ceil(waiting / rate))
