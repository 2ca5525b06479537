"""How long texts wait for returning callers, without threads and with a clock that tests set."""

from __future__ import annotations

import pytest

from tasks.submit.lingering import LINGER_MOST_S, LINGER_SHARE, Lingering


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until a test sets it."""
    return Clock()


def settled(clock: Clock, round_trip_s: float) -> Lingering:
    """A lingering whose chunks have always taken `round_trip_s`."""
    lingering = Lingering(clock=clock)
    for _ in range(100):
        lingering.took(round_trip_s)
    return lingering


def test_nobody_is_expected_at_first(clock: Clock) -> None:
    """Texts do not wait before the first answer, nor while it is not known how long a chunk takes."""
    assert settled(clock, 1.0).left_s() == 0
    lingering = Lingering(clock=clock)
    lingering.answered(3)
    assert lingering.left_s() == 0


def test_a_part_of_a_round_trip(clock: Clock) -> None:
    """Texts wait for answered callers for a part of the time that a chunk takes, and never for long."""
    short, long = settled(clock, 0.02), settled(clock, 10)
    for lingering in (short, long):
        lingering.answered(1)
    assert short.left_s() == pytest.approx(LINGER_SHARE * 0.02)
    assert long.left_s() == pytest.approx(LINGER_MOST_S)
    clock.now += LINGER_SHARE * 0.02 + 1e-6
    assert short.left_s() == 0
    assert long.left_s() > 0


def test_until_as_many_have_come(clock: Clock) -> None:
    """The wait ends when as many callers have come as were answered; further ones do not count."""
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
    """Answers during the wait add to the expected callers, but not to the time."""
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
    """Callers that did not come back in time are not expected in the next wait."""
    lingering = settled(clock, 1)
    lingering.answered(5)
    clock.now += 1
    lingering.answered(1)
    lingering.came()
    assert lingering.left_s() == 0


def test_what_a_chunk_takes_follows_the_latest(clock: Clock) -> None:
    """The time that chunks take is smoothed: one slow chunk changes it a little, many change it fully."""
    lingering = settled(clock, 0.01)
    lingering.took(0.02)
    lingering.answered(1)
    assert LINGER_SHARE * 0.01 < lingering.left_s() < LINGER_SHARE * 0.015
    clock.now += 1
    for _ in range(100):
        lingering.took(0.02)
    lingering.answered(1)
    assert lingering.left_s() == pytest.approx(LINGER_SHARE * 0.02)
