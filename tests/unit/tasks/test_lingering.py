"""How long texts wait for callers who come back; without threads, and with a clock that is set by hand."""

from __future__ import annotations

import pytest

from tasks.submit.lingering import LINGER_MOST_S, LINGER_SHARE, Lingering


class Clock:
    """Time as it is set."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands still."""
    return Clock()


def settled(clock: Clock, round_trip_s: float) -> Lingering:
    """One whose chunks have always taken so long."""
    lingering = Lingering(clock=clock)
    for _ in range(100):
        lingering.took(round_trip_s)
    return lingering


def test_nobody_is_expected_at_first(clock: Clock) -> None:
    """Before anyone was answered nobody is waited for; nor while it is not known how long a chunk takes."""
    assert settled(clock, 1.0).left_s() == 0
    lingering = Lingering(clock=clock)
    lingering.answered(3)
    assert lingering.left_s() == 0


def test_a_part_of_a_round_trip(clock: Clock) -> None:
    """Those who were answered are waited for during a part of what a chunk takes, and never for long."""
    short, long = settled(clock, 0.02), settled(clock, 10)
    for lingering in (short, long):
        lingering.answered(1)
    assert short.left_s() == pytest.approx(LINGER_SHARE * 0.02)
    assert long.left_s() == pytest.approx(LINGER_MOST_S)
    clock.now += LINGER_SHARE * 0.02 + 1e-6
    assert short.left_s() == 0
    assert long.left_s() > 0


def test_until_as_many_have_come(clock: Clock) -> None:
    """The wait ends as soon as as many have come as were answered; more than that are not remembered."""
    lingering = settled(clock, 1)
    lingering.answered(2)
    lingering.came()
    assert lingering.left_s() > 0
    lingering.came()
    assert lingering.left_s() == 0
    lingering.came()
    lingering.answered(1)
    assert lingering.left_s() > 0


def test_not_put_off(clock: Clock) -> None:
    """Answers that come during the wait add callers to be waited for, and no time."""
    lingering = settled(clock, 1)
    lingering.answered(1)
    clock.now += 0.6 * LINGER_MOST_S
    lingering.answered(1)
    assert lingering.left_s() == pytest.approx(0.4 * LINGER_MOST_S)
    lingering.came()
    assert lingering.left_s() > 0
    lingering.came()
    assert lingering.left_s() == 0


def test_who_did_not_come_is_forgotten(clock: Clock) -> None:
    """When the time is over, those who did not come are no longer counted in the next one."""
    lingering = settled(clock, 1)
    lingering.answered(5)
    clock.now += 1
    lingering.answered(1)
    lingering.came()
    assert lingering.left_s() == 0


def test_what_a_chunk_takes_follows_the_latest(clock: Clock) -> None:
    """What chunks take is smoothed: one that took long moves it a little, many move it to where they are."""
    lingering = settled(clock, 0.01)
    lingering.took(0.02)
    lingering.answered(1)
    assert LINGER_SHARE * 0.01 < lingering.left_s() < LINGER_SHARE * 0.015
    clock.now += 1
    for _ in range(100):
        lingering.took(0.02)
    lingering.answered(1)
    assert lingering.left_s() == pytest.approx(LINGER_SHARE * 0.02)
