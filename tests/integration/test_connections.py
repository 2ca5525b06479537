"""How long and how many connections are kept, and that none of them has a process to itself."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tasks.keys import digest
from tests.support.http_raw import RawConnection, request
from tests.support.stack import Stack
from tests.support.waiting import wait_until

ALIVE = request("GET", "/health/live")
KEY = "the-key-of-ann"
MOST_IDLE = 5
_SHORT = """
import sys
import webapp.server.patience
import webapp.server.worker
webapp.server.patience.HEADERS_WAIT_S = {headers_wait_s}
webapp.server.worker.MOST_IDLE = {most_idle}
from gunicorn.app.wsgiapp import run
sys.argv = ["gunicorn", "-c", "python:webapp.server.gunicorn_conf", "webapp.wsgi:app"]
run()
"""


def start_web(stack: Stack, *, headers_wait_s: float = 60.0, most_idle: int = 1000) -> None:
    """Starts the server and one web process with these limits."""
    stack.start_server()
    script = _SHORT.format(headers_wait_s=headers_wait_s, most_idle=most_idle)
    stack.web = stack.start_process("web", "-c", script)
    wait_until(lambda: stack.http.get("/health/live").status_code == 200, what="Gunicorn to answer", timeout_s=60)
    stack.http.close()  # its connection would be one of those that wait


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """One web process that knows a key, and whose kept connections may wait for an hour."""
    return make_stack(WEB_CONCURRENCY=1, KEEP_ALIVE=3600, API_KEYS=f"ann:predict+jobs:{digest(KEY)}")


def is_answered(connection: RawConnection) -> bool:
    """Whether a request on this connection is answered."""
    answer = connection.answer() if connection.send(ALIVE) else None
    return answer is not None and answer.status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: "], ids=["idle", "slow"])
def test_connections_that_wait_make_room(stack: Stack, sent: bytes) -> None:
    """However many connections are held without a request, or with half of one, others are answered: those that have
    waited longest are closed.
    """
    start_web(stack, most_idle=MOST_IDLE)
    held: list[RawConnection] = []
    for _ in range(4 * MOST_IDLE):
        connection = RawConnection(stack.port)
        assert is_answered(connection)
        connection.send(sent)
        held.append(connection)
    others, kept = held[: -MOST_IDLE - 1], held[-MOST_IDLE + 1 :]
    assert all(connection.is_closed() for connection in others)
    if not sent:
        assert all(is_answered(connection) for connection in kept)
    for connection in held:
        connection.close()


def test_kept_connection(stack: Stack) -> None:
    """A connection that was used waits for KEEP_ALIVE; one on which nothing was asked has the time of headers."""
    start_web(stack, headers_wait_s=1.0)
    with RawConnection(stack.port) as used, RawConnection(stack.port) as unused:
        assert is_answered(used)
        assert unused.is_closed()
        assert is_answered(used)


def test_kept_connection_is_closed(make_stack: Callable[..., Stack]) -> None:
    """After KEEP_ALIVE seconds without a request a connection is closed."""
    stack = make_stack(WEB_CONCURRENCY=1, KEEP_ALIVE=1)
    start_web(stack)
    with RawConnection(stack.port) as connection:
        assert is_answered(connection)
        assert connection.is_closed()


FLOODS = {
    "nobody's body": (request("POST", "/predict", Content_Type="application/json"), b""),
    "a body that nobody reads": (request("POST", "/nowhere", Content_Type="application/json"), b""),
    "a form": (
        request("POST", "/batch_predict", Content_Type="multipart/form-data; boundary=b", X_API_Key=KEY),
        b'--b\r\nContent-Disposition: form-data; name="nothing"\r\n\r\n',
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_floods(stack: Stack, flood: str) -> None:
    """A body that is sent without a pause leaves others their turns, and one that nobody reads ends in time."""
    start_web(stack, headers_wait_s=4.0)
    head, first = FLOODS[flood]
    head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    begun, enough = threading.Event(), threading.Event()

    def send() -> None:
        with RawConnection(stack.port) as connection:
            connection.send(head + b"%x\r\n%b\r\n" % (len(first), first) if first else head)
            while connection.send(piece) and not enough.is_set():
                begun.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert begun.wait(60)
    for _ in range(20):
        with RawConnection(stack.port, timeout_s=5) as other:
            assert is_answered(other)
    assert sender.is_alive(), "the flood was over before others were answered"
    if not first:
        sender.join(60)
        assert not sender.is_alive()
    enough.set()
    sender.join(60)


JSON = "application/json"
HELD = {
    "nothing": b"",
    "half of a request": b"GET / HTTP/1.1\r\nX",
    "a body that nobody reads": request("POST", "/predict", Content_Type=JSON).replace(b"Length: 0", b"Length: 9999")
    + b"{",
    "a body that is waited for": request("POST", "/predict", X_API_Key=KEY, Content_Type=JSON).replace(
        b"Length: 0", b"Length: 9999"
    )
    + b"{",
    "an answer that nobody takes": request("GET", "/assets/redoc/js/redoc.standalone.js"),
}


@pytest.mark.parametrize("held", HELD)
def test_held_connections_make_room(stack: Stack, held: str) -> None:
    """However a caller keeps its connections, and however quickly it makes them: when a process can take no more, those
    for whose caller it has waited longest are closed, and others are answered.
    """
    stack.environment["GUNICORN_CMD_ARGS"] = "--worker-connections 40"
    start_web(stack)
    connections = [RawConnection(stack.port, buffer_bytes=4096) for _ in range(60)]
    for connection in connections:
        connection.send(HELD[held])
    for _ in range(10):
        with RawConnection(stack.port, timeout_s=10) as other:
            assert is_answered(other)
    for connection in connections:
        connection.close()
