"""Keeps a worker alive when the broker's connection drops while a chunk is unacknowledged.

Celery 5.7.0 closes the consumer's connection twice. The second time kombu 5.7.0's `Channel._connparams` reads
`hostname` of a client that is None, and the AttributeError ends the worker. As redis.ConnectionError the same event is
an ordinary lost connection, which Celery answers by connecting again.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport.redis import Channel

original = Channel._connparams


def _connparams(self: Any, asynchronous: bool = False) -> Any:
    if self.connection is None or self.connection.client is None:
        raise redis.ConnectionError("the connection was closed")
    return original(self, asynchronous)


def install() -> None:
    """Puts it in place."""
    Channel._connparams = _connparams
