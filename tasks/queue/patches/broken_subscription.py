"""Keeps a worker from hanging when its subscription to remote control breaks and the server can be reached again at
once.

redis-py 8.1.0 then connects anew by itself, without subscribing, and kombu 5.7.0's `Channel._receive_one` waits without
limit for a message that cannot come: on the thread that takes chunks. Without redis-py's own attempt the break is told
to Celery, which begins again with all its connections.
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
    """Puts it in place."""
    Channel._receive_one = _receive_one
