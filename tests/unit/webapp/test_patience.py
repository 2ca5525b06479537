"""Connections that wait for their callers, and which of them ends when others need the place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.support.waiting import wait_until
from webapp.server.patience import IdleSocket, PatientSocket, Stalled
from webapp.server.worker import AnswerSocket

WAITS: dict[str, Callable[[socket.socket, Stalled], object]] = {
    "for a request": lambda ours, stalled: IdleSocket(ours, stalled).recv(100),
    "for a body": lambda ours, stalled: PatientSocket(ours, stalled).recv(100),
    "until an answer is taken": lambda ours, stalled: _answer(ours, stalled),
}


def _answer(ours: socket.socket, stalled: Stalled) -> None:
    answer = AnswerSocket(ours, stalled)
    answer.sendall(b"headers")
    answer.sendall(b"x" * 10_000_000)


def test_whoever_waits_longest_makes_room() -> None:
    """Whatever a connection waits for, it ends when it has waited for a second and longer than the others; to whoever
    serves it, the caller has hung up.
    """
    stalled = Stalled()
    assert not stalled.close_longest()
    pairs = [socket.socketpair() for _ in WAITS]
    threads = []
    for (ours, _), wait in zip(pairs, WAITS.values(), strict=True):

        def served(ours: socket.socket = ours, wait: Callable[..., object] = wait) -> None:
            with suppress(OSError):
                wait(ours, stalled)

        threads.append(threading.Thread(target=served, daemon=True))
        threads[-1].start()
        wait_until(lambda: len(stalled) == len(threads), what="the connection to wait")
    assert not stalled.close_longest()
    for at, thread in enumerate(threads):
        wait_until(stalled.close_longest, what="a connection to make room", timeout_s=10)
        thread.join(10)
        assert [other.is_alive() for other in threads] == [later > at for later in range(len(threads))]
    assert not len(stalled)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_who_does_not_wait_stays() -> None:
    """A connection whose bytes have come, or whose answer was taken, makes no room for others."""
    stalled = Stalled()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"two")
        assert PatientSocket(ours, stalled).recv(1) == b"t"
        assert IdleSocket(ours, stalled).recv(1) == b"w"
        AnswerSocket(ours, stalled).sendall(b"answer")
        assert not len(stalled)
        assert not stalled.close_longest()
