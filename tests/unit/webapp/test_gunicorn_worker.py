"""What is sent to a caller, and in how many pieces."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from webapp.server.patience import Stalled
from webapp.server.worker import AnswerSocket


@pytest.fixture
def pair() -> Iterator[tuple[AnswerSocket, socket.socket]]:
    """The server's and the caller's end of a connection; what is sent in one call is received in one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(5)
    with ours, theirs:
        yield AnswerSocket(ours, Stalled()), theirs


def test_headers_go_with_the_body(pair: tuple[AnswerSocket, socket.socket]) -> None:
    """Headers and the first piece of the body are one packet; every other piece leaves at once."""
    answer, caller = pair
    answer.sendall(b"headers ")
    answer.sendall(b"first")
    assert caller.recv(100) == b"headers first"
    answer.sendall(b"second")
    assert caller.recv(100) == b"second"
    answer.flush()
    answer.sendall(b"third")
    assert caller.recv(100) == b"third"


def test_headers_alone(pair: tuple[AnswerSocket, socket.socket]) -> None:
    """An answer without a body is sent at its end, once."""
    answer, caller = pair
    answer.sendall(b"headers")
    answer.flush()
    answer.flush()
    answer.sendall(b"next")
    assert [caller.recv(100), caller.recv(100)] == [b"headers", b"next"]


def test_order(pair: tuple[AnswerSocket, socket.socket]) -> None:
    """Any other use of the connection sends the headers first."""
    answer, caller = pair
    answer.sendall(b"headers")
    answer.shutdown(socket.SHUT_WR)
    assert [caller.recv(100), caller.recv(100)] == [b"headers", b""]
