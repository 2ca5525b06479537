"""Fixtures for all tests: real parts, which are shared if the tests leave them unchanged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.keys import keys_without_end
from tests.support.launched import Folders, Launched
from tests.support.receiver import Receiver, receiving
from tests.support.stack import Stack

# Packages whose binary has another name.
_BINARIES = {
    "default-jre-headless": "java",
    "iproute2": "ip",
    "prometheus": "promtool",
    "redis-tools": "redis-cli",
    "systemd": "systemd-analyze",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.debian(package)`: without the package's binary the test skips on a laptop and fails in CI."""
    for mark in item.iter_markers("debian"):
        (package,) = mark.args
        if shutil.which(_BINARIES.get(package, package)) is not None:
            continue
        reason = f"needs Debian's package {package}: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _check_keys(stack: Stack) -> None:
    if stack.server is not None and stack.server.running:
        leaked = keys_without_end(stack.redis)
        # Deleted, so that only the test that left them fails.
        if leaked:
            stack.redis.delete(*leaked)
        assert not leaked, f"keys without a TTL: {leaked}"


@pytest.fixture(scope="session")
def _server() -> Iterator[Stack]:
    stack = Stack()
    stack.start_server()
    yield stack
    stack.close()


@pytest.fixture
def server(_server: Stack) -> Iterator[Stack]:
    """A real, empty Redis server for this test alone. A key that is left without a TTL fails the test."""
    _server.redis.flushall()
    yield _server
    _check_keys(_server)


@pytest.fixture(scope="session")
def _service() -> Iterator[Stack]:
    stack = Stack(WEB_CONCURRENCY=2, MAX_UPLOAD_BYTES=4_000_000, MAX_BATCH_TEXTS=3000)
    stack.start("interactive", "batch")
    yield stack
    stack.close()


@pytest.fixture
def service(_service: Stack) -> Iterator[Stack]:
    """A complete running Sentiq on the stub engine: two Gunicorn workers, one worker of each role. Tests must leave it
    unchanged.

    A key that is left without a TTL fails the test.
    """
    yield _service
    _check_keys(_service)


@pytest.fixture
def make_stack() -> Iterator[Callable[..., Stack]]:
    """Makes stacks for one test that stops, kills or pauses parts. A key that is left without a TTL fails the test."""
    stacks: list[Stack] = []

    def make(**variables: str | int | float) -> Stack:
        stacks.append(Stack(**variables))  # type: ignore[arg-type]
        return stacks[-1]

    yield make
    try:
        for stack in stacks:
            _check_keys(stack)
    finally:
        for stack in stacks:
            stack.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty DATA_DIR."""
    folders = Folders()
    yield folders.make()
    folders.remove()


@pytest.fixture
def launch(folder: Path) -> Iterator[Callable[..., Launched]]:
    """Starts Sentiq on the test's folder; processes that are left afterwards are killed."""
    started: list[Launched] = []

    def start(**arguments: object) -> Launched:
        started.append(Launched(folder, **arguments))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        print(one.output[-20_000:])  # pytest shows it if the test failed
        one.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of callbacks that answers 204."""
    with receiving() as one:
        yield one
