"""When the web is stopped, every caller who has reached it is answered."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_callers_whom_nobody_has_taken_yet(make_stack: Callable[..., Stack]) -> None:
    """Callers whose connection and request wait in the kernel when the web is told to end are answered, also if the
    processes stood still before.
    """
    stack = make_stack(WEB_CONCURRENCY=2, model="stub")
    stack.start_server()
    web = stack.start_web()
    children = Path(f"/proc/{web.pid}/task/{web.pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 2, what="both web processes")
    workers = [int(pid) for pid in children.read_text().split()]
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    callers = [socket.create_connection(("127.0.0.1", stack.port), timeout=10) for _ in range(40)]
    for caller in callers:
        caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    web.signal(signal.SIGTERM)
    began = time.monotonic()
    # Gunicorn's workers check once a second whether they should end.
    wait_until(lambda: time.monotonic() - began > 1.2, what="the next look to be due")
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    answers = [caller.recv(10_000) for caller in callers]
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    wait_until(lambda: not web.running, what="the web to end")
    assert web.status == 0
