"""Callers that wait for a job are notified of its end; on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tasks.jobs.keys import ENDED
from tasks.store.connections import connect
from tasks.submit.ends import JobEnds
from tests.support.stack import Stack
from tests.support.waiting import wait_until


@pytest.fixture
def ends(server: Stack) -> Iterator[JobEnds]:
    """A listener on an empty server."""
    with closing(JobEnds(connect(server.settings().results_url, timeout_s=1.0, blocking=True))) as found:
        before = listeners(server)  # one that was closed may listen a little longer
        with found.watch("none"):
            wait_until(lambda: listeners(server) > before, what="a listener")
            yield found


def listeners(server: Stack) -> int:
    """The number of subscribers."""
    return int(server.redis.pubsub_numsub(ENDED)[0][1])


def test_told_of_this_job_alone(ends: JobEnds, server: Stack) -> None:
    """All callers that wait for a job are notified of its end, and no others."""
    with ends.watch("a") as first, ends.watch("a") as second, ends.watch("b") as other:
        server.redis.publish(ENDED, "a")
        assert first.wait(10)
        assert second.wait(10)
        assert not other.is_set()


def test_nothing_is_left(ends: JobEnds) -> None:
    """Nothing is kept of callers that no longer wait."""
    with ends.watch("a"):
        assert set(ends._waiting) == {"none", "a"}
    assert set(ends._waiting) == {"none"}


def test_lost_connection(ends: JobEnds, server: Stack) -> None:
    """The listener reconnects by itself after its connection was cut."""
    server.redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
    with ends.watch("a") as told:
        wait_until(lambda: server.redis.publish(ENDED, "a") and told.wait(0.1), what="to be told again")
