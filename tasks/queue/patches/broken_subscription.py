"""Keeps a worker from hanging when its subscription to remote control breaks and the server is back at once.

redis-py 8.1.0 then reconnects by itself without subscribing, and kombu 5.7.0's `Channel._receive_one`, on the thread
that takes chunks, waits without limit for a message that cannot come. If redis-py does not retry, Celery notices the
break and renews all its connections.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel
from redis.backoff import NoBackoff
from redis.retry import Retry

original = Channel._receive_one


def _receive_one(self: Any, client: Any) -> Any:
    if client.connection is not None:
        client.connection.retry = Retry(NoBackoff(), 0)
    return original(self, client)


def install() -> None:
    """Installs the patch."""
    Channel._receive_one = _receive_one
