"""The patch `tasks.queue.patches.kept_client`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tasks.queue.app import create_celery
from tasks.queue.patches import kept_client
from tests.support.patches import mended
from tests.support.stack import Stack


@pytest.fixture
def channel(server: Stack) -> Iterator[Any]:
    """A channel of kombu, like that of a worker."""
    with create_celery(server.settings()) as app, app.connection_for_write() as connection:
        yield connection.channel()


def test_library_makes_many(channel: Any) -> None:
    """Without the patch, a channel makes a client for each message."""
    if kept_client.original(channel) is kept_client.original(channel):
        mended(
            "kombu",
            "tasks/queue/patches/kept_client.py",
            "its import and its call in tasks/queue/patches/__init__.py",
        )


def test_one_for_a_channel(channel: Any) -> None:
    """A channel keeps its client until it gets another connection pool; waiting for messages uses another client."""
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel._create_client(asynchronous=True) is not first
    channel._disconnect_pools()
    second = channel._create_client()
    assert second is not first
    assert second.ping()
