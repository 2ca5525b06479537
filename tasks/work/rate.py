"""How fast an engine is: measured at the start on texts like tweets, and from then on by the work that is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from model.engine import Engine
from tasks.cost import cost
from tasks.work.tweets import TWEETS

_SIZES = [2**power for power in range(15)]
_ENOUGH_TEXTS = 16
_LONG_ENOUGH_S = 0.15
_AT_MOST_S = 1.0
_FULL = 0.8
"""Calls are full from the size on at which the engine has this part of its rate."""

_BLOCK_S = 1.0
"""Seconds of work from which the rate is computed anew."""
_WEIGHT = 0.2
"""What a block of work weighs against all before it: three blocks count about as much as all that came earlier."""
_SWING = 4.0
"""A block counts as at most this many times faster or slower than what was expected of it, whatever went on: the
process was stopped, its machine slept, the clock jumped.
"""
_LEAST = 0.25
"""The rate does not fall below this part of the highest: a job that comes in while the processors have other work would
otherwise have small chunks to its end.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of an engine's speed when the worker starts."""

    texts_per_s: float
    """Tweets per second, in calls that are large enough."""
    full_cost: int
    """What the texts of a call must cost for the call to say how fast the engine can be."""


def measure(engine: Engine) -> Measured:
    """The engine's rate on texts like tweets.

    It scores one text, then twice as many each time, until a call takes long enough to be measured. The best call
    counts: while all processes of a service start, one may have to wait in any of them.
    """
    found: list[tuple[int, float]] = []
    began = time.perf_counter()
    for texts in _SIZES:
        sample = (TWEETS * (1 + texts // len(TWEETS)))[:texts]
        spent = sum(map(cost, sample))
        started = time.perf_counter()
        engine.score(sample)
        ended = time.perf_counter()
        found.append((spent, spent / (ended - started)))
        if ended - began > _AT_MOST_S or (ended - started > _LONG_ENOUGH_S and texts >= _ENOUGH_TEXTS):
            break
    rate = max(reached for _, reached in found)
    return Measured(rate, next(spent for spent, reached in found if reached >= _FULL * rate))


class Rate:
    """The rate at which an engine scores, in the unit of `tasks.cost`: in tweets per second. Thread-safe.

    It is measured in full calls only. Small ones take longer for each text, and there are only small ones while there
    is little to do: they do not say how much could be done. So a worker that is idle keeps its last rate.
    """

    def __init__(self, measured: Measured, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._rate = self._highest = measured.texts_per_s
        self._full_cost = measured.full_cost
        self._clock = clock
        self._lock = threading.Lock()
        self._calls = 0
        """The calls under way."""
        self._since = 0.0
        """The time from which on work is not counted yet."""
        self._spent = 0
        self._seconds = 0.0

    @property
    def texts_per_s(self) -> float:
        """Tweets per second; texts of another length count by their cost."""
        return max(self._rate, _LEAST * self._highest)

    @contextmanager
    def engine_call(self, spent: int) -> Iterator[None]:
        """A context for a call of the engine whose texts cost so much. A call that raises does not count."""
        if spent < self._full_cost:
            yield
            return
        with self._lock:
            if not self._calls:
                self._since = self._clock()
            self._calls += 1
        scored = False
        try:
            yield
            scored = True
        finally:
            with self._lock:
                self._calls -= 1
                if scored:  # two calls may overlap: each second of work counts once
                    now = self._clock()
                    self._add(spent, now - self._since)
                    self._since = now

    def _add(self, spent: int, seconds: float) -> None:
        self._spent += spent
        self._seconds += seconds
        if self._seconds < _BLOCK_S:
            return
        measured = min(max(self._spent / self._seconds, self._rate / _SWING), self._rate * _SWING)
        self._rate += _WEIGHT * (measured - self._rate)
        self._highest = max(self._highest, self._rate)
        self._spent, self._seconds = 0, 0.0
