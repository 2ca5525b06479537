"""The health check of a worker's container, against a real server and a real worker."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.store.presence import Presence
from tasks.wire import WorkerMark
from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[3]


def probe(stack: Stack, *arguments: str) -> int:
    """The probe's exit status."""
    return subprocess.run(
        [sys.executable, "-m", "tasks.probe", *arguments], cwd=ROOT, env=stack.environment, check=False
    ).returncode


def mark(host: str) -> WorkerMark:
    """The mark of a worker on that host."""
    return WorkerMark(f"interactive-{host}", "interactive", "stub@1/stub", "stub@-", "cpu", 100.0, 1.0, host)


def test_a_workers_life(make_stack: Callable[..., Stack]) -> None:
    """A worker is ready once it has loaded, for its own role only, until it was killed and its mark has expired."""
    stack = make_stack()
    stack.start_server()
    assert probe(stack, "ready") == 1
    worker = stack.start_worker("batch")
    assert probe(stack, "ready") == 0
    assert probe(stack, "alive", "batch") == 0
    assert probe(stack, "ready", "interactive") == 1
    worker.kill()
    for key in stack.redis.keys("sentiq:w*:*"):
        stack.redis.pexpire(key, 1)
    assert probe(stack, "alive") == 1


def test_only_this_hosts_worker(server: Stack) -> None:
    """A worker of another host does not count, even if that host's name begins like ours."""
    presence, host = Presence(server.redis), socket.gethostname()
    presence.announce(mark("elsewhere"))
    presence.announce(mark(f"{host}-2"))
    assert probe(server, "ready") == 1
    presence.announce(mark(host))
    assert probe(server, "ready") == 0


def test_redis_away(make_stack: Callable[..., Stack]) -> None:
    """If Redis is away or hangs, a worker is not ready but alive: a restart would only make it load its model again."""
    stack = make_stack()

    def probes() -> list[int]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda what: probe(stack, what), ("ready", "alive")))

    assert probes() == [1, 0]
    server = stack.start_server()
    server.signal(signal.SIGSTOP)
    assert probes() == [1, 0]
    server.signal(signal.SIGCONT)


@pytest.mark.parametrize("arguments", [(), ("well",), ("ready", "a", "b")])
def test_usage(server: Stack, arguments: tuple[str, ...]) -> None:
    """Other arguments are refused."""
    assert probe(server, *arguments) == 1
