"""How much of a web process whoever looks by a link may take."""

from __future__ import annotations

import pytest

from tasks.errors import TooManyViews
from webapp.pages.link_time import MOST_S, LinkTime


class Clock:
    """A clock that goes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def draws(links: LinkTime, clock: Clock, link: str, seconds: float) -> None:
    """Draws for so long."""
    with links.spent(link):
        clock.now_s += seconds


def refused(links: LinkTime, link: str) -> int:
    """That the link has no time left; the seconds after which to try again."""
    with pytest.raises(TooManyViews) as error, links.spent(link):
        pass
    return error.value.retry_after_s


def test_a_link_has_so_much_time_and_comes_to_more(clock: Clock) -> None:
    """What is drawn for a link takes of its time; with none left it is refused, for as long as it is told; a fifth of
    the time comes back, never more than there was at first. Another link has its own.
    """
    links = LinkTime(clock)
    for _ in range(12):
        draws(links, clock, "a", 0.5)  # of which 0.1 comes back meanwhile
    draws(links, clock, "a", 1.0)
    wait_s = refused(links, "a")
    draws(links, clock, "b", 0.5)
    clock.now_s += wait_s
    draws(links, clock, "a", 1.0)
    refused(links, "a")
    clock.now_s += 3600
    draws(links, clock, "a", MOST_S - 0.5)
    draws(links, clock, "a", 2 * MOST_S)
    refused(links, "a")


def test_a_drawing_that_fails_counts(clock: Clock) -> None:
    """Time that was taken is gone also if the drawing ended in an error."""
    links = LinkTime(clock)

    def fails() -> None:
        with links.spent("a"):
            clock.now_s += 2 * MOST_S
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    refused(links, "a")


def test_thousands_of_links(clock: Clock) -> None:
    """What is kept of links stays bounded: those that have all of their time again are forgotten, and of others the
    one that has most; who has none left stays refused.
    """
    links = LinkTime(clock)
    draws(links, clock, "greedy", MOST_S + 50.0)
    for number in range(3000):
        draws(links, clock, f"link {number}", 0.01)
    assert len(links._accounts) <= 1000
    refused(links, "greedy")
    clock.now_s += 3600
    draws(links, clock, "another", 0.01)
    assert len(links._accounts) == 1
