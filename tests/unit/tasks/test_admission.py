"""Who may wait; without threads, and with a clock that is set by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import QueueFull
from tasks.submit.admission import ALWAYS_WAITING, FILL, Admission


class Clock:
    """Time as it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands still."""
    return Clock()


def room(admission: Admission) -> int:
    """How many may wait."""
    for waiting in range(100_000):
        try:
            admission.admit(waiting)
        except QueueFull:
            return waiting
    raise AssertionError("all are admitted")


def told_to_wait(admission: Admission, waiting: int) -> int:
    """The seconds that another caller is told, when so many wait."""
    with pytest.raises(QueueFull) as refused:
        admission.admit(waiting)
    return refused.value.retry_after_s


def drain(admission: Admission, clock: Clock, *, rate: int, seconds: int, more: bool = True) -> None:
    """Lets so many texts a second be answered, for so long."""
    for _ in range(4 * seconds):
        clock.now += 0.25
        admission.drained(rate // 4, more=more)


def test_queue_limit(clock: Clock) -> None:
    """As many may wait as the queue holds; the next is told to come back in 5 s if nobody knows the workers' rate."""
    admission = Admission(queue_limit=3, clock=clock)
    assert room(admission) == 3
    assert told_to_wait(admission, 3) == 5


def test_nobody_waits_in_vain(clock: Clock) -> None:
    """No more may wait than are answered within a part of the callers' patience, at the expected rate."""
    admission = Admission(queue_limit=1000, rate=lambda: 50.0, patience_s=2.0, clock=clock)
    assert room(admission) == FILL * 2 * 50
    assert told_to_wait(admission, 80) == 2


def test_a_few_may_always_wait(clock: Clock) -> None:
    """However slow the workers are, a few may wait, but no more than the queue holds."""
    assert room(Admission(queue_limit=1000, rate=lambda: 0.001, patience_s=1, clock=clock)) == ALWAYS_WAITING
    assert room(Admission(queue_limit=3, rate=lambda: 0.001, patience_s=1, clock=clock)) == 3


def test_expected_rate_is_asked_each_time(clock: Clock) -> None:
    """A worker that comes or goes changes at once how many may wait."""
    rates = iter([100.0, 50.0, 50.0])
    admission = Admission(queue_limit=1000, rate=lambda: next(rates), patience_s=1, clock=clock)
    admission.admit(79)
    assert told_to_wait(admission, 79) == 2


def test_measured_rate_goes_before_the_expected(clock: Clock) -> None:
    """While others always wait, the rate at which texts are answered counts, from the first second on; later seconds
    move it by half.
    """
    admission = Admission(queue_limit=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    admission.drained(0, more=True)
    drain(admission, clock, rate=400, seconds=1)  # how it began is not known: the first second shows nothing
    assert room(admission) == FILL * 100
    drain(admission, clock, rate=400, seconds=1)
    assert room(admission) == FILL * 400
    drain(admission, clock, rate=200, seconds=1)
    assert room(admission) == FILL * 300


def test_a_rate_is_no_measure_once_nobody_waited(clock: Clock) -> None:
    """A second in which once no other text waited says how many came, not how many could be answered: the expected
    rate counts again.
    """
    admission = Admission(queue_limit=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    drain(admission, clock, rate=400, seconds=2)
    assert room(admission) == FILL * 400
    admission.drained(1, more=False)
    drain(admission, clock, rate=400, seconds=1)
    assert room(admission) == FILL * 100


def test_idle_time_is_no_slowness(clock: Clock) -> None:
    """A long time in which nobody came does not count as one in which little was done."""
    admission = Admission(queue_limit=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    drain(admission, clock, rate=400, seconds=2)
    clock.now += 1
    admission.drained(1, more=False)  # the last one of a second that was measured
    clock.now += 1000
    admission.drained(1, more=True)
    assert room(admission) == FILL * 100


def test_nothing_is_done(clock: Clock) -> None:
    """While texts wait and none is answered, a few may still wait, and the others are told the longest time."""
    admission = Admission(queue_limit=10_000, rate=lambda: 100.0, patience_s=1, clock=clock)
    drain(admission, clock, rate=0, seconds=2)
    assert room(admission) == ALWAYS_WAITING
    assert told_to_wait(admission, ALWAYS_WAITING) == 60


@given(st.floats(0.001, 1e6) | st.just(math.inf), st.integers(0, 10**6))
def test_told_between_1_and_60_s(rate: float, waiting: int) -> None:
    """Whatever waits and however fast it is done, a refused caller is told 1 to 60 s, and the time that those need who
    wait if that is between.
    """
    told = told_to_wait(Admission(queue_limit=0, rate=lambda: rate), waiting)
    assert told == (5 if math.isinf(rate) else min(60, max(1, math.ceil(waiting / rate))))
