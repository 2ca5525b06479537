"""The limit of the queue, without threads and with a clock that tests set."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import QueueFull
from tasks.submit.entries import Ahead
from tasks.submit.queue_limit import ALWAYS_WAITING, FILL, QueueLimit


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until a test sets it."""
    return Clock()


def room(limit: QueueLimit) -> int:
    """The number of texts that may wait."""
    for waiting in range(100_000):
        try:
            limit.check(Ahead(waiting, waiting, waiting))
        except QueueFull:
            return waiting
    raise AssertionError("all are admitted")


def told_to_wait(limit: QueueLimit, waiting: int) -> int:
    """The seconds to wait in the error that another caller gets while `waiting` texts wait."""
    with pytest.raises(QueueFull) as refused:
        limit.check(Ahead(waiting, waiting, waiting))
    return refused.value.retry_after_s


def drain(limit: QueueLimit, clock: Clock, *, rate: int, seconds: int, more: bool = True) -> None:
    """Answers `rate` texts per second for `seconds`."""
    for _ in range(4 * seconds):
        clock.now += 0.25
        limit.drained(rate // 4, more=more)


def test_queue_limit(clock: Clock) -> None:
    """As many texts may wait as the queue holds; while no rate is known, the next caller is told to wait 5 s."""
    limit = QueueLimit(max_texts=3, clock=clock)
    assert room(limit) == 3
    assert told_to_wait(limit, 3) == 5


def test_nobody_waits_in_vain(clock: Clock) -> None:
    """No more texts may wait than are answered, at the expected rate, within a part of the callers' timeout."""
    limit = QueueLimit(max_texts=1000, rate=lambda: 50.0, patience_s=2.0, clock=clock)
    assert room(limit) == FILL * 2 * 50
    assert told_to_wait(limit, 80) == 2


def test_a_few_may_always_wait(clock: Clock) -> None:
    """A few texts may always wait however slow the workers are, but no more than the queue holds."""
    assert room(QueueLimit(max_texts=1000, rate=lambda: 0.001, patience_s=1, clock=clock)) == ALWAYS_WAITING
    assert room(QueueLimit(max_texts=3, rate=lambda: 0.001, patience_s=1, clock=clock)) == 3


def test_expected_rate_is_asked_each_time(clock: Clock) -> None:
    """When a worker comes or goes, the number of texts that may wait changes at once."""
    rates = iter([100.0, 50.0, 50.0])
    limit = QueueLimit(max_texts=1000, rate=lambda: next(rates), patience_s=1, clock=clock)
    limit.check(Ahead(79, 79, 79))
    assert told_to_wait(limit, 79) == 2


def test_measured_rate_goes_before_the_expected(clock: Clock) -> None:
    """While texts always wait, the measured rate replaces the expected one; each further second moves it by half."""
    limit = QueueLimit(max_texts=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    limit.drained(0, more=True)
    drain(limit, clock, rate=400, seconds=1)  # the first second does not count: its beginning is not known
    assert room(limit) == FILL * 100
    drain(limit, clock, rate=400, seconds=1)
    assert room(limit) == FILL * 400
    drain(limit, clock, rate=200, seconds=1)
    assert room(limit) == FILL * 300


def test_a_rate_is_no_measure_once_nobody_waited(clock: Clock) -> None:
    """After a second in which no other text waited at some time, the expected rate counts again.

    Such a second says how many texts came, not how many could be answered.
    """
    limit = QueueLimit(max_texts=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    drain(limit, clock, rate=400, seconds=2)
    assert room(limit) == FILL * 400
    limit.drained(1, more=False)
    drain(limit, clock, rate=400, seconds=1)
    assert room(limit) == FILL * 100


def test_idle_time_is_no_slowness(clock: Clock) -> None:
    """A long time without texts does not count as a low rate."""
    limit = QueueLimit(max_texts=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    drain(limit, clock, rate=400, seconds=2)
    clock.now += 1
    limit.drained(1, more=False)  # the last text of a measured second
    clock.now += 1000
    limit.drained(1, more=True)
    assert room(limit) == FILL * 100


def test_nothing_is_done(clock: Clock) -> None:
    """While no texts are answered, a few may still wait, and other callers are told the longest time."""
    limit = QueueLimit(max_texts=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    drain(limit, clock, rate=0, seconds=2)
    assert room(limit) == ALWAYS_WAITING
    assert told_to_wait(limit, ALWAYS_WAITING) == 60


@given(st.floats(0.001, 1e6) | st.just(math.inf), st.integers(0, 10**6))
def test_told_between_1_and_60_s(rate: float, waiting: int) -> None:
    """A refused caller is told the time that the waiting texts need, but at least 1 s and at most 60 s."""
    told = told_to_wait(QueueLimit(max_texts=0, rate=lambda: rate), waiting)
    assert told == (5 if math.isinf(rate) else min(60, max(1, math.ceil(waiting / rate))))
